"""What a scheduler can do for an account that another one runs: change the journal, and tell."""

from collections.abc import Callable

import anyio

from . import lifecycle, marks
from .account_queue import HoldState
from .advice import calls_for_figures
from .budget import CHARGED_MAX_MS, Budget
from .clock import Clock, loop_s
from .errors import AccountStopped, LookFailed, QueueFull
from .events import CancelRequested, Resolved
from .journal.lanes import SharedJournal
from .journal.protocol import StaleVersion
from .lanes import LaneKeeper
from .lifecycle import UNDECIDED
from .marks import Marks
from .model import Entry, Priority, Quote, State
from .policy import Limits, Policy
from .remnant import next_key
from .standing import PAUSED, STOPPED
from .status import AccountStatus
from .survey import Survey

HEARD_MAX_S = 10.0
"""How long a call waits for the owner to have heard it. It is carried out later all the same."""
HEARD_POLL_S = 0.1
CLOSE_UP_POLL_S = 0.5
CANCEL_TRIES = 5
"""How often an entry that moves while it is taken back is looked at again."""


class Remote:
    """One a scheduler whose journal is shared."""

    def __init__(
        self,
        keeper: LaneKeeper,
        journal: SharedJournal,
        clock: Clock,
        limits: Limits,
        policy: Policy,
        survey_of: Callable[[str], Survey],
    ) -> None:
        self._survey_of = survey_of
        self._keeper = keeper
        self._journal = journal
        self._lanes = journal.lanes
        self._clock = clock
        self._limits = limits
        self._policy = policy

    async def refusal(self, account: str) -> AccountStopped | QueueFull | None:
        """Why the account takes nothing new, if so."""
        known = marks.read(account, await self._journal.marks())
        if known.stopped is not None:
            return AccountStopped(f"account: {account} is stopped: {known.stopped}")
        waiting = await self._lanes.backlog(account)
        if waiting >= self._limits.queue_max:
            return QueueFull(
                f"account: {account} has {waiting} submissions waiting, the most it may have",
                retry_after_s=60 * self._limits.request_weight / self._limits.uid_weight_per_minute,
            )
        return None

    def added(self) -> None:
        """The journal has told the owner of a new entry; this makes it look sooner."""
        self._keeper.hint()

    async def cancel(self, entry: Entry) -> Entry | None:
        """Take a waiting submission back; None if it is not waiting, or does not stand still."""
        kept: Entry | None = entry
        for _ in range(CANCEL_TRIES):
            if kept is None or kept.state is not State.QUEUED:
                return None
            now_ms = self._clock.now_ms()
            after, _ = lifecycle.advance(kept, CancelRequested(), self._policy, now_ms)
            moved = await self._move(after, now_ms)
            if moved is not None:
                return moved
            kept = await self._journal.get(entry.key)
        return None

    async def resolve(self, entry: Entry, event: Resolved) -> Entry:
        """Let a person decide. Raises StaleVersion where evidence came first."""
        now_ms = self._clock.now_ms()
        after, _ = lifecycle.advance(entry, event, self._policy, now_ms)
        moved = await self._move(after, now_ms)
        if moved is None:
            raise StaleVersion(entry.key)
        return moved

    async def pause(self, account: str) -> None:
        """Ask the owner to send nothing; who owns the account later is bound by it too."""
        await self._ask(account, "pause")

    async def resume(self, account: str) -> None:
        await self._ask(account, "resume")

    async def unfinished(self, account: str) -> list[Entry]:
        """What of the account is not final, as the journal has it."""
        return await self._lanes.unfinished_of(account)

    async def advised(self, entry: Entry) -> None:
        """Wait until the owner has said what helps after a refusal, if it will."""
        kept: Entry | None = entry
        while kept is not None and calls_for_figures(kept):
            await anyio.sleep(HEARD_POLL_S)
            kept = await self._journal.get(entry.key)

    async def closed_up(self, entry: Entry) -> None:
        """Wait until nothing is owed after a repayment of everything, or the owner has seen to what
        is."""
        survey = self._survey_of(entry.account)
        while True:
            kept = await self._journal.get(entry.key)
            if kept is None or (kept.evidence and kept.evidence[-1].source == "account"):
                return
            if await self._journal.get(next_key(entry.key)) is not None:
                return
            try:
                if not (await survey.debt(entry.asset, entry.symbol, fresh=True)).total:
                    return
            except LookFailed:
                pass  # the owner looks too
            await anyio.sleep(CLOSE_UP_POLL_S)

    async def quote(self, account: str) -> Quote:
        """What is known from here: how many wait."""
        ahead = await self._lanes.backlog(account)
        return Quote(starts_at_ms=self._clock.now_ms(), ahead=ahead)

    async def status(self, account: str) -> AccountStatus:
        """What the journal says of the account. Its pace, and holds that end by themselves, are
        known to its owner alone."""
        now_ms, steady_ms = self._clock.now_ms(), self._clock.steady_ms()
        entries = await self._lanes.unfinished_of(account)
        known = marks.read(account, await self._journal.marks())
        since_ms = now_ms - CHARGED_MAX_MS - self._policy.recv_window_ms
        past = await self._journal.attempts_since(account, since_ms)
        budget = Budget(self._limits)
        charges = ((p.attempt, p.is_urgent) for p in past)
        budget.restore(charges, now_ms=now_ms, steady_ms=steady_ms)
        waiting = [entry for entry in entries if entry.state is State.QUEUED]
        queued = [entry.priority for entry in waiting]
        row = (await self._lanes.board()).lanes.get(account)
        return AccountStatus(
            account=account,
            as_of_ms=now_ms,
            queued_urgent=queued.count(Priority.URGENT),
            queued_normal=queued.count(Priority.NORMAL),
            oldest_queued_at_ms=waiting[0].submitted_at_ms if waiting else None,
            in_air=tuple(entry for entry in entries if entry.state is State.SENT),
            undecided=tuple(entry for entry in entries if entry.state in UNDECIDED),
            weight_limit=self._limits.uid_weight_per_minute,
            weight_used=budget.ledger.own(steady_ms),
            weight_foreign=0,
            weight_reserved=self._limits.urgent_reserve * self._limits.request_weight,
            weight_left=budget.ledger.left(steady_ms),
            gap_ms=self._limits.min_gap_ms,
            holds=_holds(known),
            next_start=Quote(starts_at_ms=now_ms, ahead=len(queued)),
            stopped=known.stopped,
            is_exclusive=not known.is_shared,
            record_delay_max_ms=known.record_delay_max_ms,
            alarms=(),
            owner=None if row is None or not row.is_live else row.owner_name,
            epoch=None if row is None else row.epoch,
        )

    async def _move(self, after: Entry, now_ms: int) -> Entry | None:
        """Write a change that needs no lane: its version decides, as between any two writers."""
        try:
            await self._journal.update(after, at_ms=now_ms)
        except StaleVersion:
            return None
        await self._lanes.tell(after.account, "reread", key=after.key)
        self._keeper.hint()
        return after

    async def _ask(self, account: str, what: str) -> None:
        asked = await self._lanes.tell(account, what)
        self._keeper.hint()
        until_s = loop_s() + HEARD_MAX_S
        while loop_s() < until_s and await self._lanes.is_open(asked):  # noqa: ASYNC110  it is far
            await anyio.sleep(HEARD_POLL_S)


def _holds(known: Marks) -> tuple[HoldState, ...]:
    causes = ((PAUSED, known.is_paused), (STOPPED, known.stopped is not None))
    return tuple(HoldState(cause, None, None) for cause, is_on in causes if is_on)
