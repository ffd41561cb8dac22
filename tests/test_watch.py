"""Who is told of a change, when, and what becomes of those who are slow, gone or broken."""

import asyncio
import gc
import logging
import weakref
from typing import Any

import anyio
import pytest

from scheduler.errors import Closed, EventsLost
from scheduler.model import Alarm, Entry, State
from scheduler.watch import ALARMS_MAX, BUFFER_MAX, Watchers, is_settled

from .build import NOW_MS, entry
from .virtual_time import Loop

pytestmark = pytest.mark.anyio


def alarm(number: int = 1, account: str | None = "main") -> Alarm:
    return Alarm(
        at_ms=NOW_MS, account=account, key=None, cause="journal", message=f"alarm {number}"
    )


async def read(feed: Any, count: int) -> list[Any]:
    return [await anext(feed) for _ in range(count)]


# Waiting for one


@pytest.mark.parametrize("state", State)
async def test_waiting_ends_with_a_final_state_or_when_a_person_is_needed(state: State) -> None:
    watchers = Watchers()
    waiter = watchers.wait_for("k1")
    watchers.changed(entry(state))
    is_over = state in {
        State.CONFIRMED,
        State.REJECTED,
        State.NOT_EXECUTED,
        State.EXPIRED,
        State.CANCELLED,
        State.UNRESOLVED,
    }
    assert waiter.done() is is_over
    assert is_settled(entry(state)) is is_over


async def test_everyone_who_waits_for_a_submission_is_told_and_nobody_else() -> None:
    watchers = Watchers()
    mine, again, other = (watchers.wait_for(key) for key in ("k1", "k1", "k2"))
    done = entry(State.CONFIRMED)
    watchers.changed(done)
    assert (await mine, await again) == (done, done)
    assert not other.done()


async def test_a_waiter_that_was_cancelled_is_left_alone() -> None:
    watchers = Watchers()
    gone, here = watchers.wait_for("k1"), watchers.wait_for("k1")
    gone.cancel()
    watchers.changed(entry(State.CONFIRMED))
    assert gone.cancelled()
    assert here.done()


async def test_whoever_gave_up_is_forgotten() -> None:
    watchers = Watchers()
    gave_up, patient = watchers.wait_for("k1"), watchers.wait_for("k1")
    watchers.forget("k1", gave_up)
    watchers.forget("k1", gave_up)
    watchers.forget("k9", gave_up)
    watchers.changed(entry(State.CONFIRMED))
    assert not gave_up.done()
    assert patient.done()


async def test_who_waits_is_told_before_the_callback_so_that_its_trouble_is_not_theirs() -> None:
    def broken(_: Entry) -> None:
        assert waiter.done()
        raise RuntimeError("mine")

    watchers = Watchers(broken)
    waiter = watchers.wait_for("k1")
    watchers.changed(entry(State.CONFIRMED))
    assert waiter.done()


# The callback


async def test_the_callback_sees_every_change_in_order() -> None:
    seen: list[State] = []
    watchers = Watchers(lambda changed: seen.append(changed.state))
    for state in (State.QUEUED, State.SENT, State.CONFIRMED):
        watchers.changed(entry(state))
    assert seen == [State.QUEUED, State.SENT, State.CONFIRMED]


async def test_a_callback_that_raises_is_logged_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_: Entry) -> None:
        raise RuntimeError("on_change is broken")

    watchers = Watchers(broken)
    feed = watchers.follow(None)
    with caplog.at_level(logging.ERROR, "margin_scheduler"):
        watchers.changed(entry())
    assert "on_change failed for k1" in caplog.text
    assert await read(feed, 1) == [entry()]


# Following all


async def test_a_reader_gets_changes_and_alarms_in_order() -> None:
    watchers = Watchers()
    feed = watchers.follow(None)
    watchers.changed(entry())
    watchers.alarmed(alarm())
    watchers.changed(entry(State.SENT))
    assert await read(feed, 3) == [entry(), alarm(), entry(State.SENT)]


async def test_a_reader_gets_what_comes_after_it_began_and_waits_for_more() -> None:
    watchers = Watchers()
    watchers.changed(entry(key="before"))
    feed = watchers.follow(None)
    with anyio.move_on_after(1) as waiting:
        await anext(feed)
    assert waiting.cancelled_caught
    asyncio.get_running_loop().call_later(5, watchers.changed, entry())
    assert await anext(feed) == entry()


async def test_a_reader_of_one_account_gets_that_account_only() -> None:
    watchers = Watchers()
    feed = watchers.follow("main")
    watchers.changed(entry(account="second"))
    watchers.alarmed(alarm(1, "second"))
    watchers.changed(entry())
    watchers.alarmed(alarm(2, "main"))
    assert await read(feed, 2) == [entry(), alarm(2, "main")]


async def test_readers_do_not_take_from_each_other() -> None:
    watchers = Watchers()
    feeds = [watchers.follow(None) for _ in range(3)]
    watchers.changed(entry())
    assert [await read(feed, 1) for feed in feeds] == [[entry()]] * 3


async def test_a_reader_at_the_bound_has_lost_nothing() -> None:
    watchers = Watchers()
    feed = watchers.follow(None)
    for number in range(BUFFER_MAX):
        watchers.changed(entry(seq=number))
    assert [e.seq for e in await read(feed, BUFFER_MAX)] == list(range(BUFFER_MAX))


async def test_a_reader_that_is_too_slow_reads_what_was_kept_and_is_then_told_of_the_loss() -> None:
    watchers = Watchers()
    feed = watchers.follow(None)
    for number in range(BUFFER_MAX + 5):
        watchers.changed(entry(seq=number))
    assert [e.seq for e in await read(feed, BUFFER_MAX)] == list(range(BUFFER_MAX))
    with pytest.raises(EventsLost):
        await anext(feed)


async def test_a_slow_reader_of_another_account_loses_nothing_to_a_busy_one() -> None:
    watchers = Watchers()
    feed = watchers.follow("main")
    for number in range(BUFFER_MAX + 5):
        watchers.changed(entry(seq=number, account="second"))
    watchers.changed(entry())
    assert await read(feed, 1) == [entry()]


async def test_a_slow_reader_takes_nothing_from_a_quick_one() -> None:
    watchers = Watchers()
    slow, quick = watchers.follow(None), watchers.follow(None)
    for number in range(BUFFER_MAX + 5):
        watchers.changed(entry(seq=number))
        assert [e.seq for e in await read(quick, 1)] == [number]
    assert len(await read(slow, BUFFER_MAX)) == BUFFER_MAX


async def test_a_reader_that_has_gone_is_forgotten() -> None:
    watchers = Watchers()
    gone = weakref.ref(watchers.follow(None))
    gc.collect()
    assert gone() is None
    watchers.changed(entry())
    watchers.close()


# Alarms


async def test_the_latest_alarms_are_kept() -> None:
    watchers = Watchers()
    for number in range(ALARMS_MAX + 7):
        watchers.alarmed(alarm(number))
    assert len(watchers.alarms) == ALARMS_MAX
    assert watchers.alarms[-1] == alarm(ALARMS_MAX + 6)


async def test_what_is_logged_can_be_filtered_by_key_account_state_and_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watchers = Watchers()
    with caplog.at_level(logging.INFO, "margin_scheduler"):
        watchers.changed(entry(State.SENT))
        watchers.alarmed(alarm())
    changed, alarmed = (vars(line) for line in caplog.records)
    assert [changed[name] for name in ("key", "account", "state", "code")] == [
        "k1",
        "main",
        "SENT",
        None,
    ]
    assert (alarmed["account"], alarmed["state"]) == ("main", "journal")
    assert (changed["levelname"], alarmed["levelname"]) == ("INFO", "ERROR")


# Closing


async def test_closing_wakes_whoever_waits() -> None:
    watchers = Watchers()
    waiter = watchers.wait_for("k1")
    watchers.close()
    with pytest.raises(Closed):
        await waiter


async def test_a_reader_reads_what_was_kept_before_the_end() -> None:
    watchers = Watchers()
    feed = watchers.follow(None)
    watchers.changed(entry())
    watchers.close()
    assert [event async for event in feed] == [entry()]


async def test_a_waiting_reader_ends_when_it_is_closed() -> None:
    watchers = Watchers()
    feed = watchers.follow(None)
    asyncio.get_running_loop().call_later(5, watchers.close)
    assert [event async for event in feed] == []


async def test_a_reader_that_lost_something_is_told_so_even_after_the_end() -> None:
    watchers = Watchers()
    feed = watchers.follow(None)
    for number in range(BUFFER_MAX + 1):
        watchers.changed(entry(seq=number))
    watchers.close()
    await read(feed, BUFFER_MAX)
    with pytest.raises(EventsLost):
        await anext(feed)


async def test_after_the_end_nobody_waits_for_ever() -> None:
    watchers = Watchers()
    watchers.close()
    with pytest.raises(Closed):
        await watchers.wait_for("k1")
    assert [event async for event in watchers.follow(None)] == []


async def test_a_waiter_nobody_came_to_await_leaves_no_complaint_behind() -> None:
    watchers = Watchers()
    watchers.wait_for("k1")
    watchers.close()
    watchers.wait_for("k2")
    gc.collect()
    await anyio.sleep(1)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    assert loop.unhandled == []


async def test_closing_twice_is_closing_once() -> None:
    watchers = Watchers()
    watchers.close()
    watchers.close()


# Observing


class Notes:
    """An observer that keeps what it is told."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.told: list[Any] = []
        self._is_broken = is_broken

    def changed(self, before: State | None, entry: Entry) -> None:
        self._note(("changed", before, entry.state))

    def alarmed(self, alarm: Alarm) -> None:
        self._note(("alarmed", alarm.message))

    def committed(self, seconds: float) -> None:
        self._note(("committed", seconds))

    def record_shown(self, account: str, delay_ms: int) -> None:
        self._note(("record_shown", account, delay_ms))

    def _note(self, what: Any) -> None:
        self.told.append(what)
        if self._is_broken:
            raise RuntimeError("a bug of the observer")


def tell_everything(watchers: Watchers) -> list[Any]:
    """What an observer of it is to have noted."""
    watchers.changed(entry())
    watchers.changed(entry(State.SENT), State.QUEUED)
    watchers.alarmed(alarm())
    watchers.committed(0.25)
    watchers.record_shown("main", 300)
    return [
        ("changed", None, State.QUEUED),
        ("changed", State.QUEUED, State.SENT),
        ("alarmed", "alarm 1"),
        ("committed", 0.25),
        ("record_shown", "main", 300),
    ]


async def test_every_observer_is_told_everything_at_once_and_in_order() -> None:
    watchers, notes = Watchers(), [Notes(), Notes()]
    for each in notes:
        watchers.observe(each)
    told = tell_everything(watchers)
    assert [each.told for each in notes] == [told, told]


async def test_an_observer_that_raises_is_logged_and_keeps_nobody_from_being_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watchers, broken, sound = Watchers(), Notes(is_broken=True), Notes()
    feed = watchers.follow(None)
    watchers.observe(broken)
    watchers.observe(sound)
    with caplog.at_level(logging.ERROR, "margin_scheduler"):
        told = tell_everything(watchers)
    assert (broken.told, sound.told) == (told, told)
    assert caplog.text.count("an observer failed") == len(told)
    assert len(await read(feed, 3)) == 3


async def test_an_observer_that_stopped_is_told_nothing_more_and_may_stop_twice() -> None:
    watchers, notes = Watchers(), Notes()
    stop = watchers.observe(notes)
    watchers.changed(entry())
    stop()
    stop()
    tell_everything(watchers)
    assert len(notes.told) == 1


async def test_an_observer_may_stop_while_it_is_told() -> None:
    watchers, others = Watchers(), Notes()

    class Once(Notes):
        def changed(self, before: State | None, entry: Entry) -> None:
            super().changed(before, entry)
            stop()

    once = Once()
    stop = watchers.observe(once)
    watchers.observe(others)
    tell_everything(watchers)
    assert len(once.told) == 1
    assert len(others.told) == 5
