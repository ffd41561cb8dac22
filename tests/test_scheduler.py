"""What a program that embeds the scheduler sees, against the simulated exchange."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import anyio
import pytest

from scheduler import (
    Account,
    AccountStopped,
    Alarm,
    CannotStartInTime,
    Closed,
    ConfigurationError,
    Entry,
    EventsLost,
    Expired,
    InvalidRequest,
    KeyReused,
    Limits,
    NotCancellable,
    NotExecuted,
    NotResolvable,
    QueueFull,
    Rejected,
    Scheduler,
    State,
    StillPending,
    SubmissionCancelled,
    UnknownAccount,
    UnknownKey,
    Unresolved,
    WrongLoop,
)
from scheduler.journal.memory import MemoryJournal
from scheduler.simulator import Simulator
from scheduler.visibility import AT_ONCE_MAX

pytestmark = pytest.mark.anyio

PATH = "/sapi/v1/margin/borrow-repay"


@asynccontextmanager
async def running(
    sim: Simulator,
    names: tuple[str, ...] = ("main",),
    *,
    account: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Scheduler]:
    accounts = [sim.account(name, **(account or {})) for name in names]
    async with Scheduler(
        accounts, transport=sim.transport, **{"journal": "memory:", **options}
    ) as scheduler:
        yield scheduler


def loans(sim: Simulator) -> int:
    calls = (a.method == "POST" and a.path == PATH for a in sim.ledger.arrivals)
    return sum(calls)


async def test_a_borrow_and_a_repayment_are_confirmed_with_the_exchanges_ids() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        borrowed = await scheduler.borrow("main", "USDT", "100")
        repaid = await scheduler.repay("main", "USDT", Decimal("40.5"))
        isolated = await scheduler.borrow("main", "BTC", "0.1", symbol="BTCUSDT")
        assert [t.tran_id for t in sim.ledger.booked()] == [
            borrowed.tran_id,
            repaid.tran_id,
            isolated.tran_id,
        ]
        assert sim.ledger.debt("main", "USDT") == Decimal("59.5")
        assert sim.ledger.debt("main", "BTC", "BTCUSDT") == Decimal("0.1")


async def test_a_burst_is_sent_one_at_a_time_and_in_order() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        entries = await asyncio.gather(
            *(scheduler.borrow("main", "USDT", str(n)) for n in range(1, 51))
        )
        assert [t.amount for t in sim.ledger.booked()] == list(range(1, 51))
        assert all(entry.attempts == 1 for entry in entries)
        assert not sim.ledger.refusals()


async def test_answers_that_come_at_once_cost_a_few_refusals_and_then_a_wider_gap() -> None:
    async with Simulator(port=None, answers="at_once") as sim, running(sim) as scheduler:
        await asyncio.gather(*(scheduler.borrow("main", "USDT", "1") for _ in range(100)))
        await anyio.sleep(1)
        assert len(sim.ledger.booked()) == 100
        assert sim.ledger.refusals()[-3007] <= 3


async def test_a_list_takes_states_as_words_too_and_no_others() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        entry = await scheduler.borrow("main", "USDT", "1")
        assert await scheduler.list(state="CONFIRMED") == [entry]
        with pytest.raises(InvalidRequest, match=r"^state: must be one of QUEUED, SENT") as caught:
            await scheduler.list(state="confirmed")
        assert caught.value.code == "state_invalid"


async def test_urgent_goes_before_normal() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        for n in range(1, 6):
            await scheduler.submit("main", "BORROW", "USDT", str(n))
        await anyio.sleep(0.01)  # the first is on its way
        urgent = await scheduler.submit("main", "BORROW", "BTC", "1", priority="urgent")
        await scheduler.wait(urgent.key)
        assert [t.asset for t in sim.ledger.booked()] == ["USDT", "BTC"]


async def test_a_terminal_refusal_passes_through_word_for_word_at_once() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_max_borrowable("main", "USDT", "10")
        with pytest.raises(Rejected) as caught:
            await scheduler.borrow("main", "USDT", "11")
        assert (caught.value.code, caught.value.name, caught.value.message) == (
            -3006,
            "EXCEED_MAX_BORROWABLE",
            "Your borrow amount has exceed maximum borrow amount.",
        )
        assert caught.value.advice
        assert caught.value.entry.attempts == 1


async def test_the_two_meanings_of_3015_have_two_names() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_debt("main", "USDT", "10")
        sim.set_minimums("USDT", debt="1")
        with pytest.raises(Rejected) as too_much:
            await scheduler.repay("main", "USDT", "11")
        with pytest.raises(Rejected) as dust:
            await scheduler.repay("main", "USDT", "9.5")
        assert (too_much.value.code, too_much.value.name) == (-3015, "REPAY_EXCEED_LIABILITY")
        assert (dust.value.code, dust.value.name) == (-3015, "FEW_LIABILITY_LEFT")


async def test_a_transaction_under_way_is_waited_out() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.order("main", "BTC", "1", occupies_ms=5_000)
        entry = await scheduler.borrow("main", "USDT", "1")
        assert entry.state is State.CONFIRMED
        assert 2 <= entry.attempts <= 9


async def test_a_lost_answer_is_looked_up_and_never_sent_again() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.fail_next("lost_after")
        entry = await scheduler.borrow("main", "USDT", "1")
        assert [t.tran_id for t in sim.ledger.booked()] == [entry.tran_id]
        assert entry.evidence[-1].source == "record"


async def test_a_borrow_that_never_happened_is_proven_so_and_not_repeated() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.fail_next("lost_before")
        with pytest.raises(NotExecuted) as caught:
            await scheduler.borrow("main", "USDT", "1")
        assert loans(sim) == 1
        assert [e.source for e in caught.value.entry.evidence] == ["lost", "look", "look"]


async def test_a_repayment_that_never_happened_is_sent_again() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_debt("main", "USDT", "10")
        sim.fail_next("lost_before")
        entry = await scheduler.repay("main", "USDT", "1")
        assert entry.attempts == 2
        assert [t.tran_id for t in sim.ledger.booked()] == [entry.tran_id]


async def test_a_failed_record_is_no_loan_and_is_not_repeated() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_debt("main", "USDT", "10")
        sim.fail_next("lost_failed")
        with pytest.raises(NotExecuted):
            await scheduler.repay("main", "USDT", "1")
        assert loans(sim) == 1


async def test_with_confirm_record_only_the_record_confirms() -> None:
    async with (
        Simulator(port=None, record_lag_ms=(3_000, 3_000)) as sim,
        running(sim, account={"confirm": "record"}) as scheduler,
    ):
        began = asyncio.get_running_loop().time()
        await scheduler.borrow("main", "USDT", "1")
        assert asyncio.get_running_loop().time() - began > 3
        sim.fail_next("failed_record")
        with pytest.raises(Rejected):
            await scheduler.borrow("main", "USDT", "1")


async def test_on_a_shared_account_a_match_needs_a_person() -> None:
    async with (
        Simulator(port=None) as sim,
        running(sim, account={"exclusive": False}) as scheduler,
    ):
        sim.fail_next("lost_after")
        with pytest.raises(Unresolved) as caught:
            await scheduler.borrow("main", "USDT", "1", key="k1")
        tran_id = sim.ledger.booked()[0].tran_id
        with pytest.raises(NotResolvable) as early:
            await scheduler.resolve("k1", "CONFIRMED", tran_id=tran_id, because="I looked")
        assert early.value.code == "fence_not_passed"
        assert caught.value.entry.needs_person
        await anyio.sleep(40)
        entry = await scheduler.resolve("k1", "CONFIRMED", tran_id=tran_id, because="I looked")
        assert (entry.state, entry.tran_id) == (State.CONFIRMED, tran_id)
        with pytest.raises(NotResolvable) as late:
            await scheduler.resolve("k1", "NOT_EXECUTED", because="I looked again")
        assert late.value.code == "not_undecided"


async def test_nobody_can_resolve_to_a_transaction_that_another_submission_holds() -> None:
    async with (
        Simulator(port=None) as sim,
        running(sim, account={"exclusive": False}) as scheduler,
    ):
        other = await scheduler.borrow("main", "BTC", "1")
        sim.fail_next("lost_after")
        with pytest.raises(Unresolved):
            await scheduler.borrow("main", "USDT", "1", key="k1")
        await anyio.sleep(40)
        with pytest.raises(NotResolvable) as caught:
            await scheduler.resolve("k1", "CONFIRMED", tran_id=other.tran_id, because="a guess")
        assert caught.value.code == "tran_id_claimed"
        assert (await scheduler.get("k1")).state is State.UNRESOLVED


async def test_a_record_that_nobody_here_caused_marks_the_account_as_shared_for_good() -> None:
    journal = MemoryJournal()
    async with Simulator(port=None) as sim:
        async with running(sim, journal=journal) as scheduler:
            sim.fail_next("lost_before")
            submitted = await scheduler.submit("main", "BORROW", "USDT", "1")
            await anyio.sleep(0.2)
            sim.foreign("main", "BORROW", "USDT", "7")
            await scheduler.wait(submitted.key)
            status = await scheduler.status("main")
            assert not status.is_exclusive
            assert "shared_account" in [alarm.cause for alarm in status.alarms]
        async with running(sim, journal=journal) as scheduler:
            assert not (await scheduler.status("main")).is_exclusive
            await scheduler.resume("main")
            assert (await scheduler.status("main")).is_exclusive


async def test_the_same_key_with_the_same_request_is_the_same_submission() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        one = await scheduler.borrow("main", "USDT", "1", key="order-17")
        two = await scheduler.borrow("main", "USDT", "1.00", key="order-17", priority="urgent")
        assert one == two
        assert len(sim.ledger.booked()) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("main", "BORROW", "USDT", "2", {}), id="amount"),
        pytest.param(("main", "REPAY", "USDT", "1", {}), id="kind"),
        pytest.param(("main", "BORROW", "BTC", "1", {}), id="asset"),
        pytest.param(("other", "BORROW", "USDT", "1", {}), id="account"),
        pytest.param(("main", "BORROW", "USDT", "1", {"symbol": "BTCUSDT"}), id="symbol"),
    ],
)
async def test_the_same_key_with_another_request_is_refused(other: Any) -> None:
    async with Simulator(port=None) as sim, running(sim, ("main", "other")) as scheduler:
        first = await scheduler.submit("main", "BORROW", "USDT", "1", key="k")
        account, kind, asset, amount, options = other
        with pytest.raises(KeyReused) as caught:
            await scheduler.submit(account, kind, asset, amount, key="k", **options)
        assert caught.value.entry.submission == first.submission


async def test_what_is_queued_can_be_cancelled_and_what_is_in_the_air_cannot() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        first = await scheduler.submit("main", "BORROW", "USDT", "1")
        second = await scheduler.submit("main", "BORROW", "USDT", "2")
        await anyio.sleep(0.01)
        with pytest.raises(NotCancellable) as caught:
            await scheduler.cancel(first.key)
        assert caught.value.entry.state is State.SENT
        assert (await scheduler.cancel(second.key)).state is State.CANCELLED
        with pytest.raises(SubmissionCancelled):
            await scheduler.borrow("main", "USDT", "2", key=second.key)
        await scheduler.wait(first.key)
        assert [t.amount for t in sim.ledger.booked()] == [1]


async def test_two_that_cancel_at_once_get_the_same_answer() -> None:
    class SlowJournal(MemoryJournal):
        async def update(self, *entries: Entry, at_ms: int) -> None:
            await anyio.sleep(1)
            await super().update(*entries, at_ms=at_ms)

    async with (
        Simulator(port=None) as sim,
        running(sim, journal=SlowJournal()) as scheduler,
    ):
        await scheduler.pause("main")
        queued = await scheduler.submit("main", "BORROW", "USDT", "1")
        first, second = await asyncio.gather(*[scheduler.cancel(queued.key) for _ in range(2)])
        assert first.state is State.CANCELLED
        assert first == second


async def test_time_that_runs_out_before_anything_was_sent_is_expired() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        await scheduler.pause("main")
        with pytest.raises(Expired):
            await scheduler.borrow("main", "USDT", "1", send_within=2)
        assert loans(sim) == 0


async def test_time_that_runs_out_after_a_refusal_passes_that_on() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.drain("USDT")
        with pytest.raises(Rejected) as caught:
            await scheduler.borrow("main", "USDT", "1", send_within=5)
        assert caught.value.code == -3045


async def test_a_caller_that_stops_waiting_leaves_its_submission_alone() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        with pytest.raises(StillPending):
            await scheduler.borrow("main", "USDT", "1", key="a", timeout=0.01)
        waiting = asyncio.create_task(scheduler.borrow("main", "USDT", "2", key="b"))
        await anyio.sleep(0.01)
        waiting.cancel()
        assert (await scheduler.wait("a")).state is State.CONFIRMED
        assert (await scheduler.wait("b")).state is State.CONFIRMED
        assert len(sim.ledger.booked()) == 2


async def test_a_caller_cancelled_while_it_submits_does_not_undo_it() -> None:
    class SlowJournal(MemoryJournal):
        async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
            await anyio.sleep(1)
            return await super().add(entry, sent=sent)

    async with (
        Simulator(port=None) as sim,
        running(sim, journal=SlowJournal()) as scheduler,
    ):
        submitting = asyncio.create_task(scheduler.submit("main", "BORROW", "USDT", "1", key="k"))
        await anyio.sleep(0.5)
        submitting.cancel()
        await anyio.sleep(1)
        assert (await scheduler.wait("k")).state is State.CONFIRMED


async def test_a_refusal_whose_caller_is_gone_is_no_defect() -> None:
    received: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: received.append(what))

    class SlowJournal(MemoryJournal):
        async def get(self, key: str) -> Entry | None:
            await anyio.sleep(1)
            return await super().get(key)

    async with (
        Simulator(port=None) as sim,
        running(sim, journal=SlowJournal(), limits=Limits(queue_max=1)) as scheduler,
    ):
        await scheduler.pause("main")
        await scheduler.submit("main", "BORROW", "USDT", "1")
        submitting = asyncio.create_task(scheduler.submit("main", "BORROW", "USDT", "2"))
        await anyio.sleep(0.5)
        submitting.cancel()
        await anyio.sleep(1)
        del submitting
        gc.collect()  # an error that nobody asked for is told of by then
        assert not received
        assert len(await scheduler.list()) == 1


async def test_wait_gives_the_entry_as_it_stands_when_its_time_is_over() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        entry = await scheduler.submit("main", "BORROW", "USDT", "1")
        standing = await scheduler.wait(entry.key, timeout=0.05)
        assert standing.state is State.SENT
        assert not standing.is_final
        assert (await scheduler.wait(entry.key)).is_final


class Asked(MemoryJournal):
    """Notes which keys it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    async def get(self, key: str) -> Entry | None:
        self.keys.append(key)
        return await super().get(key)


async def test_waiting_for_what_is_under_way_does_not_ask_the_journal() -> None:
    journal = Asked()
    async with Simulator(port=None) as sim, running(sim, journal=journal) as scheduler:
        await scheduler.submit("main", "BORROW", "USDT", "1", key="k")
        assert (await scheduler.wait("k")).state is State.CONFIRMED
        assert journal.keys == []
        assert (await scheduler.wait("k")).state is State.CONFIRMED
        assert journal.keys == ["k"]


async def test_a_full_queue_refuses_and_still_knows_what_it_took() -> None:
    async with Simulator(port=None) as sim, running(sim, limits=Limits(queue_max=2)) as scheduler:
        await scheduler.pause("main")
        await scheduler.submit("main", "BORROW", "USDT", "1", key="a")
        await scheduler.submit("main", "BORROW", "USDT", "1", key="b")
        with pytest.raises(QueueFull) as caught:
            await scheduler.submit("main", "BORROW", "USDT", "1", key="c")
        assert caught.value.retry_after_s > 0
        with pytest.raises(UnknownKey):
            await scheduler.get("c")
        assert (await scheduler.submit("main", "BORROW", "USDT", "1", key="a")).key == "a"


async def test_what_cannot_start_in_time_is_refused_with_when_it_could() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        for _ in range(130):
            await scheduler.submit("main", "BORROW", "USDT", "1")
        await anyio.sleep(0.01)  # the first is on its way
        with pytest.raises(CannotStartInTime) as caught:
            await scheduler.submit("main", "BORROW", "USDT", "1", key="late", send_within=30)
        quote = caught.value.quote
        assert quote.ahead == 129
        assert quote.starts_at_ms > sim.now_ms() + 60_000
        with pytest.raises(UnknownKey):
            await scheduler.get("late")
        urgent = await scheduler.quote("main", priority="urgent")
        assert urgent.starts_at_ms < quote.starts_at_ms


async def test_a_refused_key_stops_the_account_loudly_until_it_is_resumed() -> None:
    journal = MemoryJournal()
    async with Simulator(port=None) as sim:
        async with running(sim, ("main", "other"), journal=journal) as scheduler:
            sim.revoke_key("main")
            kept = await asyncio.gather(
                *(scheduler.submit("main", "BORROW", "USDT", str(n)) for n in (1, 2, 3))
            )
            await scheduler.wait(kept[0].key)
            with pytest.raises(AccountStopped):
                await scheduler.submit("main", "BORROW", "USDT", "4")
            assert (await scheduler.borrow("other", "USDT", "1")).state is State.CONFIRMED
            assert (await scheduler.get(kept[1].key)).state is State.QUEUED
            assert "account_stopped" in [a.cause for a in (await scheduler.status("main")).alarms]
            assert loans(sim) == 2
        sim.revoke_key("main", is_revoked=False)
        async with running(sim, ("main", "other"), journal=journal) as scheduler:
            assert (await scheduler.status("main")).stopped is not None
            await scheduler.resume("main")
            assert (await scheduler.wait(kept[2].key)).state is State.CONFIRMED


async def test_a_pause_outlives_the_process() -> None:
    journal = MemoryJournal()
    async with Simulator(port=None) as sim:
        async with running(sim, journal=journal) as scheduler:
            await scheduler.pause("main")
            await scheduler.submit("main", "BORROW", "USDT", "1", key="k")
        async with running(sim, journal=journal) as scheduler:
            assert (await scheduler.wait("k", timeout=5)).state is State.QUEUED
            await scheduler.resume("main")
            assert (await scheduler.wait("k", timeout=5)).state is State.CONFIRMED


async def test_closing_waits_for_the_air_keeps_the_queue_and_wakes_who_waits() -> None:
    journal = MemoryJournal()
    async with Simulator(port=None) as sim:
        async with running(sim, journal=journal) as scheduler:
            first = asyncio.create_task(scheduler.borrow("main", "USDT", "1", key="a"))
            second = asyncio.create_task(scheduler.borrow("main", "USDT", "2", key="b"))
            await anyio.sleep(0.05)
        assert (await first).state is State.CONFIRMED
        with pytest.raises(Closed):
            await second
        assert [e.key for e in await journal.unfinished()] == ["b"]
        with pytest.raises(Closed):
            await scheduler.submit("main", "BORROW", "USDT", "1")
        async with running(sim, journal=journal) as scheduler:
            assert (await scheduler.wait("b")).state is State.CONFIRMED


async def test_an_attempt_cut_off_by_the_end_of_the_process_is_looked_up() -> None:
    journal = MemoryJournal()
    async with Simulator(port=None, processing_ms=5_000) as sim:
        scheduler = Scheduler([sim.account("main")], journal=journal, transport=sim.transport)
        await scheduler.start()
        await scheduler.submit("main", "BORROW", "USDT", "1", key="k")
        await anyio.sleep(0.1)
        await scheduler.aclose(timeout=1)
        assert [e.state for e in await journal.unfinished()] == [State.SENT]
        async with running(sim, journal=journal) as again:
            entry = await again.wait("k")
        assert [t.tran_id for t in sim.ledger.booked()] == [entry.tran_id]


async def test_it_starts_with_the_exchange_out_of_reach_and_waits() -> None:
    async with Simulator(port=None) as sim:
        sim.set_down(True)
        async with running(sim) as scheduler:
            entry = await scheduler.submit("main", "BORROW", "USDT", "1")
            assert (await scheduler.wait(entry.key, timeout=20)).state is State.QUEUED
            sim.set_down(False)
            assert (await scheduler.wait(entry.key, timeout=20)).state is State.CONFIRMED


async def test_unfinished_work_of_an_account_no_longer_configured_ends_the_start() -> None:
    journal = MemoryJournal()
    async with Simulator(port=None) as sim:
        async with running(sim, journal=journal) as scheduler:
            await scheduler.pause("main")
            await scheduler.submit("main", "BORROW", "USDT", "1")
        with pytest.raises(ConfigurationError, match="main"):
            await Scheduler(
                [sim.account("other")], journal=journal, transport=sim.transport
            ).start()


async def test_changes_are_told_after_they_are_durable_and_a_bad_listener_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[State] = []

    def listen(entry: Entry) -> None:
        seen.append(entry.state)
        raise RuntimeError("a bug of the caller")

    async with Simulator(port=None) as sim, running(sim, on_change=listen) as scheduler:
        with caplog.at_level(logging.ERROR, "margin_scheduler"):
            await scheduler.borrow("main", "USDT", "1")
    assert seen == [State.QUEUED, State.SENT, State.CONFIRMED]
    assert "on_change failed" in caplog.text


async def test_an_observer_sees_what_each_change_left_and_every_write_of_the_journal() -> None:
    steps: list[tuple[State | None, State]] = []
    writes: list[float] = []
    delays_ms: list[int] = []

    class Notes:
        def changed(self, before: State | None, entry: Entry) -> None:
            steps.append((before, entry.state))

        def alarmed(self, alarm: Alarm) -> None:
            raise AssertionError(alarm)

        def committed(self, seconds: float) -> None:
            writes.append(seconds)

        def record_shown(self, account: str, delay_ms: int) -> None:
            delays_ms.append(delay_ms)

    class Slow(MemoryJournal):
        async def update(self, *entries: Entry, at_ms: int) -> None:
            await anyio.sleep(0.25)
            await super().update(*entries, at_ms=at_ms)

    async with (
        Simulator(port=None, record_lag_ms=(1_000, 1_000)) as sim,
        running(sim, journal=Slow()) as scheduler,
    ):
        stop = scheduler.observe(Notes())
        await scheduler.borrow("main", "USDT", "1")
        await anyio.sleep(10)
        stop()
        await scheduler.borrow("main", "USDT", "2")
    assert steps == [
        (None, State.QUEUED),
        (State.QUEUED, State.SENT),
        (State.SENT, State.CONFIRMED),
    ]
    assert [round(seconds, 2) for seconds in writes] == [0, 0.25, 0.25, 0]
    assert len(delays_ms) == 1
    assert 1_000 <= delays_ms[0] <= 2_000


async def test_events_tell_every_change_and_alarm_of_an_account() -> None:
    async with (
        Simulator(port=None) as sim,
        running(sim, ("main", "other"), account={"exclusive": False}) as scheduler,
    ):
        events = scheduler.events("main")
        await scheduler.borrow("other", "USDT", "1")
        sim.fail_next("lost_after")
        with pytest.raises(Unresolved):
            await scheduler.borrow("main", "USDT", "1")
        told = [await anext(events) for _ in range(5)]
        states = [event.state for event in told if isinstance(event, Entry)]
        assert states == [State.QUEUED, State.SENT, State.UNKNOWN, State.UNRESOLVED]
        assert [event.cause for event in told if isinstance(event, Alarm)] == ["unresolved"]


async def test_a_reader_that_is_too_slow_is_told_that_it_missed_something() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        events = scheduler.events()
        await scheduler.pause("main")
        submitting = (scheduler.submit("main", "REPAY", "USDT", "1") for _ in range(1_001))
        await asyncio.gather(*submitting)
        with pytest.raises(EventsLost):
            async for _ in events:
                pass


def test_it_belongs_to_the_loop_that_started_it(virtual_run: Callable[[Any], Any]) -> None:
    async def start() -> Scheduler:
        sim = Simulator(port=None)
        await sim.__aenter__()
        scheduler = Scheduler([sim.account("main")], journal="memory:", transport=sim.transport)
        await scheduler.start()
        return scheduler

    scheduler = virtual_run(start())

    async def use() -> None:
        with pytest.raises(WrongLoop):
            await scheduler.borrow("main", "USDT", "1")

    virtual_run(use())


@pytest.mark.parametrize(
    ("field", "code", "call"),
    [
        *(
            pytest.param("amount", "amount_invalid", {"amount": amount}, id=f"amount {amount!r}")
            for amount in (
                *("0", "0.0", "-1", "+1", "", " 1", "1 ", "1.", ".5", "1e3", "NaN", "Infinity"),
                *("١٢", "1_000", "0.123456789", "1" * 31, "all", "MAX", "1,5", "0x10"),
                *(Decimal("NaN"), Decimal(-1), Decimal("1E-9"), Decimal("1E+40")),
            )
        ),
        *(
            pytest.param("amount", "amount_not_string", {"amount": amount}, id=f"amount {amount!r}")
            for amount in (1, 1.5, None, True, b"1")
        ),
        *(
            pytest.param("asset", "asset_invalid", {"asset": asset}, id=f"asset {asset!r:.20}")
            for asset in (
                "btc",
                "BTC ",
                "BTC&type=REPAY",
                "BTC\0",
                "A" * 65,
                None,
                "",
                "\u0412\u0422\u0421",
                1,
            )
        ),
        *(
            pytest.param("symbol", "symbol_invalid", {"symbol": symbol}, id=f"symbol {symbol!r}")
            for symbol in ("btcusdt", "BTC/USDT", "", "A" * 21, 5)
        ),
        *(
            pytest.param("kind", "kind_invalid", {"kind": kind}, id=f"kind {kind!r}")
            for kind in ("borrow", "LEND", "", None)
        ),
        *(
            pytest.param("priority", "priority_invalid", {"priority": p}, id=f"priority {p!r}")
            for p in ("asap", "URGENT", None, 1)
        ),
        *(
            pytest.param("key", "key_invalid", {"key": key}, id=f"key {key!r:.20}")
            for key in ("", "a" * 65, "-a", "a b", "ключ", "a/b", 7)
        ),
        *(
            pytest.param("send_within", "send_within_invalid", {"send_within": s}, id=f"within {s}")
            for s in (-1, 604_801, float("nan"), float("inf"), "5", True)
        ),
        pytest.param("lifetime", "unknown_field", {"lifetime": 1}, id="unknown option"),
    ],
)
async def test_bad_input_is_refused_by_name_and_reaches_neither_journal_nor_exchange(
    field: str, code: str, call: dict[str, Any]
) -> None:
    journal = MemoryJournal()
    async with Simulator(port=None) as sim, running(sim, journal=journal) as scheduler:
        good = {"account": "main", "kind": "BORROW", "asset": "USDT", "amount": "1"}
        with pytest.raises(InvalidRequest) as caught:
            await scheduler.submit(**{**good, **call})
        assert (caught.value.field, caught.value.code) == (field, code)
        assert field in str(caught.value)
        await anyio.sleep(1)
        assert loans(sim) == 0
        assert await journal.find() == []


async def test_an_account_that_is_not_configured_is_refused_by_name() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        with pytest.raises(UnknownAccount, match="stranger"):
            await scheduler.borrow("stranger", "USDT", "1")
        with pytest.raises(LookupError):
            await scheduler.status("stranger")


@pytest.mark.parametrize(
    ("named", "accounts", "options"),
    [
        pytest.param("recv_window_ms", ["a"], {"recv_window_ms": 60_001}, id="recvWindow"),
        pytest.param("plain http", ["a"], {"base_url": "http://example.com"}, id="plain http"),
        pytest.param("base_url", ["a"], {"base_url": "ftp://example.com"}, id="scheme"),
        pytest.param("there twice", ["a", "a"], {}, id="one name twice"),
        pytest.param("same api_key", ["a", "b"], {}, id="one key twice"),
        pytest.param("none", [], {}, id="no accounts"),
        pytest.param("journal", ["a"], {"journal": "nonsense"}, id="journal"),
    ],
)
def test_an_unsafe_setting_is_refused_by_name(
    named: str, accounts: list[str], options: dict[str, Any]
) -> None:
    made = [Account(name, api_key="one-key", secret="s") for name in accounts]
    with pytest.raises(ConfigurationError, match=named):
        Scheduler(made, **{"journal": "memory:", **options})


def test_secrets_stay_out_of_every_repr() -> None:
    account = Account("main", api_key="canary-key", secret="canary-secret")
    scheduler = Scheduler([account], journal="memory:")
    assert "canary" not in repr(account) + repr(scheduler) + repr(vars(scheduler))


@pytest.mark.parametrize("restarts", [False, True], ids=["in one process", "after a restart"])
async def test_a_record_that_shows_after_it_was_said_absent_is_shouted_about(
    restarts: bool,
) -> None:
    journal = MemoryJournal()
    # Longer than a record is assumed to take: the proof of absence is wrong.
    async with Simulator(port=None, record_lag_ms=(50_000, 50_000)) as sim:
        async with running(sim, journal=journal) as scheduler:
            sim.fail_next("lost_after")
            with pytest.raises(NotExecuted):
                await scheduler.borrow("main", "USDT", "1", key="k")
            await anyio.sleep(0 if restarts else 100)
            told = (await scheduler.status("main")).alarms
        if restarts:
            async with running(sim, journal=journal) as scheduler:
                await anyio.sleep(100)
                told = (await scheduler.status("main")).alarms
        assert [a.key for a in told if a.cause == "late_record"] == ["k"]
        kept = await journal.get("k")
        assert kept is not None
        assert kept.state is State.NOT_EXECUTED
        assert "late record" in kept.evidence[-1].detail


async def test_a_record_that_failed_behind_a_confirmation_is_shouted_about() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.fail_next("failed_record")
        await scheduler.borrow("main", "USDT", "1", key="failed")
        sim.fail_next("lost_after")
        await scheduler.borrow("main", "USDT", "2")
        alarms = [a for a in (await scheduler.status("main")).alarms if a.cause == "failed_record"]
        assert [alarm.key for alarm in alarms] == ["failed"]
        assert "FAILED" in (await scheduler.get("failed")).evidence[-1].detail


@pytest.mark.parametrize(("lag_ms", "alarms"), [(2_000, []), (12_000, ["slow_record"])])
async def test_how_long_records_take_to_show_is_measured_and_kept(
    lag_ms: int, alarms: list[str]
) -> None:
    journal = MemoryJournal()
    async with Simulator(port=None, record_lag_ms=(lag_ms, lag_ms)) as sim:
        async with running(sim, journal=journal) as scheduler:
            await scheduler.borrow("main", "USDT", "1")
            await anyio.sleep(60)
            status = await scheduler.status("main")
            assert lag_ms <= status.record_delay_max_ms < 3 * lag_ms
            assert [alarm.cause for alarm in status.alarms] == alarms
        async with running(sim, journal=journal) as scheduler:
            again = await scheduler.status("main")
            assert again.record_delay_max_ms == status.record_delay_max_ms


async def test_only_so_many_records_are_measured_at_once_and_the_others_later() -> None:
    names = [f"a{number}" for number in range(AT_ONCE_MAX + 10)]

    async def measured_after_a_borrow_each(scheduler: Scheduler) -> int:
        await asyncio.gather(*(scheduler.borrow(name, "USDT", "1") for name in names))
        await anyio.sleep(60)
        found = [await scheduler.status(name) for name in names]
        return sum(status.record_delay_max_ms > 0 for status in found)

    async with (
        Simulator(port=None, record_lag_ms=(300, 300)) as sim,
        running(sim, tuple(names)) as scheduler,
    ):
        assert await measured_after_a_borrow_each(scheduler) == AT_ONCE_MAX
        assert await measured_after_a_borrow_each(scheduler) == len(names)


async def test_a_look_that_had_to_wait_for_weight_measures_no_record() -> None:
    names = tuple(f"a{number}" for number in range(30))
    async with (
        Simulator(port=None, record_lag_ms=(2_000, 2_000)) as sim,
        running(sim, names) as scheduler,
    ):
        for _ in range(5):  # more than the audits' share of a minute's weight
            await asyncio.gather(*(scheduler.borrow(name, "USDT", "1") for name in names))
            await anyio.sleep(4)
        await anyio.sleep(100)
        found = [await scheduler.status(name) for name in names]
        assert 2_000 < max(status.record_delay_max_ms for status in found) < 6_000
        assert not [alarm for status in found for alarm in status.alarms]


async def test_where_the_lane_is_the_pair_two_pairs_are_worked_on_at_once() -> None:
    async with (
        Simulator(port=None, lane="pair", processing_ms=1_000) as sim,
        running(sim, limits=Limits(min_gap_ms=50)) as scheduler,
    ):
        began = asyncio.get_running_loop().time()
        await asyncio.gather(
            *(scheduler.borrow("main", "USDT", "1", symbol=s) for s in ("BTCUSDT", "ETHUSDT")),
            scheduler.borrow("main", "USDT", "1"),
        )
        assert asyncio.get_running_loop().time() - began < 1.5
        assert not sim.ledger.refusals()


async def test_a_burst_limit_shapes_what_the_minute_would_allow_at_once() -> None:
    limits = Limits(burst_weight=15_000, min_gap_ms=0)
    async with Simulator(port=None, processing_ms=1) as sim, running(sim, limits=limits) as s:
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(s.borrow("main", "USDT", "1") for _ in range(20)))
        # Ten at once, and then two a second, which is what the minute's weight comes to.
        assert 4.5 < asyncio.get_running_loop().time() - began < 5.6
