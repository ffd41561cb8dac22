"""What may start at once does so by one write: what is queued when an answer comes together with
the outcome before it, and a new submission together with its first attempt."""

import asyncio
from collections.abc import Callable
from decimal import Decimal

import anyio
import pytest

from scheduler import Entry, Limits, Scheduler, State
from scheduler.account import AccountLike
from scheduler.journal.memory import MemoryJournal
from scheduler.journal.protocol import AlreadyInAir, StaleVersion
from scheduler.simulator import Simulator

pytestmark = pytest.mark.anyio


class Noted(MemoryJournal):
    """Notes which states each write brought, and refuses writes of two as told."""

    def __init__(self, refuse: Callable[[Entry], Exception] | None = None, times: int = 1) -> None:
        super().__init__()
        self.writes: list[tuple[State, ...]] = []
        self._refuse = refuse
        self._times = times

    async def update(self, *entries: Entry, at_ms: int) -> None:
        if len(entries) > 1 and self._refuse is not None and self._times:
            self._times -= 1
            raise self._refuse(entries[-1])
        await super().update(*entries, at_ms=at_ms)
        self.writes.append(tuple(entry.state for entry in entries))


SLOW_MS = 150
"""Longer than the gap between two starts, so that nothing waits for that."""

SENT, CONFIRMED, ACCEPTED, REJECTED = State.SENT, State.CONFIRMED, State.ACCEPTED, State.REJECTED


async def confirmed(
    sim: Simulator,
    journal: MemoryJournal,
    account: AccountLike,
    *amounts: str,
    kind: str = "BORROW",
) -> list[Entry]:
    """Submitted together, and waited for."""
    async with Scheduler([account], journal=journal, transport=sim.transport) as scheduler:
        await scheduler.pause(account.name)
        for number, amount in enumerate(amounts):
            await scheduler.submit(account.name, kind, "USDT", amount, key=f"k{number}")
        await scheduler.resume(account.name)
        return [await scheduler.wait(f"k{n}", timeout=60) for n in range(len(amounts))]


async def test_an_outcome_and_the_attempt_after_it_are_one_write() -> None:
    journal = Noted()
    async with Simulator(port=None, processing_ms=SLOW_MS) as sim:
        entries = await confirmed(sim, journal, sim.account("main"), "1", "2", "3")
        assert [e.tran_id for e in entries] == [t.tran_id for t in sim.ledger.booked()]
    assert journal.writes == [(SENT,), (CONFIRMED, SENT), (CONFIRMED, SENT), (CONFIRMED,)]


async def test_so_are_they_where_only_the_record_confirms() -> None:
    journal = Noted()
    async with Simulator(port=None, processing_ms=SLOW_MS) as sim:
        account = sim.account("main", confirm="record")
        entries = await confirmed(sim, journal, account, "1", "2")
        assert {e.state for e in entries} == {CONFIRMED}
    assert journal.writes[:3] == [(SENT,), (ACCEPTED, SENT), (ACCEPTED,)]


async def test_after_a_refusal_nothing_is_hurried() -> None:
    journal = Noted()
    async with Simulator(port=None, processing_ms=SLOW_MS) as sim:
        sim.fail_next(-3006)
        first, second = await confirmed(sim, journal, sim.account("main"), "1", "2")
        assert (first.state, second.state) == (REJECTED, CONFIRMED)
    assert {len(states) for states in journal.writes} == {1}


async def test_what_takes_a_look_first_waits_for_the_outcome_before_it() -> None:
    journal = Noted()
    async with Simulator(port=None, processing_ms=SLOW_MS) as sim:
        account = sim.account("main")
        sim.set_debt(account, "USDT", "10")
        four, rest = await confirmed(sim, journal, account, "4", "all", kind="REPAY")
        assert (four.state, rest.state, rest.amount) == (CONFIRMED, CONFIRMED, Decimal(6))
    assert journal.writes[:3] == [(SENT,), (CONFIRMED,), (SENT,)]


async def test_nothing_of_ours_follows_a_repayment_of_everything_before_it_was_looked_after() -> (
    None
):
    journal = Noted()
    async with Simulator(port=None, processing_ms=SLOW_MS) as sim:
        account = sim.account("main")
        sim.set_debt(account, "USDT", "10")
        async with Scheduler([account], journal=journal, transport=sim.transport) as scheduler:
            await scheduler.pause("main")
            await scheduler.submit("main", "REPAY", "USDT", "all", key="all")
            await scheduler.submit("main", "REPAY", "BTC", "1", key="next", send_within=60)
            await scheduler.resume("main")
            await scheduler.wait("next", timeout=60)
    assert journal.writes[:3] == [(SENT,), (CONFIRMED,), (SENT,)]


@pytest.mark.parametrize(
    "refuse",
    [lambda last: StaleVersion(last.key), lambda last: AlreadyInAir(last.key)],
    ids=["stale", "another in the air"],
)
async def test_where_the_journal_does_not_take_both_each_goes_by_itself(
    refuse: Callable[[Entry], Exception],
) -> None:
    journal = Noted(refuse)
    async with Simulator(port=None, processing_ms=SLOW_MS) as sim:
        entries = await confirmed(sim, journal, sim.account("main"), "1", "2", "3")
        assert {e.state for e in entries} == {CONFIRMED}
        assert [e.tran_id for e in entries] == [t.tran_id for t in sim.ledger.booked()]
        assert [e.attempts for e in entries] == [1, 1, 1]
    assert journal.writes == [(SENT,), (CONFIRMED,), (SENT,), (CONFIRMED, SENT), (CONFIRMED,)]


async def test_what_the_journal_did_not_take_costs_no_weight() -> None:
    journal = Noted(lambda last: StaleVersion(last.key), times=2)
    async with Simulator(port=None, processing_ms=SLOW_MS) as sim:
        account = sim.account("main")
        async with Scheduler([account], journal=journal, transport=sim.transport) as scheduler:
            await scheduler.pause("main")
            for number in range(3):
                await scheduler.submit("main", "BORROW", "USDT", "1", key=f"k{number}")
            await scheduler.resume("main")
            await scheduler.wait("k2", timeout=60)
            assert (await scheduler.status("main")).weight_used == 3 * 1500


# New submissions


class Keeping(MemoryJournal):
    """Notes what it is asked to keep, takes its time, and may keep it without its attempt."""

    def __init__(self, *, is_able: bool = True) -> None:
        super().__init__()
        self.asked: list[str] = []
        self._is_able = is_able

    async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
        self.asked.append(f"keep {entry.key}" + (" and its attempt" if sent else ""))
        await anyio.sleep(0.1)
        kept = await super().add(entry, sent=sent if self._is_able else None)
        await anyio.sleep(0.1)
        return kept

    async def update(self, *entries: Entry, at_ms: int) -> None:
        self.asked.append(" and ".join(f"{entry.key} {entry.state}" for entry in entries))
        await super().update(*entries, at_ms=at_ms)


QUICK = Limits(min_gap_ms=0)


async def test_a_new_submission_and_its_attempt_are_one_write() -> None:
    journal = Keeping()
    async with (
        Simulator(port=None, processing_ms=SLOW_MS) as sim,
        Scheduler([sim.account("main")], journal=journal, transport=sim.transport) as scheduler,
    ):
        await scheduler.borrow("main", "USDT", "1", key="first")  # with which the account begins
        journal.asked.clear()
        taken = await scheduler.submit("main", "BORROW", "USDT", "2", key="second")
        assert (taken.state, taken.seq, taken.version) == (State.QUEUED, 2, 1)
        kept = await scheduler.get("second")
        assert (kept.state, kept.version) == (SENT, 2)
        assert (await scheduler.wait("second")).state is CONFIRMED
        rows = await scheduler.history("second")
        assert [row.state for row in rows] == [State.QUEUED, SENT, CONFIRMED]
    assert journal.asked == ["keep second and its attempt", "second SENT", "second CONFIRMED"]


@pytest.mark.parametrize("is_able", [True, False])
async def test_each_of_many_is_executed_once_in_the_order_of_their_submission(
    *, is_able: bool
) -> None:
    journal = Keeping(is_able=is_able)
    async with (
        Simulator(port=None, processing_ms=10) as sim,
        Scheduler(
            [sim.account("main")], journal=journal, transport=sim.transport, limits=QUICK
        ) as scheduler,
    ):
        await scheduler.borrow("main", "USDT", "1")
        amounts = [str(amount) for amount in range(2, 32)]
        async with asyncio.TaskGroup() as callers:
            for number, amount in enumerate(amounts):
                asked = scheduler.submit("main", "BORROW", "USDT", amount, key=amount)
                callers.create_task(asked)
                await anyio.sleep(0.03 * (number % 8))
        ends = [await scheduler.wait(amount) for amount in amounts]
        assert {end.state for end in ends} == {CONFIRMED}
        assert [str(t.amount) for t in sim.ledger.booked()] == ["1", *amounts]


async def test_a_submission_that_is_kept_alone_is_sent_only_once_its_attempt_is_durable() -> None:
    journal = Keeping(is_able=False)
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal=journal, transport=sim.transport) as scheduler,
    ):
        await scheduler.borrow("main", "USDT", "1")
        journal.asked.clear()
        await scheduler.borrow("main", "USDT", "2", key="k")
    assert journal.asked == ["keep k and its attempt", "k SENT", "k CONFIRMED"]


async def test_a_key_that_is_known_starts_nothing() -> None:
    journal = Keeping()
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal=journal, transport=sim.transport) as scheduler,
    ):
        first = await scheduler.borrow("main", "USDT", "1", key="k")
        weight = scheduler.overview().accounts[0].weight_used
        assert await scheduler.borrow("main", "USDT", "1.0", key="k") == first
        assert scheduler.overview().accounts[0].weight_used == weight
        assert (await scheduler.borrow("main", "USDT", "2")).state is CONFIRMED
        assert [str(t.amount) for t in sim.ledger.booked()] == ["1", "2"]


async def test_a_caller_that_leaves_while_both_are_written_leaves_them_alone() -> None:
    journal = Keeping()
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal=journal, transport=sim.transport) as scheduler,
    ):
        await scheduler.borrow("main", "USDT", "1")
        leaving = asyncio.create_task(scheduler.borrow("main", "USDT", "2", key="k"))
        await anyio.sleep(0.05)
        leaving.cancel()
        await anyio.sleep(0.3)
        assert (await scheduler.wait("k")).state is CONFIRMED
        assert len(sim.ledger.booked()) == 2
