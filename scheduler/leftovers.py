"""What interest leaves of a debt that was to be repaid whole: looked for right after the repayment.

As long as that takes nothing else of the account is sent, so that what is owed then can only be
what was left. It is repaid by a submission of its own.
"""

import asyncio
import logging
from typing import Protocol

import anyio

from .clock import Clock
from .errors import JournalUnavailable
from .events import Event, Remarked
from .figures import Owed
from .journal import Journal
from .journal.protocol import StaleVersion
from .measure import Measurer
from .model import Entry, Kind, Outcome, State
from .policy import Policy
from .remnant import is_remnant, leaves_remnants, submission_for
from .shared import Shared

SINCE_MS = 120_000
"""How long ago a repayment of everything may have been confirmed by a process that ended since."""
RECENT_MAX = 20

_log = logging.getLogger("margin_scheduler")


class Lane(Protocol):
    """What is needed of the account whose debts are repaid."""

    name: str
    measurer: Measurer
    policy: Policy
    journal: Journal
    clock: Clock
    shared: Shared

    async def apply(self, entry: Entry, event: Event, *, is_patient: bool = True) -> Entry: ...

    def put(self, entry: Entry) -> None: ...


class Leftovers:
    """One account's."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._open: dict[str, asyncio.Event] = {}

    def __contains__(self, key: str) -> bool:
        """Whether the submission is confirmed, and was not yet looked at for what it left."""
        return key in self._open

    def expect(self, confirmed: Entry) -> None:
        """If it was to repay everything, `see_to` is to follow."""
        if leaves_remnants(confirmed, self._lane.policy):
            self._open[confirmed.key] = asyncio.Event()

    async def seen_to(self, key: str) -> None:
        """Wait until a confirmed repayment of everything was looked at for what it left."""
        looked = self._open.get(key)
        if looked is not None:
            await looked.wait()

    async def recent(self) -> list[Entry]:
        """What an earlier process confirmed just before it ended and may not have looked at; all
        of it is expected from now on. Raises JournalUnavailable."""
        lane = self._lane
        since_ms = lane.clock.now_ms() - SINCE_MS
        found = await lane.journal.find(account=lane.name, state=State.CONFIRMED, limit=RECENT_MAX)
        missed = []
        for entry in found:
            is_due = (entry.finished_at_ms or 0) >= since_ms and leaves_remnants(entry, lane.policy)
            if is_due and entry.evidence[-1].source != "account" and entry.key not in self:
                self.expect(entry)
                missed.append(entry)
        return missed

    async def see_to(self, entry: Entry) -> None:
        """Repay what it left; nothing for an entry of which nothing was expected."""
        if entry.key not in self:
            return
        try:
            await self._repay_rest(entry)
        except (JournalUnavailable, StaleVersion) as error:
            _log.warning("what %s left was not seen to: %s", entry.key, error)
        finally:
            self._open.pop(entry.key).set()

    async def _repay_rest(self, entry: Entry) -> None:
        lane = self._lane
        left = await self._left_of(entry)
        if left is None or not left.total:
            return
        if not is_remnant(left, entry, lane.policy):
            said = f"{left.total:f} is owed after it, which is no interest, and was left alone"
            await lane.apply(entry, Remarked(said), is_patient=False)
            return
        following = submission_for(entry, left, lane.clock.now_ms())
        kept = await lane.journal.add(Entry(submission=following))
        if kept.submission is following:
            lane.put(kept)
            lane.shared.watchers.changed(kept)
        said = f"{left.total:f} was left by interest: {kept.key} repays it"
        await lane.apply(entry, Remarked(said), is_patient=False)

    async def _left_of(self, entry: Entry) -> Owed | None:
        """What is owed after a repayment, unless others of ours may have borrowed since."""
        lane = self._lane
        assert entry.attempt is not None
        left = await lane.measurer.owed(entry)
        if left is not None and left.total >= entry.attempt.amount:
            await anyio.sleep(lane.policy.remnant_wait_ms / 1000)
            left = await lane.measurer.owed(entry)
        since = await lane.journal.attempts_since(lane.name, entry.attempt.timestamp_ms)
        is_disturbed = any(
            past.kind is Kind.BORROW
            and (past.asset, past.symbol) == (entry.asset, entry.symbol)
            and past.attempt.outcome is not Outcome.NEVER_LEFT
            and past.attempt.timestamp_ms > entry.attempt.timestamp_ms
            for past in since
        )
        return None if is_disturbed else left
