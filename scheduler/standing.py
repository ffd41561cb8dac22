"""How one account stands: what keeps it from sending, and what of that must outlive the process."""

from dataclasses import replace

from .account_queue import AccountQueue
from .clock import Clock
from .errors import JournalUnavailable
from .journal import Journal
from .marks import Marks, paused, resumed
from .model import Alarm, Entry
from .watch import Watchers

PAUSED = "paused"
STOPPED = "stopped"
NO_CLOCK = "clock"
NO_JOURNAL = "journal"
UNCHECKED = "unchecked"
CLOSING = "closing"
MAINTENANCE = "maintenance"


class Standing:
    """Pauses the queue, keeps the marks, and raises the alarms that go with it."""

    def __init__(
        self,
        marks: Marks,
        *,
        declared_exclusive: bool,
        queue: AccountQueue,
        journal: Journal,
        clock: Clock,
        watchers: Watchers,
    ) -> None:
        self.marks = marks
        self._declared_exclusive = declared_exclusive
        self._queue = queue
        self._journal = journal
        self._clock = clock
        self._watchers = watchers
        if marks.stopped is not None:
            queue.pause(STOPPED)
        if marks.is_paused:
            queue.pause(PAUSED)
        if not clock.is_set:
            queue.pause(NO_CLOCK)

    @property
    def is_exclusive(self) -> bool:
        """Whether a record that fits an attempt can only be its own."""
        return self._declared_exclusive and not self.marks.is_shared

    async def pause(self) -> None:
        """Send nothing until `resume`. Raises JournalUnavailable; then it holds until a restart."""
        self._queue.pause(PAUSED)
        await self._set(paused(self.marks))

    async def resume(self) -> None:
        """Take back a pause, a stop, and what was found of others using the account."""
        await self._set(resumed(self.marks))
        self._queue.resume(PAUSED)
        self._queue.resume(STOPPED)

    async def stop(self, entry: Entry) -> None:
        """The exchange refused the key or the account: whatever came next would be refused too.
        The queue is paused already."""
        why = f"{entry.code} {entry.message}"
        message = f"account {self.marks.account} is stopped: {why}"
        self.alarm("account_stopped", message, key=entry.key)
        await self.keep(replace(self.marks, stopped=why))

    async def misfits(self, why: str) -> None:
        """Its name, key and account do not belong together, as turned out after the start."""
        self._queue.pause(STOPPED)
        self.alarm("account_stopped", f"account {self.marks.account} is stopped: {why}")
        await self.keep(replace(self.marks, stopped=why))

    async def found_shared(self, tran_id: int) -> None:
        """A record turned up that nobody here caused: from now on a match proves nothing."""
        if not self.marks.is_shared:
            account = self.marks.account
            message = f"account {account} is used by others: transaction {tran_id} is not ours"
            self.alarm("shared_account", message)
            await self.keep(replace(self.marks, is_shared=True))

    async def limited(self, until_ms: int) -> None:
        """The exchange refuses for weight until then."""
        await self.keep(replace(self.marks, limited_until_ms=until_ms))

    def clock_is_set(self) -> None:
        """The exchange's time is known."""
        self._queue.resume(NO_CLOCK)

    def hold_unchecked(self) -> None:
        """Wait until the exchange has had its time to say whose key this is."""
        self._queue.pause(UNCHECKED)

    def is_checked(self) -> None:
        self._queue.resume(UNCHECKED)

    def maintained(self, is_on: bool) -> None:
        """The exchange is being worked on, or no longer."""
        if is_on:
            self._queue.pause(MAINTENANCE)
        else:
            self._queue.resume(MAINTENANCE)

    def close(self) -> None:
        """Nothing more is to start in this process."""
        self._queue.pause(CLOSING)

    def journal_failed(self, error: JournalUnavailable) -> None:
        """Nothing is sent that cannot be made durable first."""
        if NO_JOURNAL not in self._queue.pauses:
            account = self.marks.account
            self.alarm("journal", f"account {account} waits for the journal: {error}")
        self._queue.pause(NO_JOURNAL)

    def journal_works(self) -> None:
        self._queue.resume(NO_JOURNAL)

    def alarm(self, cause: str, message: str, *, key: str | None = None) -> None:
        """Tell whoever watches."""
        at_ms, account = self._clock.now_ms(), self.marks.account
        alarm = Alarm(at_ms=at_ms, account=account, key=key, cause=cause, message=message)
        self._watchers.alarmed(alarm)

    async def keep(self, marks: Marks) -> None:
        """In force at once; what cannot be made durable ends with the process, with an alarm."""
        self.marks = marks
        try:
            await self._journal.set_mark(*marks.row())
        except JournalUnavailable as error:
            self.alarm("journal", f"account {marks.account}: a mark was not kept: {error}")

    async def _set(self, marks: Marks) -> None:
        await self._journal.set_mark(*marks.row())
        self.marks = marks
