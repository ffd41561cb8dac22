"""The sidecar as a whole: starting, draining, closing, and who may come in by a Unix socket."""

import asyncio
import logging
import os
import stat
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from scheduler import ConfigurationError, JournalUnavailable, Scheduler, State
from scheduler.journal.memory import MemoryJournal
from scheduler.model import Entry
from scheduler.sidecar import Sidecar, SidecarOptions, security, serve
from scheduler.sidecar.stream import Stream
from scheduler.simulator import Simulator

from .house import TOKEN, asking, borrow, house

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

PATH = "/v1/submissions"
CLOSES_WITHIN_S = 4.0


# Listening


async def test_it_listens_on_several_addresses_and_tells_which(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    listen = ("127.0.0.1:0", f"unix:{path}", "localhost:0")
    async with house(listen=listen) as at:
        assert at.sidecar.addresses[1] == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for address in at.sidecar.addresses:
            async with asking(address) as asker:
                assert (await asker.ask("GET", "/v1/accounts")).status == 200
    assert not path.exists()


async def test_a_port_in_use_ends_the_start_and_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    async with house() as at:
        taken = at.address.removeprefix("http://")
        second = Sidecar(at.scheduler, SidecarOptions(listen=(f"unix:{path}", taken)))
        with pytest.raises(ConfigurationError, match=r"sidecar\.listen"):
            await second.start()
        assert not path.exists()


async def test_what_is_unsafe_is_refused_before_anything_is_opened() -> None:
    async with Simulator(port=None) as sim:
        scheduler = Scheduler([sim.account("main")], journal="memory:", transport=sim.transport)
        with pytest.raises(ConfigurationError, match="trusted_network"):
            Sidecar(scheduler, SidecarOptions(listen=("0.0.0.0:0",), token="t"))


async def test_it_starts_once() -> None:
    async with house() as at:
        with pytest.raises(ConfigurationError):
            await at.sidecar.start()


async def test_configured_hosts_and_their_pages_are_welcome() -> None:
    async with house(hosts=("Margin.internal",)) as at, asking(at.address) as asker:
        for host, origin in (
            ("margin.internal", None),
            ("margin.internal", "https://margin.internal"),
            (asker.host, f"http://{asker.host}"),
            (asker.host.replace("127.0.0.1", "LOCALHOST"), None),
        ):
            answer = await asker.ask(
                "GET", "/v1/accounts", headers={"Host": host, "Origin": origin}
            )
            assert answer.status == 200


async def test_without_a_token_none_is_asked_for() -> None:
    async with house(token=None) as at, asking(at.address, token=None) as asker:
        assert (await asker.ask("POST", f"{PATH}?wait=9", borrow())).status == 200


# Unix sockets


async def test_another_users_process_is_refused_at_0600_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "peer_uid", lambda sock: os.geteuid() + 1)
    for mode, statuses in ((0o600, 403), (0o660, 200)):
        listen = (f"unix:{tmp_path / str(mode)}",)
        async with house(listen=listen, socket_mode=mode) as at, asking(at.address) as asker:
            answer = await asker.ask("GET", "/v1/accounts")
            assert answer.status == statuses
            assert statuses == 200 or answer.code == "peer_foreign"


async def test_the_uid_of_the_other_end_is_the_kernels(tmp_path: Path) -> None:
    async with house(listen=(f"unix:{tmp_path / 'x'}",)) as at, asking(at.address) as asker:
        sock = asker.writer.get_extra_info("socket")
        assert security.peer_uid(sock) == os.geteuid()


async def test_a_refused_connection_that_lingers_does_not_outlive_the_sidecar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "peer_uid", lambda sock: None)
    async with house(listen=(f"unix:{tmp_path / 'x'}",)) as at, asking(at.address) as asker:
        assert (await asker.answer()).code == "peer_foreign"
        assert at.sidecar.connections.count == 1
        await at.sidecar.aclose()
        assert at.sidecar.connections.count == 0


# Draining and closing


async def test_draining_refuses_what_is_new_and_answers_what_is_asked() -> None:
    async with house() as at, asking(at.address) as asker:
        await asker.ask("POST", f"{PATH}?wait=9", borrow("k1"))
        at.sidecar.drain()
        refused = await asker.ask("POST", PATH, borrow("k2"))
        assert (refused.status, refused.code) == (503, "draining")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await asker.ask("GET", f"{PATH}/k1")).json["state"] == "CONFIRMED"
        unready = await asker.ask("GET", "/readyz")
        assert (unready.status, unready.code) == (503, "not_ready")
        assert (await asker.ask("GET", "/healthz")).status == 200
        events = await asker.ask("GET", "/v1/events")
        assert (events.status, events.code) == (503, "draining")
        assert [entry.key for entry in await at.scheduler.list()] == ["k1"]


async def test_whoever_waits_or_follows_is_let_go_when_it_drains() -> None:
    async with house() as at:
        await at.scheduler.pause("main")
        async with asking(at.address) as waiting, asking(at.address) as following:
            asked = asyncio.ensure_future(waiting.ask("POST", f"{PATH}?wait=60", borrow("k1")))
            following.writer.write(following.request("GET", "/v1/events"))
            await following.head()
            while not at.sidecar._api._waits:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            at.sidecar.drain()
            await asyncio.sleep(0)
            at.sidecar.drain()  # again, while they are being let go
            async with asyncio.timeout(30):  # half of what it asked for
                answer = await asked
            assert (answer.status, answer.json["state"]) == (202, "QUEUED")
            assert await following.reader.readuntil(b"\r\n0\r\n\r\n")


async def test_closing_ends_every_connection_within_its_bound() -> None:
    class Stuck(MemoryJournal):
        is_stuck = False

        async def get(self, key: str) -> Entry | None:
            if self.is_stuck and key == "k1":
                await asyncio.sleep(3_600)
            return await super().get(key)

    journal = Stuck()
    async with house(journal=journal) as at:
        async with (
            asking(at.address) as idle,
            asking(at.address) as half,
            asking(at.address) as stuck,
        ):
            await idle.ask("GET", "/healthz")
            half.writer.write(b"GET /hea")
            journal.is_stuck = True
            stuck.writer.write(stuck.request("GET", f"{PATH}/k1"))
            await asyncio.sleep(0.1)
            began_s = time.monotonic()
            await at.sidecar.aclose()
            assert time.monotonic() - began_s < CLOSES_WITHIN_S
            for each in (idle, half, stuck):
                assert await each.reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asking(at.address).__aenter__()


async def test_closing_twice_or_before_the_start_is_harmless() -> None:
    async with house() as at:
        await at.sidecar.aclose()
        await at.sidecar.aclose()
        unused = Sidecar(at.scheduler, SidecarOptions())
        unused.drain()
        await unused.aclose()


async def _is_answered(path: Path) -> bool:
    """The file is there a moment before anybody listens."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_serve_runs_until_it_is_cancelled_and_leaves_the_scheduler_open(
    tmp_path: Path,
) -> None:
    path = tmp_path / "api.sock"
    async with Simulator(port=None) as sim:
        account = sim.account("main")
        async with Scheduler([account], journal="memory:", transport=sim.transport) as scheduler:
            serving = asyncio.ensure_future(
                serve(scheduler, listen=[f"unix:{path}"], token=TOKEN, socket_mode=0o660)
            )
            while not await _is_answered(path):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            async with asking(f"unix:{path}") as asker:
                told = (await asker.ask("POST", f"{PATH}?wait=9", borrow("k1"))).json
                assert told["state"] == "CONFIRMED"
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert not path.exists()
            assert (await scheduler.borrow("main", "USDT", "1")).state is State.CONFIRMED


async def test_a_scheduler_that_was_closed_under_it_is_answered_for() -> None:
    async with house() as at, asking(at.address) as asker:
        await at.scheduler.aclose()
        answer = await asker.ask("POST", PATH, borrow())
        assert (answer.status, answer.code) == (503, "draining")
        assert (await asker.ask("GET", "/readyz")).status == 503
        assert (await asker.ask("GET", "/healthz")).status == 200


# What goes wrong


async def test_a_journal_that_fails_is_told_and_nothing_is_sent() -> None:
    class Failing(MemoryJournal):
        async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
            raise JournalUnavailable("journal: the disk is full")

    async with house(journal=Failing()) as at, asking(at.address) as asker:
        answer = await asker.ask("POST", PATH, borrow())
        assert (answer.status, answer.code) == (503, "journal_unavailable")
        assert "the disk is full" in answer.json["detail"]
        assert at.sim.ledger.transactions == []


async def test_while_the_journal_fails_it_is_not_ready() -> None:
    class Failing(MemoryJournal):
        fails = False

        async def update(self, *entries: Entry, at_ms: int) -> None:
            if self.fails:
                raise JournalUnavailable("journal: the disk is full")
            await super().update(*entries, at_ms=at_ms)

    journal = Failing()
    async with house(journal=journal) as at, asking(at.address) as asker:
        assert (await asker.ask("GET", "/readyz")).status == 200
        journal.fails = True
        await asker.ask("POST", f"{PATH}?wait=0.2", borrow())
        answer = await asker.ask("GET", "/readyz")
        assert (answer.status, answer.code) == (503, "not_ready")
        assert b"disk" not in answer.body
        journal.fails = False
        assert (await asker.ask("GET", f"{PATH}/k1?wait=20")).json["state"] == "CONFIRMED"
        assert (await asker.ask("GET", "/readyz")).status == 200


async def test_a_defect_is_logged_and_answered_without_its_details(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(MemoryJournal):
        async def get(self, key: str) -> Entry | None:
            raise RuntimeError("what nobody thought of")

    async with house(journal=Broken()) as at, asking(at.address) as asker:
        with caplog.at_level(logging.ERROR, "margin_scheduler"):
            answer = await asker.ask("GET", f"{PATH}/k1")
        assert (answer.status, answer.code) == (503, "internal")
        assert b"nobody thought" not in answer.body
        assert "what nobody thought of" in caplog.text
        assert (await asker.ask("GET", "/healthz")).status == 200


async def test_a_defect_within_an_answer_ends_it_and_is_no_second_one(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(*_: object) -> AsyncGenerator[bytes, None]:
        yield b"id: 1\n\n"
        raise RuntimeError("in the middle")

    monkeypatch.setattr(Stream, "read", read)
    async with house() as at, asking(at.address) as asker:
        asker.writer.write(asker.request("GET", "/v1/events"))
        said = await asker.reader.read()
        assert said.count(b"HTTP/1.1") == 1
        assert b"in the middle" in caplog.text.encode()
        assert b"in the middle" not in said


async def test_a_connection_error_of_our_own_is_a_defect_like_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(MemoryJournal):
        async def get(self, key: str) -> Entry | None:
            raise ConnectionResetError("the database, not the client")

    async with house(journal=Broken()) as at, asking(at.address) as asker:
        answer = await asker.ask("GET", f"{PATH}/k1")
        assert (answer.status, answer.code) == (503, "internal")
        assert "the database" in caplog.text


async def test_the_first_byte_after_100_continue() -> None:
    async with house() as at, asking(at.address) as asker:
        whole = asker.request("POST", f"{PATH}?wait=9", borrow(), {"Expect": "100-continue"})
        head, _, body = whole.partition(b"\r\n\r\n")
        asker.writer.write(head + b"\r\n\r\n")
        assert await asker.head() == (100, {})
        asker.writer.write(body)
        answer = await asker.answer()
        assert (answer.status, answer.json["state"]) == (200, "CONFIRMED")


async def test_requests_sent_at_once_are_answered_in_order() -> None:
    async with house() as at, asking(at.address) as asker:
        keys = [f"k{number}" for number in range(20)]
        asker.writer.write(b"".join(asker.request("POST", PATH, borrow(key)) for key in keys))
        assert [(await asker.answer()).json["key"] for _ in keys] == keys
