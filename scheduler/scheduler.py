"""`Scheduler`: what programs embed."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Self, Unpack

import anyio

from . import request
from .account import AccountLike, checked_accounts
from .engine import Engine, credentials_of
from .errors import (
    Closed,
    ConfigurationError,
    NotCancellable,
    NotResolvable,
    UnknownAccount,
    UnknownKey,
    WrongLoop,
    not_confirmed,
)
from .events import Resolved
from .intake import Intake
from .journal import Journal, open_journal
from .journal.lanes import SharedJournal
from .journal.protocol import StaleVersion, TranIdClaimed
from .lanes import LaneOptions
from .lifecycle import may_resolve_from_ms
from .model import Entry, Quote, State, Submission
from .policy import Limits, Policy
from .quotes import quote
from .remote import Remote
from .request import Options
from .status import AccountStatus, account_status
from .transport import AiohttpTransport, Transport
from .watch import Feed, Watchers, is_settled
from .worker import Worker

BASE_URL = "https://api.binance.com"
RECV_WINDOW_MAX_MS = 60_000
"""The exchange takes no wider one."""


class Scheduler:
    """Sends the borrows and repayments of margin accounts one after the other, each at most once.

    Takes submissions from the moment it is started, whether or not the exchange can be reached. A
    submission is durable when `submit` returns, and from then on lives by itself: cancelling the
    task that waits for it changes nothing. Belongs to the event loop it was started on.
    """

    def __init__(
        self,
        accounts: Iterable[AccountLike],
        *,
        journal: str | Journal,
        base_url: str = BASE_URL,
        recv_window_ms: int = 5_000,
        proxy: str | None = None,
        limits: Limits | None = None,
        transport: Transport | None = None,
        on_change: Callable[[Entry], None] | None = None,
        lanes: LaneOptions | None = None,
    ) -> None:
        """Nothing is opened yet. Raises ConfigurationError.

        `journal` is `sqlite:///FILE`, `postgresql://HOST/DATABASE`, `memory:` (for tests: it ends
        with the process), or a journal of one's own. On PostgreSQL several schedulers share the
        accounts, and `lanes` says how. `on_change` is called on the loop after each change that is
        made here is durable; it must not block, and what it raises is logged.
        """
        if not 1 <= recv_window_ms <= RECV_WINDOW_MAX_MS:
            raise ConfigurationError(
                f"recv_window_ms: must be 1 to {RECV_WINDOW_MAX_MS}, not {recv_window_ms}"
            )
        self._accounts = checked_accounts(accounts)
        self._credentials = {name: credentials_of(a) for name, a in self._accounts.items()}
        self._limits = limits or Limits()
        self._policy = Policy(
            recv_window_ms=recv_window_ms,
            processing_max_ms=self._limits.processing_max_ms,
            visibility_max_ms=self._limits.visibility_max_ms,
        )
        self._journal = open_journal(journal) if isinstance(journal, str) else journal
        self._owns_transport = transport is None
        self._transport = transport or AiohttpTransport(base_url, proxy=proxy)
        self._watchers = Watchers(on_change)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lanes = lanes or LaneOptions()
        self._remote: Remote | None = None
        self._is_open = False

    # Life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Open the journal and go on with what it holds. Raises ConfigurationError."""
        if self._loop is not None:
            raise Closed("a scheduler starts once; make another")
        self._loop = asyncio.get_running_loop()
        self._engine = Engine(
            self._accounts,
            credentials=self._credentials,
            journal=self._journal,
            transport=self._transport,
            limits=self._limits,
            policy=self._policy,
            watchers=self._watchers,
            lanes=self._lanes,
        )
        if self._engine.keeper is not None and isinstance(self._journal, SharedJournal):
            self._remote = Remote(
                self._engine.keeper,
                self._journal,
                self._engine.clock,
                self._limits,
                self._policy,
            )
        self._intake = Intake(
            self._engine,
            journal=self._journal,
            limits=self._limits,
            watchers=self._watchers,
            remote=self._remote,
        )
        await self._engine.start()
        self._is_open = True

    async def aclose(self, timeout: float = 15.0) -> None:
        """Take nothing new, wait up to `timeout` seconds for what is in the air, and stop.

        What is still queued stays in the journal. Whoever waits is woken with `Closed`.
        """
        if not self._is_open:
            return
        self._check_loop()
        self._is_open = False
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(timeout):
                await self._intake.settle()
                await self._engine.land()
            try:
                await self._engine.stop()
            finally:
                if self._owns_transport:
                    await self._transport.aclose()

    # Submitting

    async def borrow(
        self,
        account: str,
        asset: str,
        amount: str | Decimal,
        *,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Entry:
        """Borrow and wait until that is CONFIRMED. Options are those of `submit`.

        Raises a `NotConfirmed` that carries the entry (`StillPending` after `timeout` seconds; the
        submission lives on), and whatever `submit` raises.
        """
        return await self._confirmed(timeout, account, "BORROW", asset, amount, options)

    async def repay(
        self,
        account: str,
        asset: str,
        amount: str | Decimal,
        *,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Entry:
        """Repay and wait until that is CONFIRMED; options and errors as for `borrow`."""
        return await self._confirmed(timeout, account, "REPAY", asset, amount, options)

    async def submit(
        self,
        account: str,
        kind: str,
        asset: str,
        amount: str | Decimal,
        **options: Unpack[Options],
    ) -> Entry:
        """Queue a borrow or repayment; it is durable when this returns.

        `kind` is BORROW or REPAY, `amount` a plain decimal as a string or a Decimal. Options:

        * `symbol`: the isolated pair; without it the margin is cross.
        * `key`: makes repeating safe. The same key with the same request is the same submission,
          whatever its priority and time; made up if absent.
        * `priority`: `"normal"`, or `"urgent"`, which goes first and may use the minute's reserve.
        * `send_within`: seconds after which no attempt starts; 300 for a borrow and a day for a
          repayment unless the limits say otherwise. Kept as an instant, also across a restart.

        Raises InvalidRequest, UnknownAccount, KeyReused, QueueFull, CannotStartInTime,
        AccountStopped, JournalUnavailable, Closed; then nothing was kept.
        """
        self._check_open()
        if account not in self._accounts:
            raise UnknownAccount(f"account: {account!r} is not configured")
        asked = request.checked(
            account,
            kind,
            asset,
            amount,
            options,
            limits=self._limits,
            now_ms=self._engine.clock.now_ms(),
        )
        entry, _ = await self.accept(asked)
        return entry

    async def accept(self, asked: Submission) -> tuple[Entry, bool]:
        """Keep a checked submission, as `submit` does; the second value tells whether its key was
        there before."""
        self._check_open()
        return await self._intake.accept(asked)

    async def _confirmed(
        self,
        timeout: float | None,
        account: str,
        kind: str,
        asset: str,
        amount: str | Decimal,
        options: Options,
    ) -> Entry:
        given = options.get("key")
        key = request.new_key() if given is None else request.checked_key(given)
        waiter = self._watchers.wait_for(key)
        try:
            chosen: Options = {**options, "key": key}
            entry = await self.submit(account, kind, asset, amount, **chosen)
            if not is_settled(entry):
                entry = await self._settled(key, waiter, timeout)
        finally:
            self._watchers.forget(key, waiter)
        if entry.state is State.CONFIRMED:
            return entry
        raise not_confirmed(entry)

    # Following

    async def wait(self, key: str, *, timeout: float | None = None) -> Entry:
        """The entry once it is final or UNRESOLVED, or as it stands after `timeout` seconds.

        Never raises for an outcome. Raises UnknownKey.
        """
        self._check_open()
        waiter = self._watchers.wait_for(key)
        try:
            entry = await self.get(key)
            return entry if is_settled(entry) else await self._settled(key, waiter, timeout)
        finally:
            self._watchers.forget(key, waiter)

    async def _settled(
        self, key: str, waiter: "asyncio.Future[Entry]", timeout: float | None
    ) -> Entry:
        with anyio.move_on_after(timeout):
            return await waiter
        return await self.get(key)

    async def get(self, key: str) -> Entry:
        """The entry as it stands. Raises UnknownKey."""
        self._check_loop()
        entry = await self._journal.get(key)
        if entry is None:
            raise UnknownKey(f"key: no submission has the key {key!r}")
        return entry

    async def list(
        self,
        *,
        account: str | None = None,
        state: State | None = None,
        asset: str | None = None,
        limit: int = 100,
        after: int | None = None,
    ) -> Sequence[Entry]:
        """Entries that match, newest first; `after` is the `seq` of the last one already seen."""
        self._check_loop()
        return await self._journal.find(
            account=account, state=state, asset=asset, limit=limit, before_seq=after
        )

    def events(self, account: str | None = None) -> Feed:
        """Every change and alarm from now on. A reader that falls too far behind gets
        EventsLost."""
        self._check_open()
        return self._watchers.follow(account)

    # Steering

    async def cancel(self, key: str) -> Entry:
        """Take back what has not been sent. Raises NotCancellable, UnknownKey."""
        self._check_open()
        entry = await self.get(key)
        worker = self._engine.owned(entry.account)
        cancelling = worker.cancel(key) if worker else self._elsewhere.cancel(entry)
        cancelled = await asyncio.shield(asyncio.ensure_future(cancelling))
        if cancelled is not None:
            return cancelled
        entry = await self.get(key)
        if entry.state is State.CANCELLED:
            return entry
        raise NotCancellable(f"key: {key} is {entry.state} and cannot be taken back", entry)

    async def resolve(
        self, key: str, state: State | str, *, tran_id: int | None = None, because: str
    ) -> Entry:
        """Decide an UNKNOWN or UNRESOLVED submission by hand: CONFIRMED with its `tran_id`, or
        NOT_EXECUTED. Raises NotResolvable, UnknownKey."""
        self._check_open()
        state = _resolution(state, tran_id)
        entry = await self.get(key)
        if entry.state not in {State.UNKNOWN, State.UNRESOLVED}:
            raise NotResolvable("not_undecided", f"key: {key} is {entry.state}; nothing is open")
        from_ms = may_resolve_from_ms(entry, self._policy)
        is_sampled = await self._engine.timekeeper.sample()
        is_known = is_sampled and self._engine.clock.is_trusted
        if not is_known or self._engine.clock.now_ms() <= from_ms:
            raise NotResolvable(
                "fence_not_passed",
                f"key: {key} may still be executed; it can be resolved from {from_ms} on",
            )
        event = Resolved(state, tran_id, because)
        worker = self._engine.owned(entry.account) or self._elsewhere
        try:
            return await asyncio.shield(asyncio.ensure_future(worker.resolve(entry, event)))
        except StaleVersion:
            raise NotResolvable("not_undecided", f"key: {key} has just changed") from None
        except TranIdClaimed as claim:
            raise NotResolvable(
                "tran_id_claimed", f"tran_id: {tran_id} belongs to {claim.holder}"
            ) from None

    async def quote(self, account: str, *, priority: str = "normal") -> Quote:
        """When a submission made now would start at the earliest, counting only certain waits."""
        checked, worker = request.checked_priority(priority), self._worker_here(account)
        return quote(worker, checked) if worker else await self._elsewhere.quote(account)

    async def status(self, account: str) -> AccountStatus:
        """What the account is doing now. Raises UnknownAccount."""
        worker = self._worker_here(account)
        if worker is None:
            return await self._elsewhere.status(account)
        keeper = self._engine.keeper
        return account_status(
            worker,
            tuple(self._watchers.alarms),
            owner=None if keeper is None else self._lanes.name,
            epoch=None if keeper is None else keeper.lanes.epochs.get(account),
        )

    async def pause(self, account: str) -> None:
        """Send nothing of the account until `resume`, also after a restart; still take
        submissions."""
        worker = self._worker_here(account)
        if worker is None:
            await self._elsewhere.pause(account)
            return
        await worker.standing.pause()
        worker.poke()

    async def resume(self, account: str) -> None:
        """Take back a pause, a stop for a refused key, and the finding that others use the
        account."""
        worker = self._worker_here(account)
        if worker is None:
            await self._elsewhere.resume(account)
            return
        await worker.standing.resume()
        worker.poke()

    @property
    def accounts(self) -> tuple[str, ...]:
        """The configured accounts' names."""
        return tuple(self._accounts)

    _engine: Engine
    _intake: Intake

    def _worker_here(self, account: str) -> Worker | None:
        """The account's worker, unless another scheduler runs it. Raises UnknownAccount."""
        self._check_open()
        if account not in self._accounts:
            raise UnknownAccount(f"account: {account!r} is not configured")
        return self._engine.owned(account)

    @property
    def _elsewhere(self) -> Remote:
        assert self._remote is not None, "without lanes every account is run here"
        return self._remote

    def _check_open(self) -> None:
        self._check_loop()
        if not (self._is_open and self._engine.is_running):
            raise Closed("the scheduler is not running")

    def _check_loop(self) -> None:
        if self._loop is None:
            raise Closed("the scheduler was never started")
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoop("the scheduler was started on another event loop")


def _resolution(state: State | str, tran_id: int | None) -> State:
    if state == State.CONFIRMED and tran_id is not None:
        return State.CONFIRMED
    if state == State.NOT_EXECUTED and tran_id is None:
        return State.NOT_EXECUTED
    raise NotResolvable(
        "resolution_invalid", "as: must be CONFIRMED with a tran_id, or NOT_EXECUTED without one"
    )
