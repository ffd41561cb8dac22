"""Repaying everything, while interest is added at the worst moment.

`python -m tests.test_repay_all --rounds N` lives through more of them than every change does.
"""

import argparse
import asyncio
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

import anyio
import pytest

from scheduler import Entry, Rejected, Scheduler, State
from scheduler.journal.memory import MemoryJournal
from scheduler.simulator import Simulator
from scheduler.wire import HttpReply, HttpRequest, ReplyLost

from . import virtual_time

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000
ROUNDS = 200
BEFORE_MS = (1, 2, 3, 4, 5, 6, 8, 10, 20, 60, 104, 110)
"""How long before interest is added a repayment is asked for: it is then added before the look,
between look and call, and while the call is worked on."""


@dataclass
class Tale:
    """What happened in some rounds."""

    entries: list[Entry] = field(default_factory=list)
    left: list[Decimal] = field(default_factory=list)
    codes: Counter[int | None] = field(default_factory=Counter)

    def rests(self) -> int:
        """How often interest left something that was repaid by itself."""
        return sum(any("by interest" in e.detail for e in x.evidence) for x in self.entries)


class Delayed:
    """A way to the exchange on which a repayment takes until interest has been added, if that is
    about to happen: the worst moment, between look and call."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim

    async def send(self, request: HttpRequest) -> HttpReply:
        if request.method == "POST" and b"type=REPAY" in request.body:
            wait_ms = -self._sim.now_ms() % HOUR_MS
            if wait_ms < max(BEFORE_MS):
                await anyio.sleep(wait_ms / 1000)
        return await self._sim.transport.send(request)

    async def aclose(self) -> None:
        """It is the simulator's."""


async def live(
    rounds: int,
    befores_ms: tuple[int, ...],
    *,
    minimum: str = "0",
    priority: str = "urgent",
    is_delayed: bool = False,
) -> Tale:
    """Borrow, let an hour pass, repay all of it just before interest is added again."""
    tale = Tale()
    async with (
        Simulator(port=None, interest="hourly", debt_min="0", history_max=100) as sim,
        Scheduler(
            [sim.account("main")],
            journal="memory:",
            transport=Delayed(sim) if is_delayed else sim.transport,
        ) as scheduler,
    ):
        sim.set_minimums("USDT", repay=minimum, debt=minimum)
        for number in range(rounds):
            await scheduler.borrow("main", "USDT", "100")
            before_ms = befores_ms[number % len(befores_ms)]
            await _until_before_the_hour(sim, before_ms)
            tale.entries.append(await scheduler.repay("main", "USDT", "all", priority=priority))
            tale.left.append(sim.ledger.debt("main", "USDT"))
            await anyio.sleep(60)
        tale.codes.update(a.code for a in sim.ledger.arrivals if a.method == "POST")
    return tale


async def _until_before_the_hour(sim: Simulator, before_ms: int) -> None:
    wait_ms = HOUR_MS - before_ms - sim.now_ms() % HOUR_MS
    await anyio.sleep((wait_ms if wait_ms > 0 else wait_ms + HOUR_MS) / 1000)


def judge(tale: Tale, rounds: int) -> None:
    assert [e.state for e in tale.entries] == [State.CONFIRMED] * rounds
    assert set(tale.left) == {Decimal(0)}
    assert -3016 not in tale.codes


async def test_the_debt_is_gone_although_interest_is_added_while_it_is_repaid() -> None:
    tale = await live(ROUNDS, BEFORE_MS)
    judge(tale, ROUNDS)
    assert tale.rests() > ROUNDS / 10, "interest was to come in between"


@pytest.mark.parametrize("minimum", ["0", "0.01"])
async def test_interest_between_look_and_call_leaves_nothing_and_refuses_nobody(
    minimum: str,
) -> None:
    tale = await live(ROUNDS, (10, 20, 60), minimum=minimum, is_delayed=True)
    judge(tale, ROUNDS)
    in_between = tale.rests() if minimum == "0" else tale.codes[-3015]
    assert in_between == ROUNDS, "interest was to come in between"


async def test_what_is_not_urgent_waits_until_interest_was_added() -> None:
    tale = await live(24, BEFORE_MS, priority="normal", minimum="0.01")
    judge(tale, 24)
    assert -3015 not in tale.codes
    assert tale.rests() == 0


async def test_each_repayment_is_one_transaction_and_what_was_left_has_a_key_that_follows() -> None:
    async with (
        Simulator(port=None, debt_min="0") as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        await _until_before_the_hour(sim, 60)
        entry = await scheduler.repay("main", "USDT", "all", key="all-1", priority="urgent")
        rest = next(e for e in await scheduler.list() if e.key != "all-1")
        assert (entry.requested, entry.amount) == ("all", Decimal(100))
        assert (rest.amount, rest.state) == (Decimal("0.001"), State.CONFIRMED)
        assert rest.key.startswith("rest1:")
        assert any(rest.key in e.detail for e in entry.evidence)
        assert len({t.tran_id for t in sim.ledger.booked()}) == 2
        again = await scheduler.repay("main", "USDT", "all", key="all-1")
        assert again.tran_id == entry.tran_id
        assert len(sim.ledger.booked()) == 2


async def test_what_a_process_that_ended_did_not_look_for_is_looked_for_by_the_next_once() -> None:
    journal = MemoryJournal()
    async with Simulator(port=None, debt_min="0") as sim:

        class Cut:
            """Breaks once the repayment was answered."""

            is_cut = False

            async def send(self, request: HttpRequest) -> HttpReply:
                if self.is_cut:
                    raise ReplyLost("cut")
                reply = await sim.transport.send(request)
                self.is_cut = request.method == "POST"
                return reply

            async def aclose(self) -> None:
                """It is the simulator's."""

        accounts = [sim.account("main")]
        sim.set_debt("main", "USDT", "100")
        await _until_before_the_hour(sim, 60)
        async with Scheduler(accounts, journal=journal, transport=Cut()) as scheduler:
            await scheduler.repay("main", "USDT", "all", priority="urgent")
        assert sim.ledger.debt("main", "USDT") == Decimal("0.001")
        for _ in range(3):
            async with Scheduler(accounts, journal=journal, transport=sim.transport) as scheduler:
                await scheduler.status("main")
                await anyio.sleep(3)
        assert sim.ledger.debt("main", "USDT") == 0
        assert len(sim.ledger.booked()) == 2


async def test_a_borrow_queued_behind_it_is_not_repaid_with_the_rest() -> None:
    async with (
        Simulator(port=None, debt_min="0") as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        await _until_before_the_hour(sim, 60)
        async with anyio.create_task_group() as callers:
            callers.start_soon(_repay_all, scheduler)
            await anyio.sleep(0.001)
            await scheduler.borrow("main", "USDT", "50", priority="urgent")
        await anyio.sleep(5)
        assert sim.ledger.debt("main", "USDT") == 50


async def test_what_was_borrowed_before_its_record_showed_is_no_rest() -> None:
    async with Simulator(port=None, record_lag_ms=(3_000, 3_000)) as sim:
        account = sim.account("main", confirm="record")
        async with Scheduler([account], journal="memory:", transport=sim.transport) as scheduler:
            sim.set_debt("main", "USDT", "100")
            repaid = await scheduler.submit("main", "REPAY", "USDT", "all")
            borrowed = await scheduler.submit("main", "BORROW", "USDT", "0.5")
            for entry in (repaid, borrowed):
                assert (await scheduler.wait(entry.key)).state is State.CONFIRMED
            await anyio.sleep(5)
            assert sim.ledger.debt("main", "USDT") == Decimal("0.5")


async def _repay_all(scheduler: Scheduler) -> None:
    await scheduler.repay("main", "USDT", "all", priority="urgent")


async def test_a_new_debt_of_somebody_elses_is_left_alone() -> None:
    async with Simulator(port=None) as sim:

        class Meddling:
            """Lets an order borrow just as a repayment is answered."""

            async def send(self, request: HttpRequest) -> HttpReply:
                reply = await sim.transport.send(request)
                if request.method == "POST":
                    sim.set_debt("main", "USDT", "30")
                return reply

            async def aclose(self) -> None:
                """It is the simulator's."""

        account = sim.account("main")
        async with Scheduler([account], journal="memory:", transport=Meddling()) as scheduler:
            sim.set_debt("main", "USDT", "100")
            entry = await scheduler.repay("main", "USDT", "all")
            assert "left alone" in entry.evidence[-1].detail
            assert sim.ledger.debt("main", "USDT") == 30
            assert len(await scheduler.list()) == 1


async def test_an_acknowledgement_before_the_booking_is_no_new_debt() -> None:
    async with (
        Simulator(port=None, answers="at_once") as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        entry = await scheduler.repay("main", "USDT", "all")
        assert entry.evidence[-1].source == "reply"
        assert len(await scheduler.list()) == 1


@pytest.mark.parametrize("fault", ["lost_after", "lost_before", "1007_after", -3007])
async def test_whatever_becomes_of_its_answer_the_debt_is_repaid_once(fault: str | int) -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        sim.fail_next(fault)
        entry = await scheduler.repay("main", "USDT", "all")
        assert entry.state is State.CONFIRMED
        assert sim.ledger.debt("main", "USDT") == 0
        assert len(sim.ledger.booked()) == 1


async def test_the_amount_of_a_second_attempt_is_looked_up_anew() -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        sim.fail_next("lost_before")
        repaying = asyncio.ensure_future(scheduler.repay("main", "USDT", "all"))
        await anyio.sleep(5)
        sim.set_debt("main", "USDT", "70")
        entry = await repaying
        assert (entry.amount, entry.attempts) == (Decimal(70), 2)


async def test_a_look_that_fails_is_made_again_and_holds_nobody_else_up() -> None:
    path = "GET /sapi/v1/margin/account"
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        sim.fail_next("503_before", path=path, times=4)
        repaying = asyncio.ensure_future(scheduler.repay("main", "USDT", "all"))
        await anyio.sleep(0.2)
        await scheduler.borrow("main", "BTC", "1", timeout=1)
        assert not repaying.done()
        assert (await repaying).amount == 100


async def test_what_turns_out_to_be_nothing_costs_nothing_of_the_minute() -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        for _ in range(130):
            with pytest.raises(Rejected):
                await scheduler.repay("main", "USDT", "all")
        assert (await scheduler.status("main")).weight_used == 0
        begun_s = anyio.current_time()
        await asyncio.gather(*(scheduler.borrow("main", "BTC", "1") for _ in range(100)))
        assert anyio.current_time() - begun_s < 12


async def test_a_look_that_takes_too_long_gives_the_lane_up() -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        sim.fail_next("late", path="GET /sapi/v1/margin/account")
        await scheduler.submit("main", "REPAY", "USDT", "all")
        await anyio.sleep(0.2)
        await scheduler.borrow("main", "BTC", "1", timeout=4)


async def test_where_the_account_cannot_be_looked_at_its_time_runs_out_unsent() -> None:
    path = "GET /sapi/v1/margin/account"
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        sim.fail_next("503_before", path=path, times=100)
        entry = await scheduler.submit("main", "REPAY", "USDT", "all", send_within=20)
        entry = await scheduler.wait(entry.key)
        assert entry.state is State.EXPIRED
        assert "HTTP 503" in entry.evidence[0].detail


@pytest.mark.parametrize(("asset", "symbol"), [("LTC", "BTCUSDT"), ("BTC", "NOSUCH")])
async def test_of_a_pair_that_does_not_have_the_asset_it_is_refused_at_once(
    asset: str, symbol: str
) -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        with pytest.raises(Rejected) as caught:
            await scheduler.repay("main", asset, "all", symbol=symbol, timeout=9)
        assert (caught.value.code, caught.value.name) == (-3028, "NOT_VALID_MARGIN_PAIR")
        assert "nothing was sent" in (caught.value.message or "")


async def test_it_can_be_taken_back_while_the_account_is_looked_at() -> None:
    async with (
        Simulator(port=None, round_trip_ms=(400, 400)) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        entry = await scheduler.submit("main", "REPAY", "USDT", "all")
        await anyio.sleep(0.1)
        assert (await scheduler.cancel(entry.key)).state is State.CANCELLED
        await anyio.sleep(5)
        assert sim.ledger.booked() == []
        assert (await scheduler.repay("main", "USDT", "all")).amount == 100


async def test_a_pause_while_the_account_is_looked_at_puts_it_back() -> None:
    async with (
        Simulator(port=None, round_trip_ms=(400, 400)) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        entry = await scheduler.submit("main", "REPAY", "USDT", "all")
        await anyio.sleep(0.1)
        await scheduler.pause("main")
        await anyio.sleep(5)
        assert (await scheduler.get(entry.key)).state is State.QUEUED
        await scheduler.resume("main")
        assert (await scheduler.wait(entry.key)).state is State.CONFIRMED


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.test_repay_all")
    parser.add_argument("--rounds", type=int, default=5_000)
    asked = parser.parse_args().rounds
    for delayed, least in ((False, "0"), (True, "0"), (True, "0.01")):
        lived = virtual_time.run(live(asked, BEFORE_MS[-4:], minimum=least, is_delayed=delayed))
        judge(lived, asked)
        print(f"{asked} rounds, minimum {least}: {lived.rests()} rests, codes {lived.codes}")
