"""Steps that are made durable before anybody acts on them, and what becomes of a disputed claim."""

import pytest

from scheduler.account_queue import AccountQueue
from scheduler.clock import Clock
from scheduler.events import Accepted, Chosen, Finish, Settle
from scheduler.inventory import InventoryGate
from scheduler.journal.memory import MemoryJournal
from scheduler.lifecycle import advance
from scheduler.marks import Marks
from scheduler.model import Alarm, Entry, Evidence, Outcome, State, revised
from scheduler.policy import Policy
from scheduler.recorder import Recorder
from scheduler.standing import Standing
from scheduler.watch import Watchers

from .build import NOW_MS, attempt, submission

pytestmark = pytest.mark.anyio

POLICY = Policy()
DISPUTED = 9_001


class Desk:
    """A recorder over a journal in memory."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.watchers = Watchers(None)
        clock = Clock()
        standing = Standing(
            Marks(account="main"),
            declared_exclusive=True,
            queue=AccountQueue(POLICY, InventoryGate(POLICY)),
            journal=self.journal,
            clock=clock,
            watchers=self.watchers,
        )
        self.recorder = Recorder(POLICY, self.journal, clock, standing)

    async def sent(self, key: str, at_ms: int) -> Entry:
        kept = await self.journal.add(Entry(submission=submission(key)))
        entry, _ = advance(kept, Chosen(attempt(timestamp_ms=at_ms)), POLICY, at_ms)
        await self.journal.update(entry, at_ms=at_ms)
        return entry

    async def confirmed(self, key: str, source: str) -> Entry:
        """Holds the disputed transaction, by a match (`record`) or by its own reply."""
        entry = await self.sent(key, NOW_MS)
        assert entry.attempt is not None
        held = revised(
            entry,
            state=State.CONFIRMED,
            version=entry.version + 1,
            tran_id=DISPUTED,
            attempt=revised(entry.attempt, outcome=Outcome.ANSWERED, ended_at_ms=NOW_MS + 1),
            finished_at_ms=NOW_MS + 1,
            evidence=(Evidence(at_ms=NOW_MS + 1, source=source, detail="told"),),
        )
        await self.journal.update(held, at_ms=NOW_MS + 1)
        return held


async def test_a_direct_reply_outranks_a_match_and_who_was_matched_is_looked_for_again() -> None:
    desk = Desk()
    await desk.confirmed("matched", "record")
    answered = await desk.sent("answered", NOW_MS + 20_000)
    lost, won = await desk.recorder.record(answered, Accepted(DISPUTED), is_patient=True)
    assert (lost.after.key, lost.after.state) == ("matched", State.UNKNOWN)
    assert lost.after.tran_id is None
    assert isinstance(lost.action, Settle)
    assert (won.after.state, won.after.tran_id) == (State.CONFIRMED, DISPUTED)
    assert isinstance(won.action, Finish)
    for step in (lost, won):
        assert await desk.journal.get(step.after.key) == step.after
    assert [alarm.cause for alarm in desk.watchers.alarms if isinstance(alarm, Alarm)] == [
        "claim_conflict"
    ]


async def test_a_second_reply_with_one_transaction_is_for_a_person_to_decide() -> None:
    desk = Desk()
    first = await desk.confirmed("first", "reply")
    second = await desk.sent("second", NOW_MS + 20_000)
    [step] = await desk.recorder.record(second, Accepted(DISPUTED), is_patient=True)
    assert step.after.state is State.UNRESOLVED
    assert step.after.needs_person
    assert await desk.journal.get("first") == first
