"""When a read may go out, and what its reply tells of the address."""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest

from scheduler import binance
from scheduler.address import Address, Purpose
from scheduler.binance import Endpoint
from scheduler.clock import Clock, loop_s
from scheduler.policy import Limits
from scheduler.reader import Reader
from scheduler.wire import ConnectFailed, HttpReply, HttpRequest, ReplyLost

from .build import NOW_MS

pytestmark = pytest.mark.anyio

BANNED = HttpReply(status=418, headers={"retry-after": "60"})
PAGE = binance.RECORDS.weight


@dataclass
class Wire:
    """Answers the next request with the next reply, and notes when each came."""

    replies: list[HttpReply | Exception] = field(default_factory=list)
    sent: list[tuple[float, HttpRequest]] = field(default_factory=list)

    async def send(self, request: HttpRequest) -> HttpReply:
        self.sent.append((loop_s(), request))
        reply = self.replies.pop(0) if self.replies else HttpReply(status=200, body=b"{}")
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def aclose(self) -> None:
        pass

    def times_s(self) -> list[int]:
        return [round(at_s - self.sent[0][0]) for at_s, _ in self.sent]


class Bench:
    """A reader with all that it stands on, at a known exchange time."""

    def __init__(self, *replies: HttpReply | Exception, per_minute: int = 12_000) -> None:
        self.wire = Wire(list(replies))
        self.clock = Clock()
        self.clock.sample(NOW_MS, loop_s())
        self.address = Address(Limits(ip_weight_per_minute=per_minute))
        self.reader = Reader(self.wire, self.clock, self.address)

    async def read(
        self, purpose: Purpose = Purpose.LOOK, endpoint: Endpoint = binance.RECORDS
    ) -> HttpReply:
        return await self.reader.read(endpoint, purpose, lambda: self.stamped(endpoint))

    def stamped(self, endpoint: Endpoint = binance.RECORDS) -> HttpRequest:
        return HttpRequest(method="GET", path=endpoint.path, query=f"t={self.clock.now_ms()}")


async def test_a_read_of_an_open_address_goes_at_once() -> None:
    bench = Bench(HttpReply(status=200, body=b"[]"))
    assert (await bench.read()).body == b"[]"
    assert bench.wire.times_s() == [0]


async def test_a_read_waits_until_the_ban_is_over() -> None:
    bench, began_s = Bench(), loop_s()
    bench.address.ban(90_000, bench.clock.steady_ms())
    await bench.read()
    [(sent_s, _)] = bench.wire.sent
    assert 90 <= sent_s - began_s < 90.1


async def test_a_ban_that_is_lengthened_while_a_read_waits_is_waited_for_to_its_end() -> None:
    bench, began_s = Bench(), loop_s()
    bench.address.ban(10_000, bench.clock.steady_ms())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.read)
        await anyio.sleep(5)
        bench.address.ban(60_000, bench.clock.steady_ms())
    [(sent_s, _)] = bench.wire.sent
    assert 65 <= sent_s - began_s < 65.1


async def test_a_read_is_stamped_when_it_goes_and_not_when_it_is_asked_for() -> None:
    bench = Bench()
    bench.address.ban(90_000, bench.clock.steady_ms())
    await bench.read()
    [(_, request)] = bench.wire.sent
    assert int(request.query.removeprefix("t=")) >= NOW_MS + 90_000


async def test_reads_stay_within_the_minutes_weight() -> None:
    bench = Bench(per_minute=100)
    for _ in range(100 // PAGE + 1):
        await bench.read()
    assert bench.wire.times_s() == [0] * (100 // PAGE) + [60]


async def test_what_is_kept_for_looks_is_left_alone_by_others() -> None:
    bench = Bench(per_minute=100)
    for purpose in (*[Purpose.SWEEP] * 9, Purpose.LOOK):
        await bench.read(purpose)
    assert bench.wire.times_s() == [0] * 8 + [60] * 2


async def test_each_call_has_a_minute_of_its_own() -> None:
    bench = Bench(per_minute=100)
    other = Endpoint("GET", "/sapi/v1/other", 100, "IP")
    for endpoint in (binance.RECORDS, other):
        await bench.read(endpoint=endpoint)
    assert bench.wire.times_s() == [0, 0]


async def test_what_weighs_on_an_account_is_not_charged_to_the_address() -> None:
    bench = Bench(per_minute=100)
    for _ in range(5):
        await bench.read(endpoint=binance.INVENTORY)
    assert bench.wire.times_s() == [0] * 5


# What a reply says of the address


@pytest.mark.parametrize(
    ("reply", "closed_s", "cause"),
    [
        pytest.param(BANNED, 60, "banned", id="banned for as long as it says"),
        pytest.param(HttpReply(status=418), 120, "banned", id="banned without a word of how long"),
        pytest.param(HttpReply(status=403, body=b"<html>"), 300, "firewalled", id="the firewall"),
    ],
)
async def test_a_reply_that_turns_the_machine_away_closes_the_address(
    reply: HttpReply, closed_s: int, cause: str
) -> None:
    bench = Bench(reply)
    assert (await bench.read()) is reply
    closed = bench.address.closed(bench.clock.steady_ms())
    assert closed is not None
    until_ms, why = closed
    assert why == cause
    assert abs(bench.clock.at_ms(until_ms) - NOW_MS - closed_s * 1_000) < 100
    await bench.read(endpoint=binance.TIME)
    assert bench.wire.times_s() == [0, closed_s]


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [({"retry-after": "7"}, 7), ({}, 60)],
    ids=["for as long as it says", "for a minute if it does not say"],
)
async def test_a_refusal_for_weight_stops_reads_of_that_call_alone(
    headers: dict[str, str], wait_s: int
) -> None:
    bench = Bench(HttpReply(status=429, headers=headers))
    await bench.read()
    assert bench.address.wait_ms(bench.clock.steady_ms()) == 0
    await bench.read(endpoint=binance.TIME)
    await bench.read()
    assert bench.wire.times_s() == [0, 0, wait_s]


async def test_a_lost_or_refused_read_says_nothing_of_the_address() -> None:
    bench = Bench(HttpReply(status=500), HttpReply(status=400, body=b'{"code":-1100}'))
    for _ in range(3):
        await bench.read()
    assert bench.wire.times_s() == [0, 0, 0]


# What became of a read that failed


@pytest.mark.parametrize("error", [ConnectFailed("no route"), ReplyLost("reset")], ids=repr)
async def test_what_went_wrong_on_the_way_is_told(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        await Bench(error).read()
    assert caught.value is error


async def test_a_transport_that_fails_in_a_way_of_its_own_may_have_sent() -> None:
    with pytest.raises(ReplyLost, match="KeyError"):
        await Bench(KeyError("oops")).read()


# Now or not at all


async def test_what_must_not_wait_goes_at_once() -> None:
    bench = Bench()
    await bench.reader.read_now(binance.TIME, lambda: bench.stamped(binance.TIME))
    assert bench.wire.times_s() == [0]


def a_ban(bench: Bench) -> str:
    bench.address.ban(90_000, bench.clock.steady_ms())
    return f"the address is banned until {NOW_MS + 90_000}"


def the_firewall(bench: Bench) -> str:
    bench.address.firewall(bench.clock.steady_ms())
    return f"the address is firewalled until {NOW_MS + 300_000}"


def no_weight(bench: Bench) -> str:
    bench.address.exhaust(binance.TIME.budget, None, bench.clock.steady_ms())
    return f"the minute's weight of {binance.TIME.path} is spent"


@pytest.mark.parametrize("trouble", [a_ban, the_firewall, no_weight])
async def test_what_must_not_wait_fails_and_says_why(trouble: Callable[[Bench], str]) -> None:
    bench = Bench()
    why = trouble(bench)
    with pytest.raises(ConnectFailed) as caught:
        await bench.reader.read_now(binance.TIME, bench.stamped)
    assert str(caught.value) == why
    assert bench.wire.sent == []
