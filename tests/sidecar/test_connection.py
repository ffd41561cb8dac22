"""Slow, silent and deaf clients, in virtual time; how many there may be."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from scheduler.sidecar import connection
from scheduler.sidecar.connection import CONNECTIONS_MAX, KEEP_ALIVE_S, REQUEST_S, STALL_S

from .house import House, borrow, house
from .pipe import Pipe

pytestmark = pytest.mark.anyio

POST = ("POST", "/v1/submissions")
BODY = orjson.dumps(borrow())
SLACK_S = 2.0
"""After the last word the other end gets a moment to read it."""


@asynccontextmanager
async def open_house(**options: Any) -> AsyncIterator[House]:
    async with house(listen=(), hosts=("localhost:80",), **options) as opened:
        yield opened


async def trickle(pipe: Pipe, data: bytes, every_s: float) -> None:
    for byte in data:
        if pipe.closed_at_s is not None:
            return
        pipe.send(bytes([byte]))
        await asyncio.sleep(every_s)


@pytest.mark.parametrize(
    ("what", "head", "rest"),
    [
        ("a head that never ends", b"GET /healthz HTTP/1.1\r\nHost: lo", b""),
        ("a first line that never ends", b"GET /heal", b""),
        ("a single byte", b"G", b""),
        (
            "a head that trickles",
            b"",
            b"GET /healthz HTTP/1.1\r\nHost: localhost:80\r\nX: " + b"x" * 99,
        ),
    ],
)
async def test_a_request_whose_head_takes_too_long_is_refused_within_5_s(
    what: str, head: bytes, rest: bytes
) -> None:
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        pipe.send(head)
        trickling = asyncio.ensure_future(trickle(pipe, rest, 0.3))
        answered_s = await pipe.answered()
        assert REQUEST_S - 1 < answered_s <= REQUEST_S, what
        assert pipe.statuses() == [408]
        assert orjson.loads(pipe.got.split(b"\r\n\r\n")[1])["code"] == "request_too_slow"
        assert await pipe.closed() <= REQUEST_S + SLACK_S
        await trickling


@pytest.mark.parametrize("every_s", [0.3, 10.0])
async def test_a_body_that_is_promised_and_trickles_or_never_comes_is_refused_within_5_s(
    every_s: float,
) -> None:
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        pipe.ask(*POST, body=BODY, whole=False)
        trickling = asyncio.ensure_future(trickle(pipe, BODY[:-1], every_s))
        assert REQUEST_S - 1 < await pipe.answered() <= REQUEST_S
        assert pipe.statuses() == [408]
        assert await pipe.closed() <= REQUEST_S + SLACK_S
        trickling.cancel()
        assert await at.scheduler.list() == []


async def test_one_that_went_without_a_word_is_let_go_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(pipe: Pipe) -> None:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    monkeypatch.setattr(Pipe, "write_eof", gone)
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        pipe.send(b"GET /healthz HTTP/1.1\r\n")  # and no more
        assert await pipe.closed() <= REQUEST_S + SLACK_S
    assert failures == []


async def test_chunks_that_never_end_are_refused_within_5_s() -> None:
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        pipe.ask(*POST, "Transfer-Encoding: chunked", "Content-Type: application/json")
        for _ in range(20):
            pipe.send(b"1\r\n{\r\n")
            await asyncio.sleep(0.3)
        assert pipe.statuses() == [408]
        assert await pipe.closed() <= REQUEST_S + SLACK_S


async def test_head_and_body_share_the_5_s() -> None:
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        pipe.send(b"POST /v1/submissions HTTP/1.1\r\n")
        await asyncio.sleep(3)
        head = b"Host: localhost:80\r\nAuthorization: Bearer canary-token-5d1c\r\n"
        pipe.send(head + b"Content-Length: 9\r\nContent-Type: application/json\r\n\r\n{")
        assert REQUEST_S - 1 < await pipe.answered() <= REQUEST_S
        assert pipe.statuses() == [408]


async def test_a_slow_request_that_is_whole_in_time_is_answered() -> None:
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        pipe.ask(*POST, body=BODY, whole=False)
        await trickle(pipe, BODY, 4 / len(BODY))
        await pipe.answered()
        assert pipe.statuses() == [202]


async def test_it_makes_no_difference_where_a_request_is_cut_in_two() -> None:
    async with open_house() as at:
        await at.scheduler.pause("main")
        first = Pipe(at.sidecar)
        first.ask(*POST, body=BODY)
        sent = first.sent
        for cut in range(1, len(sent)):
            pipe = Pipe(at.sidecar)
            pipe.send(sent[:cut])
            await asyncio.sleep(0.01)
            pipe.send(sent[cut:] + sent[:cut])  # and so does the next one
            await asyncio.sleep(0.01)
            pipe.send(sent[cut:])
            await pipe.until(lambda pipe=pipe: len(pipe.statuses()) == 2)  # type: ignore[misc]
            assert pipe.statuses() == [200, 200], cut
            pipe.leave()
        assert len(await at.scheduler.list()) == 1


async def test_a_silent_connection_is_closed_without_a_word() -> None:
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        assert await pipe.closed() <= REQUEST_S
        assert pipe.got == b""


async def test_between_requests_a_connection_is_kept_for_15_s() -> None:
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        for _ in range(3):
            pipe.ask("GET", "/healthz")
            await asyncio.sleep(KEEP_ALIVE_S - 1)
        assert pipe.statuses() == [200, 200, 200]
        assert await pipe.closed() == pytest.approx(2 * (KEEP_ALIVE_S - 1) + KEEP_ALIVE_S, abs=0.1)


async def test_each_request_of_a_connection_has_5_s_of_its_own() -> None:
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        pipe.ask("GET", "/healthz")
        await asyncio.sleep(12)
        pipe.send(b"GET /hea")
        await pipe.closed()
        assert pipe.statuses() == [200, 408]
        assert 12 + REQUEST_S - 1 < await pipe.closed() <= 12 + REQUEST_S + SLACK_S


async def test_a_long_poll_is_no_slow_request() -> None:
    async with open_house() as at:
        await at.scheduler.pause("main")
        pipe = Pipe(at.sidecar)
        pipe.ask("POST", "/v1/submissions?wait=50", body=BODY)
        assert await pipe.answered() == pytest.approx(50, abs=0.1)
        assert pipe.statuses() == [202]


async def test_what_follows_a_long_poll_on_its_connection_is_answered_after_it() -> None:
    async with open_house() as at:
        await at.scheduler.pause("main")
        pipe = Pipe(at.sidecar)
        pipe.ask("POST", "/v1/submissions?wait=30", body=BODY)
        await asyncio.sleep(1)
        pipe.ask("GET", "/healthz")
        pipe.send(b"GET /hea")  # and this one never ends
        await pipe.closed()
        # Whose bytes the last ones were cannot be told any more: they end with the idle time.
        assert pipe.statuses() == [202, 200]
        assert 30 < await pipe.closed() <= 30 + KEEP_ALIVE_S + SLACK_S


async def test_who_does_not_read_an_answer_is_cut_off() -> None:
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        pipe.is_deaf = True
        pipe.ask("GET", "/openapi.json")
        assert await pipe.closed() == pytest.approx(STALL_S, abs=0.1)


async def test_who_does_not_read_events_is_cut_off() -> None:
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        pipe.ask("GET", "/v1/events")
        await pipe.answered()
        await asyncio.sleep(100)
        assert pipe.closed_at_s is None
        pipe.is_deaf = True
        await at.scheduler.borrow("main", "USDT", "1")
        assert await pipe.closed() == pytest.approx(100 + STALL_S, abs=1)


async def test_a_refused_body_is_not_read_for_ever() -> None:
    async with open_house() as at:
        pipe = Pipe(at.sidecar)
        pipe.ask(*POST, "Content-Length: 99999999", "Content-Type: application/json")
        await pipe.answered()
        assert pipe.statuses() == [413]
        flooding = asyncio.ensure_future(trickle(pipe, b"x" * 500, 0.1))
        assert await pipe.closed() <= SLACK_S
        flooding.cancel()


async def test_one_connection_too_many_is_refused_and_room_is_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 3)
    async with open_house() as at:
        first, *others = [Pipe(at.sidecar) for _ in range(3)]
        refused = Pipe(at.sidecar)
        refused.ask("GET", "/healthz")
        await refused.closed()
        assert refused.statuses() == [503]
        assert b"too_many_connections" in refused.got
        assert b"Retry-After: 1" in refused.got
        first.leave()
        accepted = Pipe(at.sidecar)
        accepted.ask("GET", "/healthz")
        await accepted.answered()
        assert accepted.statuses() == [200]
        assert [other.closed_at_s for other in others] == [None, None]


async def test_connections_that_have_gone_are_not_counted() -> None:
    async with open_house() as at:
        for number in range(2 * CONNECTIONS_MAX):
            pipe = Pipe(at.sidecar)
            if number % 2:
                pipe.ask("GET", "/healthz")
                await pipe.answered()
            pipe.leave()
        assert at.sidecar.connections.count == 0


async def test_what_is_no_http_is_refused_without_being_quoted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = b"signature=canary"
    for said in (
        b"\x16\x03\x01\x02\x00" + secret,
        b"GET /x?" + secret + b" FTP/9\r\n\r\n",
        b"A" * 9_000,
    ):
        async with open_house() as at:
            pipe = Pipe(at.sidecar)
            pipe.send(said + b"\r\n\r\n")
            await pipe.closed()
            assert pipe.statuses() == [400]
            assert b"http_invalid" in pipe.got
            assert b"canary" not in pipe.got
    assert "canary" not in caplog.text
