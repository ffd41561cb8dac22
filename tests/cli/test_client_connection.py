"""One call over a real socket: what is sent, and what is made of whatever comes back."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from scheduler.cli.client import connection
from scheduler.cli.client.connection import Connection, Refused, Unreachable, part, printable
from scheduler.cli.client.target import Target
from scheduler.cli.failed import Failed

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Handler, *, token: str | None = None) -> AsyncIterator[Connection]:
    """A connection to a server that gives every request to the handler."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    target = Target(name="here", base_url=f"http://{host}:{port}", token=token)
    async with Connection(target) as connected:
        yield connected
    await runner.cleanup()


def replying(**options: Any) -> Handler:
    async def reply(request: web.Request) -> web.Response:
        return web.Response(**options)

    return reply


def problem(status: int, code: str, detail: str) -> Handler:
    async def reply(request: web.Request) -> web.Response:
        return web.json_response({"code": code, "detail": detail}, status=status)

    return reply


async def test_a_call_carries_its_body_its_query_and_the_token() -> None:
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, await request.read()))
        seen.append((request.headers["Authorization"], request.headers["Content-Type"]))
        return web.json_response({"fine": True})

    async with answering(handler, token="canary") as sidecar:
        path = f"/v1/accounts/{part('a/b c')}/x"
        query = {"wait": "0.5", "state": None, "asset": "A&B"}
        assert await sidecar.call("POST", path, query=query, body={"a": "1"}) == {"fine": True}
    assert seen == [
        ("POST", "/v1/accounts/a%2Fb%20c/x?wait=0.5&asset=A%26B", b'{"a":"1"}'),
        ("Bearer canary", "application/json"),
    ]


async def test_a_call_without_a_token_or_a_body_says_nothing_of_them() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"has": "Authorization" in request.headers})

    async with answering(handler) as sidecar:
        assert await sidecar.call("GET", "/v1/accounts") == {"has": False}


async def test_a_socket_file_is_a_sidecar_too(tmp_path: Path) -> None:
    path = str(tmp_path / "s")

    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"host": request.headers["Host"]})

    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    await web.UnixSite(runner, path).start()
    async with Connection(Target(name="s", base_url="http://localhost", socket=path)) as sidecar:
        assert await sidecar.call("GET", "/") == {"host": "localhost"}
    await runner.cleanup()
    with pytest.raises(Unreachable) as caught:
        async with Connection(Target(name="s", base_url="http://localhost", socket=path)) as gone:
            await gone.call("GET", "/")
    assert not caught.value.may_have_arrived


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "amount_invalid", 2),
        (401, "token_wrong", 2),
        (403, "host_foreign", 2),
        (404, "key_unknown", 2),
        (408, "request_too_slow", 3),
        (409, "not_cancellable", 1),
        (409, "fence_not_passed", 1),
        (409, "key_reused", 2),
        (413, "body_too_large", 2),
        (429, "queue_full", 1),
        (503, "draining", 3),
    ],
)
async def test_a_refusal_is_the_sidecars_own_sentence(
    status: int, code: str, exit_code: int
) -> None:
    async with answering(problem(status, code, "amount: no\x1b[31m")) as sidecar:
        with pytest.raises(Refused) as caught:
            await sidecar.call("GET", "/")
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert str(caught.value) == "amount: no?[31m"


@pytest.mark.parametrize(
    "options",
    [
        {"text": "<html>", "content_type": "text/html"},
        {"status": 404, "text": "not here"},
        {"status": 502, "text": "{}"},
        {"text": "[]"},
        {"status": 401, "text": '{"msg": "no"}'},
        {"status": 204},
    ],
)
async def test_what_is_no_sidecar_is_said_to_be_none(options: dict[str, Any]) -> None:
    async with answering(replying(**options)) as other:
        with pytest.raises(Failed, match="here is no sidecar") as caught:
            await other.call("GET", "/")
    assert caught.value.exit_code == 2


async def test_a_redirect_is_not_followed() -> None:
    visited: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        visited.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with answering(handler, token="canary") as sidecar:
        with pytest.raises(Failed, match="no sidecar"):
            await sidecar.call("GET", "/")
    assert visited == ["/"]


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with answering(problem(404, "x", "reached")) as sidecar:
        with pytest.raises(Refused, match="reached"):
            await sidecar.call("GET", "/")


async def test_a_refused_connection_was_never_asked() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    target = Target(name="there", base_url=f"http://127.0.0.1:{port}", token="canary")
    async with Connection(target) as sidecar:
        with pytest.raises(Unreachable, match=r"--url: .* there: Connection refused") as caught:
            await sidecar.call("GET", "/")
    assert (caught.value.may_have_arrived, caught.value.exit_code) == (False, 2)


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def break_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.abort()
    return response


async def say_nothing(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("handler", [hang_up, break_off, say_nothing, replying(body=b"[" * 5_000)])
async def test_without_a_complete_answer_it_may_have_arrived(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_S", 0.3)
    monkeypatch.setattr(connection, "ANSWER_MAX", 4_000)
    async with answering(handler, token="canary") as sidecar:
        with pytest.raises(Unreachable) as caught:
            await sidecar.call("POST", "/", body={})
    assert (caught.value.may_have_arrived, caught.value.exit_code) == (True, 3)
    assert "canary" not in str(caught.value)


async def test_what_was_asked_to_wait_is_given_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_S", 0.1)

    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.json_response({})

    async with answering(handler) as sidecar:
        assert await sidecar.call("GET", "/", query={"wait": "5"}) == {}


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    assert printable("a\x1b]0;x\x07b\nc\u202ed é") == "a?]0;x?b?c?d é"
