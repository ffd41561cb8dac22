"""What a socket can do to a request: it was never sent, it was answered, or nobody knows."""

import asyncio
import gzip
import socket
import ssl
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from scheduler import transport as transport_module
from scheduler.errors import ConfigurationError
from scheduler.transport import AiohttpTransport, checked_base_url
from scheduler.wire import REPLY_MAX_BYTES, ConnectFailed, HttpReply, HttpRequest, ReplyLost

real = [pytest.mark.anyio, pytest.mark.real_time]

CANARY = "CANARYcanaryCANARY"
POST = HttpRequest(
    method="POST",
    path="/sapi/v1/margin/borrow-repay",
    headers={"X-MBX-APIKEY": CANARY, "Content-Type": "application/x-www-form-urlencoded"},
    body=f"asset=USDT&signature={CANARY}".encode(),
)
GET = HttpRequest(
    method="GET",
    path="/sapi/v1/margin/borrow-repay",
    query=f"asset=A%2FB%20&signature={CANARY}%3D",
    headers={"X-MBX-APIKEY": CANARY},
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"

Behaviour = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Listens on the loopback and treats each request as it is told to."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[bytes] = []
        self.connections = 0
        self.open: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self.closed = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.open[writer] = task
        try:
            while (request := await read_request(reader)) is not None:
                self.requests.append(request)
                await self.behaviour(self, reader, writer)
                if writer.is_closing():
                    break
        except ConnectionError:
            pass
        finally:
            self.closed.set()
            writer.close()

    async def close(self) -> None:
        for writer in self.open:
            writer.close()
        _, stuck = await asyncio.wait(self.open.values(), timeout=1) if self.open else ([], [])
        for task in stuck:
            task.cancel()


async def read_request(reader: asyncio.StreamReader) -> bytes | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)


@asynccontextmanager
async def serving(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(behaviour)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.close()


@asynccontextmanager
async def client(base_url: str, *, proxy: str | None = None) -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport(base_url, proxy=proxy)
    try:
        yield made
    finally:
        await made.aclose()


async def ask(
    behaviour: Behaviour, request: HttpRequest = POST
) -> tuple[HttpReply | ConnectFailed | ReplyLost, Server]:
    async with serving(behaviour) as server, client(server.url) as transport:
        try:
            return await transport.send(request), server
        except (ConnectFailed, ReplyLost) as error:
            return error, server


# What a server may do


def says(*parts: bytes) -> Behaviour:
    async def behave(_: Server, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return behave


def says_and_closes(*parts: bytes) -> Behaviour:
    async def behave(
        server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await says(*parts)(server, reader, writer)
        writer.close()

    return behave


def says_and_half_closes(*parts: bytes) -> Behaviour:
    async def behave(
        server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await says(*parts)(server, reader, writer)
        writer.write_eof()
        await reader.read()

    return behave


def says_and_resets(*parts: bytes) -> Behaviour:
    async def behave(
        server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await says(*parts)(server, reader, writer)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return behave


def says_and_hangs(*parts: bytes) -> Behaviour:
    async def behave(
        server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await says(*parts)(server, reader, writer)
        await reader.read()

    return behave


async def trickles(_: Server, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _number in range(1_000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


def full(body: bytes, *headers: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 200 OK", length, *headers, b"", body])


# What is sent, what comes back


class TestAnswered:
    pytestmark = real

    async def test_a_post_arrives_byte_for_byte(self) -> None:
        reply, server = await ask(says(OK))
        assert isinstance(reply, HttpReply)
        [request] = server.requests
        head, body = request.split(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /sapi/v1/margin/borrow-repay HTTP/1.1"
        assert f"X-MBX-APIKEY: {CANARY}".encode() in lines
        assert b"Content-Type: application/x-www-form-urlencoded" in lines
        assert f"Content-Length: {len(POST.body)}".encode() in lines
        assert body == POST.body
        assert not any(line.lower().startswith(b"transfer-encoding") for line in lines)

    async def test_a_query_that_is_encoded_is_not_encoded_again(self) -> None:
        _, server = await ask(says(OK), GET)
        assert server.requests[0].startswith(f"GET {GET.path}?{GET.query} HTTP/1.1\r\n".encode())

    async def test_status_headers_and_body_come_back(self) -> None:
        said = (
            b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nX-SAPI-USED-UID-WEIGHT-1M: 180000\r\n"
            b"Content-Length: 5\r\n\r\n\x00\xff{}\n"
        )
        reply, _ = await ask(says(said))
        assert isinstance(reply, HttpReply)
        assert (reply.status, reply.body) == (429, b"\x00\xff{}\n")
        assert reply.headers["retry-after"] == "7"
        assert reply.headers["x-sapi-used-uid-weight-1m"] == "180000"
        assert all(name == name.lower() for name in reply.headers)

    @pytest.mark.parametrize(
        ("said", "body"),
        [
            pytest.param(full(b""), b"", id="empty"),
            pytest.param(full(b"x" * REPLY_MAX_BYTES), b"x" * REPLY_MAX_BYTES, id="at the bound"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
                b"abc",
                id="in chunks",
            ),
            pytest.param(
                full(gzip.compress(b"abc"), b"Content-Encoding: gzip"), b"abc", id="compressed"
            ),
        ],
    )
    async def test_a_body_comes_back_whole(self, said: bytes, body: bytes) -> None:
        reply, _ = await ask(says(said))
        assert isinstance(reply, HttpReply)
        assert reply.body == body

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_redirect_is_an_answer_and_is_not_followed(self, status: int) -> None:
        said = b"HTTP/1.1 %d Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n" % status
        reply, server = await ask(says(said))
        assert isinstance(reply, HttpReply)
        assert reply.status == status
        assert len(server.requests) == 1

    async def test_cookies_are_not_kept(self) -> None:
        said = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
        async with serving(says(said)) as server, client(server.url) as transport:
            await transport.send(GET)
            await transport.send(GET)
        assert len(server.requests) == 2
        assert not any(b"cookie" in request.lower() for request in server.requests)

    async def test_a_proxy_in_the_environment_is_ignored(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        reply, _ = await ask(says(OK))
        assert isinstance(reply, HttpReply)

    async def test_a_configured_proxy_is_used(self) -> None:
        async with (
            serving(says(OK)) as proxy,
            client("http://127.0.0.1:1", proxy=proxy.url) as transport,
        ):
            reply = await transport.send(POST)
        assert reply.body == b"OK"
        assert proxy.requests[0].startswith(b"POST http://127.0.0.1:1/sapi/")

    async def test_a_connection_is_used_again(self) -> None:
        async with serving(says(OK)) as server, client(server.url) as transport:
            for _ in range(3):
                await transport.send(POST)
        assert (server.connections, len(server.requests)) == (1, 3)

    async def test_a_connection_on_which_a_reply_came_twice_is_not_used_again(self) -> None:
        copied = asyncio.Event()

        async def says_it_twice(
            server: Server, _: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            said = full(b"%d" % len(server.requests))
            writer.write(said)
            await asyncio.sleep(0.05)
            writer.write(said)
            copied.set()

        async with serving(says_it_twice) as server, client(server.url) as transport:
            first = await transport.send(POST)
            await copied.wait()
            await asyncio.sleep(0.05)
            second = await transport.send(POST)
        assert (first.body, second.body) == (b"1", b"2")
        assert server.connections == 2

    async def test_a_connection_that_was_idle_for_too_long_is_not_used_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transport_module, "IDLE_MAX_S", 0.05)
        async with serving(says(OK)) as server, client(server.url) as transport:
            await transport.send(POST)
            await asyncio.sleep(0.1)
            await transport.send(POST)
        assert server.connections == 2

    async def test_accounts_do_not_wait_for_each_others_connections(self) -> None:
        everyone_is_here = asyncio.Event()

        async def wait_for_all(
            server: Server, _: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            if len(server.requests) == 150:
                everyone_is_here.set()
            await everyone_is_here.wait()
            writer.write(OK)

        async with serving(wait_for_all) as server, client(server.url) as transport:
            async with asyncio.timeout(5):
                replies = await asyncio.gather(*(transport.send(POST) for _ in range(150)))
        assert len(replies) == server.connections == 150

    async def test_closing_closes_and_may_be_done_twice_or_before_anything_was_sent(self) -> None:
        idle = AiohttpTransport("http://127.0.0.1:1")
        await idle.aclose()
        async with serving(says(OK)) as server, client(server.url) as transport:
            await transport.send(POST)
            await transport.aclose()
            await asyncio.wait_for(server.closed.wait(), 5)
            await transport.aclose()

    def test_giving_up_takes_longer_than_the_exchange_itself_does(self) -> None:
        assert transport_module.TOTAL_TIMEOUT_S > 10
        assert transport_module.IDLE_MAX_S < 10


# Nobody knows


class TestLost:
    pytestmark = real

    @pytest.mark.parametrize(
        "behaviour",
        [
            pytest.param(says_and_closes(), id="closed without a word"),
            pytest.param(says_and_half_closes(), id="half-closed without a word"),
            pytest.param(says_and_resets(), id="reset without a word"),
            pytest.param(says_and_closes(b"HTTP/1.1 200"), id="closed in the status line"),
            pytest.param(says_and_closes(b"HTTP/1.1 200 OK\r\nContent-"), id="closed in a header"),
            pytest.param(
                says_and_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
                id="closed in the body",
            ),
            pytest.param(
                says_and_half_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
                id="half-closed in the body",
            ),
            pytest.param(
                says_and_resets(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
                id="reset in the body",
            ),
            pytest.param(
                says_and_closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
                id="closed in a chunk",
            ),
            pytest.param(
                says_and_closes(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
                ),
                id="closed before the last chunk",
            ),
            pytest.param(
                says_and_closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nab"),
                id="a chunk of no size",
            ),
            pytest.param(says_and_closes(b"\x00\xff\x16garbage\r\n\r\n"), id="garbage"),
            pytest.param(says_and_closes(b"SSH-2.0-OpenSSH_9.6\r\n"), id="another protocol"),
            pytest.param(says_and_closes(b"<html>It works</html>\n"), id="a page without a head"),
            pytest.param(says_and_closes(b"HTTP/9.9 abc OK\r\n\r\n"), id="a status of no number"),
            pytest.param(
                says_and_closes(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"),
                id="an endless header",
            ),
            pytest.param(
                says_and_closes(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nab"),
                id="a length of no number",
            ),
            pytest.param(
                says(full(b"not compressed at all", b"Content-Encoding: gzip")),
                id="a body that does not decompress",
            ),
            pytest.param(says(full(b"x" * (REPLY_MAX_BYTES + 1))), id="a byte too long"),
            pytest.param(
                says(
                    full(gzip.compress(b"\0" * (REPLY_MAX_BYTES * 20)), b"Content-Encoding: gzip")
                ),
                id="a body that decompresses to too much",
            ),
        ],
    )
    @pytest.mark.parametrize("request_", [POST, GET], ids=["POST", "GET"])
    async def test_once_the_request_may_have_left_its_outcome_is_unknown(
        self, behaviour: Behaviour, request_: HttpRequest
    ) -> None:
        error, server = await ask(behaviour, request_)
        assert isinstance(error, ReplyLost)
        assert server.requests
        shows_nothing(error, server.port)

    @pytest.mark.parametrize(
        "behaviour",
        [
            pytest.param(says_and_hangs(), id="no answer"),
            pytest.param(says_and_hangs(b"HTTP/1.1 200 OK\r\n"), id="half a head"),
            pytest.param(
                says_and_hangs(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nO"), id="half a body"
            ),
            pytest.param(trickles, id="a byte now and then"),
        ],
    )
    async def test_an_answer_that_does_not_come_in_time_is_lost(
        self, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transport_module, "TOTAL_TIMEOUT_S", 0.2)
        error, server = await ask(behaviour)
        assert isinstance(error, ReplyLost)
        shows_nothing(error, server.port)

    async def test_an_endless_reply_is_cut_short_and_its_connection_closed(self) -> None:
        async def never_ends(
            _: Server, __: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"x" * 65_536)
                await writer.drain()

        async with serving(never_ends) as server, client(server.url) as transport:
            with pytest.raises(ReplyLost):
                await transport.send(POST)
            await asyncio.wait_for(server.closed.wait(), 5)

    async def test_a_post_on_a_connection_that_dies_under_it_is_never_sent_again(self) -> None:
        async def answers_once(
            server: Server, _: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            if len(server.requests) == 1:
                writer.write(OK)
            else:
                writer.close()

        async with serving(answers_once) as server, client(server.url) as transport:
            await transport.send(POST)
            with pytest.raises(ReplyLost):
                await transport.send(POST)
            await asyncio.sleep(0.05)
        assert len(server.requests) == 2

    async def test_a_request_that_is_given_up_is_given_up_at_the_other_end_too(self) -> None:
        async with serving(says_and_hangs()) as server, client(server.url) as transport:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(transport.send(POST), 0.1)
            await asyncio.wait_for(server.closed.wait(), 5)


# Never sent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def fail(base_url: str, *, proxy: str | None = None) -> ConnectFailed:
    async with client(base_url, proxy=proxy) as transport:
        with pytest.raises(ConnectFailed) as caught:
            await transport.send(POST)
    return caught.value


class TestNeverSent:
    pytestmark = real

    async def test_a_refused_connection(self) -> None:
        port = free_port()
        shows_nothing(await fail(f"http://127.0.0.1:{port}"), port)

    async def test_a_name_that_does_not_resolve(self) -> None:
        error = await fail("https://margin.invalid")
        shows_nothing(error, 443)
        assert "invalid" not in str(error)

    async def test_a_server_that_speaks_no_tls(self) -> None:
        listener = await asyncio.start_server(_plain, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        shows_nothing(await fail(f"https://127.0.0.1:{port}"), port)
        listener.close()

    async def test_a_certificate_nobody_vouches_for(self, tmp_path: Path) -> None:
        async with serving(says(OK), self_signed(tmp_path)) as server:
            shows_nothing(await fail(f"https://127.0.0.1:{server.port}"), server.port)
        assert server.requests == []

    async def test_a_handshake_that_does_not_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT_S", 0.2)
        listener = await asyncio.start_server(_silent, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        shows_nothing(await fail(f"https://127.0.0.1:{port}"), port)
        listener.close()

    async def test_a_proxy_that_is_not_there(self) -> None:
        port = free_port()
        shows_nothing(await fail("https://example.com", proxy=f"http://127.0.0.1:{port}"), port)

    async def test_a_proxy_that_refuses_the_tunnel(self) -> None:
        said = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
        async with serving(says(said)) as proxy:
            shows_nothing(await fail("https://example.com", proxy=proxy.url), proxy.port)
        assert [request.split(b" ")[0] for request in proxy.requests] == [b"CONNECT"]


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def self_signed(folder: Path) -> ssl.SSLContext:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, None)
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def shows_nothing(error: Exception, port: int) -> None:
    """Neither secrets nor addresses are in whatever a log might show of the error."""
    shown = str(error) + repr(error) + "".join(traceback.format_exception(error))
    said = str(error)
    assert said
    assert CANARY not in shown
    assert "signature" not in said
    assert "://" not in said
    assert str(port) not in said


# Where to


@pytest.mark.parametrize(
    ("base_url", "kept"),
    [
        pytest.param("https://api.binance.com", "https://api.binance.com", id="the exchange"),
        pytest.param("https://api.binance.com/", "https://api.binance.com", id="with a slash"),
        pytest.param("https://api1.binance.com:8443", "https://api1.binance.com:8443", id="port"),
        pytest.param("http://127.0.0.1:8000", "http://127.0.0.1:8000", id="loopback"),
        pytest.param("http://127.8.8.8", "http://127.8.8.8", id="another loopback address"),
        pytest.param("http://localhost:8000", "http://localhost:8000", id="localhost"),
        pytest.param("http://LOCALHOST", "http://LOCALHOST", id="LOCALHOST"),
        pytest.param("http://sim.localhost", "http://sim.localhost", id="a name under localhost"),
        pytest.param("http://[::1]:8000", "http://[::1]:8000", id="loopback of IPv6"),
    ],
)
def test_a_base_url_is_https_or_on_this_machine(base_url: str, kept: str) -> None:
    assert checked_base_url(base_url) == kept


@pytest.mark.parametrize(
    "base_url",
    [
        pytest.param("http://api.binance.com", id="plain http to the exchange"),
        pytest.param("http://192.168.0.5:8000", id="plain http on the local network"),
        pytest.param("http://0.0.0.0:8000", id="plain http to every address"),
        pytest.param("http://128.0.0.1", id="next to the loopback"),
        pytest.param("http://127.0.0.1.example.com", id="a name that begins like the loopback"),
        pytest.param("http://127.example.com", id="another such name"),
        pytest.param("http://localhost.example.com", id="a name that begins like localhost"),
        pytest.param("http://notlocalhost", id="a name that ends like localhost"),
        pytest.param("http://localhost@example.com", id="localhost as a user"),
        pytest.param("http://[::2]", id="next to the loopback of IPv6"),
        pytest.param("http://[fe80::1]", id="a link's address"),
        pytest.param("ftp://127.0.0.1", id="another scheme"),
        pytest.param("ws://127.0.0.1", id="a socket's scheme"),
        pytest.param("api.binance.com", id="no scheme"),
        pytest.param("//api.binance.com", id="an empty scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https:///path", id="no host but a path"),
        pytest.param("", id="nothing"),
        pytest.param("https://api.binance.com?x=1", id="a query"),
        pytest.param("https://api.binance.com#x", id="a fragment"),
        pytest.param("https://api.binance.com:99999", id="a port out of range"),
        pytest.param("https://api.binance.com:https", id="a port of no number"),
        pytest.param("http://[::1", id="half an address"),
    ],
)
def test_any_other_base_url_is_refused_in_a_line_that_names_it(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^base_url: .*$"):
        AiohttpTransport(base_url)


@pytest.mark.parametrize(
    "base_url",
    [
        pytest.param("http://user:CANARY@api.binance.com", id="plain http"),
        pytest.param("ftp://user:CANARY@api.binance.com", id="another scheme"),
        pytest.param("https://user:CANARY@api.binance.com#x", id="a fragment"),
        pytest.param("https://user:CANARY@api.binance.com:99999", id="a port out of range"),
    ],
)
def test_a_password_in_a_base_url_that_is_refused_is_not_repeated(base_url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AiohttpTransport(base_url)
    assert "CANARY" not in str(caught.value)
