"""Connections in memory: what is written arrives in order, or what was to befall it does."""

import asyncio
from contextlib import suppress

import pytest

from scheduler.simulator import Simulator
from scheduler.wire import ConnectFailed, HttpReply, HttpRequest, ReplyLost

from . import virtual_time
from .pipes import ARRIVES_WITHIN_S, Kind, Net, PipedTransport, Place, Trouble

pytestmark = pytest.mark.anyio

TIME = HttpRequest(method="GET", path="/api/v3/time")
LOAN = HttpRequest(method="POST", path="/sapi/v1/margin/borrow-repay", body=b"asset=USDT")
"""aiohttp sends what only reads once more by itself; this it does not."""
NOTHING_LEFT = {Kind.REFUSED, Kind.RESET, Kind.BLACKHOLE, Kind.LATE}


class Once:
    """One trouble, for the first that it fits."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble: Trouble | None = trouble

    def on_connect(self) -> Trouble | None:
        is_meant = self._trouble is not None and self._trouble.place is Place.CONNECT
        return self._take() if is_meant else None

    def on_request(self, method: bytes, path: bytes) -> Trouble | None:
        return None if self._trouble and self._trouble.place is Place.CONNECT else self._take()

    def _take(self) -> Trouble | None:
        trouble, self._trouble = self._trouble, None
        return trouble


async def ask(kind: Kind, place: Place) -> HttpReply | Exception:
    Net(troubles=Once(Trouble(kind, place)))
    async with Simulator(port=1) as sim:
        transport = PipedTransport(sim.base_url)
        try:
            return await transport.send(LOAN)
        except (ConnectFailed, ReplyLost) as error:
            return error
        finally:
            await transport.aclose()


async def test_requests_and_replies_arrive_over_one_connection() -> None:
    net = Net(latency_ms=(10, 10))
    async with Simulator(port=1) as sim:
        transport = PipedTransport(sim.base_url)
        for _ in range(3):
            assert (await transport.send(TIME)).status == 200
        assert len(net.lines) == 1
        # There and back to connect, and then for each request.
        assert asyncio.get_running_loop().time() == pytest.approx(4 * 0.020, abs=0.01)
        await transport.aclose()
        await asyncio.sleep(1)
        assert not net.lines


@pytest.mark.parametrize("kind", sorted(NOTHING_LEFT))
async def test_a_connection_that_never_stands_lets_nothing_leave(kind: Kind) -> None:
    assert isinstance(await ask(kind, Place.CONNECT), ConnectFailed)


@pytest.mark.parametrize("place", [p for p in Place if p is not Place.CONNECT])
@pytest.mark.parametrize("kind", [Kind.RESET, Kind.BLACKHOLE, Kind.HALF_CLOSE, Kind.REFUSED])
async def test_a_connection_that_breaks_on_the_way_leaves_it_open_what_happened(
    kind: Kind, place: Place
) -> None:
    assert isinstance(await ask(kind, place), ReplyLost)


async def test_a_reply_that_comes_twice_is_a_reply() -> None:
    assert isinstance(await ask(Kind.DUPLICATED, Place.AFTER_EXECUTION), HttpReply)


async def test_what_was_written_before_a_death_arrives_and_is_answered_to_nobody() -> None:
    net = Net(latency_ms=(100, 100))
    async with Simulator(port=1) as sim:
        process = virtual_time.Process("client")
        transport = PipedTransport(sim.base_url)
        process.spawn(transport.send(TIME))
        await asyncio.sleep(0.25)
        process.kill()
        net.reap()
        assert not sim.ledger.arrivals
        await asyncio.sleep(1)
        assert len(sim.ledger.arrivals) == 1
        assert not net.lines
        # Nobody closes what died; here it is to be forgotten.
        assert transport._session is not None
        transport._session.detach()


async def test_what_is_late_arrives_within_thirty_seconds_of_the_close_or_in_time() -> None:
    late = 0
    for seed in range(30):
        net = Net(seed=seed, troubles=Once(Trouble(Kind.LATE, Place.BEFORE_EXECUTION)))
        async with Simulator(port=1) as sim:
            transport = PipedTransport(sim.base_url)
            with suppress(ReplyLost):  # sometimes it comes in time
                await transport.send(LOAN)
            closed_s = asyncio.get_running_loop().time()
            await transport.aclose()
            await asyncio.sleep(120)
            [arrival] = sim.ledger.arrivals
            assert arrival.loop_s <= closed_s + ARRIVES_WITHIN_S + 0.1
            late += net.late_arrivals
    assert late > 0


class Greeter(asyncio.Protocol):
    """Says hello, and notes what became of the connection."""

    def __init__(self) -> None:
        self.fate: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"hello")

    def eof_received(self) -> None:
        self.fate.append("end")

    def connection_lost(self, error: Exception | None) -> None:
        self.fate.append("reset" if error else "closed")


class Visitor(Greeter):
    def data_received(self, data: bytes) -> None:
        self.fate.append(data.decode())


@pytest.mark.parametrize("seed", range(4))
async def test_a_server_dies_with_its_process_and_its_clients_hear_of_it(seed: int) -> None:
    net = Net(seed=seed, has_sockets=False)
    process = virtual_time.Process("server")
    servers: list[Greeter] = []

    def accept() -> Greeter:
        assert virtual_time.running_process() is process
        servers.append(Greeter())
        return servers[-1]

    net.serve(accept, process)
    _, visitor = await net.connect(Visitor)
    await asyncio.sleep(1)
    process.kill()
    net.reap()
    await asyncio.sleep(1)
    assert isinstance(visitor, Visitor)
    assert visitor.fate in (["hello", "end", "closed"], ["hello", "reset"])
    assert servers[0].fate == [], "what is dead is told nothing"
    assert not net.lines
    with pytest.raises(ConnectionRefusedError):
        await net.connect(Visitor)
    again = virtual_time.Process("server again")
    net.serve(Greeter, again)
    _, visitor = await net.connect(Visitor)
    await asyncio.sleep(1)
    assert isinstance(visitor, Visitor)
    assert visitor.fate == ["hello"]


async def test_of_a_client_that_falls_silent_the_server_hears_nothing() -> None:
    net = Net(has_sockets=False)
    server = Greeter()
    net.serve(lambda: server, virtual_time.Process("server"))
    overheard: list[bytes] = []
    net.overheard = overheard.append
    end, visitor = await net.connect(Visitor)
    await asyncio.sleep(1)
    end.fall_silent()
    server.transport.write(b"are you there?")
    await asyncio.sleep(1_000)
    assert isinstance(visitor, Visitor)
    assert (visitor.fate, server.fate) == (["hello"], [])
    assert overheard == [b"hello", b"are you there?"]


async def test_a_server_that_ends_its_side_still_hears_its_client() -> None:
    net = Net(has_sockets=False)
    server = Visitor()
    net.serve(lambda: server, virtual_time.Process("server"))
    end, _ = await net.connect(asyncio.Protocol)
    await asyncio.sleep(1)
    assert server.transport.can_write_eof()
    assert not end.can_write_eof()
    server.transport.write_eof()
    end.write(b"late")
    await asyncio.sleep(1)
    assert "late" in server.fate
