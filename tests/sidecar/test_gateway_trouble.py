"""The gateway when what it stands on fails: the journal, the way to the exchange, the clock."""

import asyncio

import pytest

from scheduler import Entry, State
from scheduler.journal.memory import MemoryJournal

from ..test_journal_failure import FailingJournal
from .bots import Heard, World, left, world

pytestmark = pytest.mark.anyio


async def persistent(w: World) -> Heard:
    """What a careful bot does: after an answer that decides nothing, the same request again."""
    for _ in range(60):
        heard = await w.bot().borrow()
        if heard.status not in {503, 504}:
            return heard
        await asyncio.sleep(1)
    raise AssertionError("never decided")


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("operation", ["add", "update", "get"])
async def test_a_failing_journal_is_a_503_and_its_repeat_is_one_loan(
    operation: str, nth: int, keeps: bool
) -> None:
    journal = FailingJournal(operation, nth, keeps=keeps)
    async with world(journal=journal) as w:
        for count in (1, 2, 3):
            heard = await persistent(w)
            assert heard.status == 200
            await asyncio.sleep(20)
            assert w.booked() == count


async def test_a_client_that_leaves_while_the_journal_fails_has_no_second_loan() -> None:
    for keeps in (True, False):
        async with world(journal=FailingJournal("add", 1, keeps=keeps)) as w:
            waiting = asyncio.create_task(w.bot().borrow())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert (await persistent(w)).status == 200
            await asyncio.sleep(20)
            assert w.booked() == 1


class SlowJournal(MemoryJournal):
    """Takes its time to write, and reads at once what is written by then."""

    async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
        await asyncio.sleep(0.1)
        kept = await super().add(entry, sent=sent)
        await asyncio.sleep(0.1)
        return kept

    async def update(self, *entries: Entry, at_ms: int) -> None:
        await asyncio.sleep(0.1)
        await super().update(*entries, at_ms=at_ms)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("pause_ms", [0, 40, 90, 130])
@pytest.mark.parametrize("step_ms", range(10, 480, 30))
async def test_leaving_a_slow_journal_and_repeating_is_one_loan(
    step_ms: int, pause_ms: int
) -> None:
    async with world(journal=SlowJournal()) as w:
        waiting = asyncio.create_task(w.bot().borrow())
        await asyncio.sleep(step_ms / 1000)
        await left(waiting)
        await asyncio.sleep(pause_ms / 1000)
        assert (await w.bot().borrow()).status == 200
        await asyncio.sleep(20)
        assert w.booked() == 1


@pytest.mark.parametrize("second_ms", [0, 30, 80])
@pytest.mark.parametrize("step_ms", range(10, 480, 30))
async def test_leaving_a_slow_journal_twice_and_repeating_is_one_loan(
    step_ms: int, second_ms: int
) -> None:
    async with world(journal=SlowJournal()) as w:
        for pause_ms in (step_ms, second_ms):
            waiting = asyncio.create_task(w.bot().borrow())
            await asyncio.sleep(pause_ms / 1000)
            await left(waiting)
        assert (await w.bot().borrow()).status == 200
        await asyncio.sleep(20)
        assert w.booked() == 1


async def test_a_journal_that_stands_still_longer_than_the_patience_makes_no_second_loan() -> None:
    async with world(journal=SlowJournal(), patience_ms=50) as w:
        for _ in range(20):
            heard = await w.bot().borrow()
            if heard.status == 200:
                break
        await asyncio.sleep(20)
        assert w.booked() <= 1


async def test_an_exchange_that_cannot_be_reached_is_a_429_and_nothing_is_left_behind() -> None:
    async with world() as w:
        w.sim.set_down(True)
        heard = await w.bot().borrow()
        assert (heard.status, heard.code) == (429, -1003)
        w.sim.set_down(False)
        await asyncio.sleep(60)
        assert w.booked() == 0
        assert (await w.scheduler.list())[0].state is State.CANCELLED


async def test_a_paused_account_keeps_nobody_longer_than_the_patience() -> None:
    async with world() as w:
        await w.scheduler.pause("main")
        began_s = asyncio.get_running_loop().time()
        assert (await w.bot().borrow()).status == 429
        assert asyncio.get_running_loop().time() - began_s < 8.1


async def test_a_closed_scheduler_says_that_it_may_have_happened() -> None:
    async with world(processing_ms=20_000, patience_ms=30_000) as w:
        waiting = asyncio.create_task(w.bot().borrow())
        await asyncio.sleep(1)
        await w.scheduler.aclose(timeout=1)
        heard = await waiting
        assert (heard.status, heard.code) == (504, -1007)
        assert (await w.ask("GET", "/api/v3/ping")).status == 503


async def test_a_record_that_confirms_is_waited_for() -> None:
    async with world(account={"confirm": "record"}, record_lag_ms=(500, 500)) as w:
        heard = await w.bot().borrow()
        assert heard.tran_id == w.sim.ledger.booked()[0].tran_id
        assert (await w.scheduler.get(f"bot-a:{heard.key}")).state is State.CONFIRMED


async def test_a_record_that_does_not_come_in_time_is_a_504() -> None:
    async with world(account={"confirm": "record"}, record_lag_ms=(20_000, 20_000)) as w:
        heard = await w.bot().borrow()
        assert heard.status == 504
        assert (await w.scheduler.get(f"bot-a:{heard.key}")).state is State.ACCEPTED
        await asyncio.sleep(40)
        assert (await w.bot().borrow()).is_replayed
        assert w.booked() == 1


async def test_leaving_a_banned_address_is_no_loan_when_the_ban_ends() -> None:
    async with world() as w:
        w.sim.fail_next("418")
        waiting = asyncio.create_task(w.bot().borrow())
        await asyncio.sleep(1)
        await left(waiting)
        await asyncio.sleep(300)
        assert w.booked() == 0
