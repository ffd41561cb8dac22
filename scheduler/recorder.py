"""Makes each step of an entry durable before anybody acts on it."""

import asyncio

from msgspec import Struct

from . import lifecycle
from .clock import Clock
from .errors import JournalUnavailable
from .events import Accepted, Action, ClaimLost, ClaimRefused, Event, LookUpFailed, Resolved
from .journal import Journal
from .journal.protocol import AlreadyInAir, LaneLost, StaleVersion, TranIdClaimed
from .model import Entry
from .policy import Policy
from .standing import Standing

JOURNAL_RETRY_S = 1.0
"""Between two tries to write what the journal did not take."""


class Step(Struct, frozen=True):
    """One entry's durable change, and what is to be done about it."""

    before: Entry
    after: Entry
    action: Action | None


class Recorder:
    """Decides by the rules and writes the decision down."""

    def __init__(self, policy: Policy, journal: Journal, clock: Clock, standing: Standing) -> None:
        self._policy = policy
        self._journal = journal
        self._clock = clock
        self._standing = standing

    async def record(
        self, entry: Entry, event: Event, *, is_patient: bool, following: Step | None = None
    ) -> list[Step]:
        """The steps that the event led to, durable; the last is the entry's own.

        `following`, another entry's step, is written with it where the journal takes both at once,
        and is then the last. It is tried once: after a failure only the journal knows whether it
        was made, though not if StaleVersion is raised.

        A patient call tries until the journal takes it; the other raises JournalUnavailable.
        Raises StaleVersion where somebody else moved the entry first, and TranIdClaimed where a
        person named another submission's transaction.
        """
        while True:
            now_ms = self._clock.now_ms()
            after, action = lifecycle.advance(entry, event, self._policy, now_ms)
            step = Step(entry, after, action)
            if after is entry:
                return [step]
            try:
                if following is not None:
                    tried, following = following, None
                    if await self._write_both(after, tried.after, now_ms):
                        return [step, tried]
                await self._write(after, now_ms, is_patient=is_patient)
            except TranIdClaimed as claim:
                if isinstance(event, Resolved):
                    raise
                holder = await self.kept(claim.holder)
                assert holder is not None
                is_ours = isinstance(event, Accepted) and lifecycle.was_matched(holder)
                if not is_ours:
                    event = _without_claim(event, claim)
                elif (lost := await self._take_claim(after, holder, now_ms)) is not None:
                    return [lost, step]
            else:
                return [step]

    async def kept(self, key: str) -> Entry | None:
        """The entry as the journal holds it, however long it takes to get an answer."""
        while True:
            try:
                kept = await self._journal.get(key)
                break
            except JournalUnavailable as error:
                self._standing.journal_failed(error)
            await asyncio.sleep(JOURNAL_RETRY_S)
        self._standing.journal_works()
        return kept

    async def _write(self, after: Entry, now_ms: int, *, is_patient: bool) -> None:
        while True:
            try:
                await self._journal.update(after, at_ms=now_ms)
                break
            except StaleVersion:
                if not await self._was_written(after):
                    raise
                break  # a write that seemed to fail did not
            except LaneLost:
                raise StaleVersion(after.key) from None
            except JournalUnavailable as error:
                if not is_patient:
                    raise
                self._standing.journal_failed(error)
            await asyncio.sleep(JOURNAL_RETRY_S)
        self._standing.journal_works()

    async def _write_both(self, after: Entry, following: Entry, now_ms: int) -> bool:
        """Whether the journal took both. Raises TranIdClaimed."""
        try:
            await self._journal.update(after, following, at_ms=now_ms)
        except JournalUnavailable as error:
            self._standing.journal_failed(error)
            return False
        except (StaleVersion, AlreadyInAir):
            return False
        self._standing.journal_works()
        return True

    async def _was_written(self, after: Entry) -> bool:
        return await self.kept(after.key) == after

    async def _take_claim(self, after: Entry, holder: Entry, now_ms: int) -> Step | None:
        """A direct reply outranks a match: who was matched is looked for again. Both change at
        once, so that the transaction is never held twice nor by nobody. None if either was changed
        meanwhile, and nothing was written."""
        lost, action = lifecycle.advance(holder, ClaimLost(after.key), self._policy, now_ms)
        while True:
            try:
                await self._journal.update(lost, after, at_ms=now_ms)
                break
            except StaleVersion:
                if not await self._was_written(after):
                    return None
                break  # a write that seemed to fail did not
            except JournalUnavailable as error:
                self._standing.journal_failed(error)
            await asyncio.sleep(JOURNAL_RETRY_S)
        self._standing.journal_works()
        self._standing.alarm(
            "claim_conflict",
            f"{holder.key} had been matched to transaction {holder.tran_id}, "
            f"which the exchange now gave to {after.key}",
            key=holder.key,
        )
        return Step(holder, lost, action)


def _without_claim(event: Event, claim: TranIdClaimed) -> Event:
    if isinstance(event, Accepted):
        return ClaimRefused(claim.tran_id, claim.holder)
    return LookUpFailed(f"tranId {claim.tran_id} was claimed meanwhile")
