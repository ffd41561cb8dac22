"""What the scheduler does when its journal fails: it waits, and sends nothing not durable."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import pytest

from scheduler import Entry, JournalUnavailable, Scheduler, State
from scheduler.journal.memory import MemoryJournal
from scheduler.simulator import Simulator
from scheduler.wire import HttpReply, HttpRequest

pytestmark = pytest.mark.anyio

T = TypeVar("T")
WORK = ("BORROW", "REPAY", "BORROW", "REPAY", "BORROW")
IDLE = ("BORROW", "REPAY")
FAILS_FOR_S = 5.0


class FailingJournal(MemoryJournal):
    """Fails from its n-th operation of a kind on, for a while; `keeps` tells whether what failed
    was nevertheless written, as by a disk whose answer was lost."""

    def __init__(self, operation: str, nth: int, *, keeps: bool) -> None:
        super().__init__()
        self._operation = operation
        self._nth = nth
        self._keeps = keeps
        self._until_s: float | None = None
        self.calls: Counter[str] = Counter()

    @property
    def is_failing(self) -> bool:
        return self._until_s is not None and anyio.current_time() < self._until_s

    async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
        return await self._maybe("add", lambda: super(FailingJournal, self).add(entry, sent=sent))

    async def update(self, *entries: Entry, at_ms: int) -> None:
        await self._maybe(
            "update", lambda: super(FailingJournal, self).update(*entries, at_ms=at_ms)
        )

    async def get(self, key: str) -> Entry | None:
        return await self._maybe("get", lambda: super(FailingJournal, self).get(key))

    async def _maybe(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        self.calls[operation] += 1
        if operation == self._operation and self.calls[operation] == self._nth:
            self._until_s = anyio.current_time() + FAILS_FOR_S
        if not self.is_failing:
            return await work()
        if self._keeps and operation != "get":
            await work()
        raise JournalUnavailable("journal: the disk is full")

    def holds(self, stamp: str) -> bool:
        """Whether an attempt with this timestamp is durable and SENT."""
        return any(
            entry.state is State.SENT and entry.attempt and stamp in entry.attempt.body
            for entry in self._in_order
        )


class Watched:
    """The simulator's transport, which notes requests that no durable attempt stands behind."""

    def __init__(self, sim: Simulator, journal: FailingJournal) -> None:
        self._sim = sim
        self._journal = journal
        self.unfounded: list[str] = []

    async def send(self, request: HttpRequest) -> HttpReply:
        if request.method == "POST":
            stamp = request.body.decode().partition("timestamp=")[2].partition("&")[0]
            if not self._journal.holds(f"timestamp={stamp}"):
                self.unfounded.append(stamp)
        return await self._sim.transport.send(request)

    async def aclose(self) -> None:
        """It is the simulator's."""


async def run(journal: FailingJournal, sim: Simulator) -> tuple[Watched, list[str]]:
    sim.set_debt(sim.account("main"), "USDT", "100")
    transport = Watched(sim, journal)
    causes: list[str] = []
    async with Scheduler([sim.account("main")], journal=journal, transport=transport) as scheduler:

        async def caller(number: int, kind: str) -> None:
            for _ in range(20):  # as a caller would: the same key until it is taken
                try:
                    await scheduler.submit("main", kind, "USDT", "1", key=f"k{number}")
                    return
                except JournalUnavailable:
                    await anyio.sleep(1)

        async with anyio.create_task_group() as callers:
            for number, kind in enumerate(WORK):
                callers.start_soon(caller, number, kind)
        with anyio.move_on_after(300):
            while not await _all_final(journal, len(WORK)):
                status = await scheduler.status("main")
                causes += [hold.cause for hold in status.holds if hold.cause == "journal"]
                await anyio.sleep(0.25)
            # Nothing is before these, so that each is kept together with its attempt.
            for number, kind in enumerate(IDLE, start=len(WORK)):
                await caller(number, kind)
                while not await _all_final(journal, number + 1):  # noqa: ASYNC110  as above
                    await anyio.sleep(0.25)
        causes += [a.cause for a in (await scheduler.status("main")).alarms]
    return transport, causes


async def _all_final(journal: FailingJournal, count: int) -> bool:
    entries = await MemoryJournal.find(journal)
    return len(entries) == count and all(entry.is_final for entry in entries)


@pytest.mark.parametrize("keeps", [False, True], ids=["not written", "written all the same"])
@pytest.mark.parametrize("nth", range(1, 11))
@pytest.mark.parametrize("operation", ["add", "update", "get"])
async def test_nothing_is_sent_that_is_not_durable_and_all_goes_on_afterwards(
    operation: str, nth: int, keeps: bool
) -> None:
    journal = FailingJournal(operation, nth, keeps=keeps)
    async with Simulator(port=None) as sim:
        sim.fail_next("lost_after")
        transport, causes = await run(journal, sim)
        assert transport.unfounded == []
        entries: list[Any] = await MemoryJournal.find(journal)
        assert [entry.state for entry in entries if not entry.is_final] == []
        assert len(entries) == len(WORK) + len(IDLE)
        assert all(entry.is_final for entry in entries), "it did not go on"
        booked = {t.tran_id for t in sim.ledger.booked()}
        assert {e.tran_id for e in entries if e.state is State.CONFIRMED} == booked
        assert len(booked) >= len(entries) - 1
        if operation == "update" and journal.calls["update"] >= nth:
            assert "journal" in causes, "the lane waited and status did not say for what"


async def test_a_cancel_that_cannot_be_kept_leaves_the_submission_as_it_was() -> None:
    journal = FailingJournal("update", 1, keeps=False)
    async with Simulator(port=None) as sim:
        account = sim.account("main")
        async with Scheduler([account], journal=journal, transport=sim.transport) as scheduler:
            await scheduler.pause("main")
            await scheduler.submit("main", "BORROW", "USDT", "1", key="k")
            with pytest.raises(JournalUnavailable):
                await scheduler.cancel("k")
            await anyio.sleep(FAILS_FOR_S)
            assert (await scheduler.cancel("k")).state is State.CANCELLED
