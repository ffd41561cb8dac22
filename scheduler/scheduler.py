"""`Scheduler`: what programs embed."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self, Unpack

import anyio

from . import request
from .account import AccountLike, checked_accounts
from .binance import BASE_URL, Credentials
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
from .figures import AssetStatus, Debt, Debts, Inventory, MaxBorrowable, Settlement
from .intake import Intake
from .journal import Journal, open_journal
from .journal.lanes import SharedJournal
from .journal.protocol import HistoryRow, StaleVersion, TranIdClaimed
from .journal.timed import TimedJournal
from .lanes import LaneOptions
from .lifecycle import conclusive_from_ms
from .margin import Settlements, checked_within
from .model import ALL, Entry, Quote, State, Submission
from .policy import RECV_WINDOW_MAX_MS, Limits, Policy
from .quotes import quote
from .remnant import leaves_remnants, next_key
from .remote import Remote
from .request import Options
from .settings import read_settings
from .status import AccountStatus, Overview, account_status, is_journal_trusted, overview
from .survey import Survey
from .transport import AiohttpTransport, Transport
from .watch import Feed, Observer, Watchers, is_settled
from .wire import HttpReply
from .worker import Worker

ADVICE_WAIT_S = 1.0
"""How long whoever waits for a submission waits for advice after its refusal."""
CLOSE_UP_MAX_S = 10.0
"""How long a repayment of everything waits for the look at what it left."""


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

    @classmethod
    def from_config(
        cls,
        path: str | Path,
        *,
        transport: Transport | None = None,
        on_change: Callable[[Entry], None] | None = None,
    ) -> Self:
        """A scheduler as a configuration file says. Nothing is opened yet but the file and the
        secrets that it names. Raises ConfigurationError, which begins with the setting."""
        settings = read_settings(path)
        return cls(
            settings.accounts,
            journal=settings.journal,
            base_url=settings.base_url,
            recv_window_ms=settings.recv_window_ms,
            proxy=settings.proxy,
            limits=settings.limits,
            transport=transport,
            on_change=on_change,
            lanes=settings.lanes,
        )

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
        self._now_s = self._loop.time
        journal = self._timed = TimedJournal(self._journal, self._watchers.committed)
        shared = self._journal if isinstance(self._journal, SharedJournal) else None
        self._engine = Engine(
            self._accounts,
            credentials=self._credentials,
            journal=journal,
            transport=self._transport,
            limits=self._limits,
            policy=self._policy,
            watchers=self._watchers,
            shared=shared,
            lanes=self._lanes,
        )
        if self._engine.keeper is not None and shared is not None:
            self._remote = Remote(
                self._engine.keeper,
                shared,
                self._engine.clock,
                self._limits,
                self._policy,
                self._engine.survey,
            )
        self._intake = Intake(
            self._engine,
            journal=journal,
            limits=self._limits,
            watchers=self._watchers,
            remote=self._remote,
        )
        self._settlements = Settlements(
            self._engine,
            accept=self.accept,
            follow=self._follow,
            unfinished_of=self._unfinished_of,
        )
        await self._engine.start()
        self._is_open = True

    async def ended(self) -> None:
        """Wait until nothing runs any more: it was closed, or died of a defect, which `aclose` then
        raises."""
        self._check_loop()
        await self._engine.ended()

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
        """Repay and wait until that is CONFIRMED; options and errors as for `borrow`.

        With the amount `"all"` it also waits until what interest may have left in between is
        repaid, by a submission of its own that the entry's evidence names.
        """
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
        * `at_most`: take less if that is what can be borrowed, or what is owed.
        * `precheck`: have a borrow of an asset that cannot be borrowed refused before it costs
          weight.

        The amount `"all"` repays the whole debt, `"max"` borrows what can be borrowed; both are
        looked up right before each attempt.

        Raises InvalidRequest, UnknownAccount, KeyReused, QueueFull, CannotStartInTime,
        AccountStopped, JournalUnavailable, Closed; then nothing was kept.
        """
        entry, _ = await self.accept(self._checked(account, kind, asset, amount, options))
        return entry

    def checked(
        self,
        account: str,
        kind: str,
        asset: str,
        amount: str | Decimal,
        **options: Unpack[Options],
    ) -> Submission:
        """What `submit` would keep, for `accept`. Raises InvalidRequest, UnknownAccount, Closed."""
        return self._checked(account, kind, asset, amount, options)

    def _checked(
        self, account: str, kind: str, asset: str, amount: str | Decimal, options: Options
    ) -> Submission:
        self._check_open()
        if account not in self._accounts:
            raise UnknownAccount(f"account: {account!r} is not configured")
        return request.checked(
            account,
            kind,
            asset,
            amount,
            options,
            limits=self._limits,
            now_ms=self._engine.clock.now_ms(),
        )

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
        asked = self._checked(account, kind, asset, amount, options)
        key, begun_s = asked.key, self._now_s()
        waiter = self._watchers.wait_for(key)
        try:
            entry, _ = await self.accept(asked)
            if not is_settled(entry):
                entry = await self._settled(key, waiter, timeout)
        finally:
            self._watchers.forget(key, waiter)
        if entry.state is State.CONFIRMED:
            if entry.requested != ALL:
                return entry
            left_s = None if timeout is None else begun_s + timeout - self._now_s()
            return await self._closed_up(entry, left_s)
        raise not_confirmed(entry)

    async def _closed_up(self, entry: Entry, timeout: float | None) -> Entry:
        """The entry once what interest has left of the debt is repaid too, or `timeout` is over."""
        with anyio.move_on_after(timeout):
            repaid = entry
            for _ in range(self._policy.remnant_rounds_max + 1):
                with anyio.move_on_after(CLOSE_UP_MAX_S):
                    await self._looked_after(repaid)
                key = next_key(repaid.key)
                if await self._journal.get(key) is None:
                    break
                repaid = await self.wait(key)
        return await self.get(entry.key)

    async def _looked_after(self, repaid: Entry) -> None:
        worker = self._engine.owned(repaid.account)
        if worker is not None:
            await worker.leftovers.seen_to(repaid.key)
        elif leaves_remnants(repaid, self._policy) and repaid.state is State.CONFIRMED:
            await self._elsewhere.closed_up(repaid)

    # Following

    async def wait(self, key: str, *, timeout: float | None = None) -> Entry:
        """The entry once it is final or UNRESOLVED, or as it stands after `timeout` seconds.

        Never raises for an outcome. Raises UnknownKey.
        """
        self._check_open()
        waiter = self._watchers.wait_for(key)
        try:
            if not self._watchers.is_open(key) and is_settled(entry := await self.get(key)):
                return entry
            return await self._settled(key, waiter, timeout)
        finally:
            self._watchers.forget(key, waiter)

    async def _settled(
        self, key: str, waiter: "asyncio.Future[Entry]", timeout: float | None
    ) -> Entry:
        if timeout is None:  # nearly always; a scope of time has its price
            entry = await waiter
            return await self._with_advice(entry) if entry.state is State.REJECTED else entry
        with anyio.move_on_after(timeout):
            entry = await waiter
            return await self._with_advice(entry) if entry.state is State.REJECTED else entry
        return await self.get(key)

    async def _with_advice(self, entry: Entry) -> Entry:
        with anyio.move_on_after(ADVICE_WAIT_S):
            if self._remote is not None and self._engine.owned(entry.account) is None:
                await self._remote.advised(entry)
            else:
                await self._engine.adviser.advised(entry.key)
        return await self.get(entry.key)

    async def get(self, key: str) -> Entry:
        """The entry as it stands. Raises UnknownKey."""
        self._check_loop()
        entry = await self._journal.get(key)
        if entry is None:
            raise UnknownKey(f"key: no submission has the key {key!r}")
        return entry

    async def history(self, key: str) -> Sequence[HistoryRow]:
        """Every change of a submission, oldest first; of an archived one there are none any more.
        Raises UnknownKey."""
        await self.get(key)
        return await self._journal.history(key)

    async def list(
        self,
        *,
        account: str | None = None,
        state: State | str | None = None,
        asset: str | None = None,
        limit: int = 100,
        after: int | None = None,
    ) -> Sequence[Entry]:
        """Entries that match, newest first; `after` is the `seq` of the last one already seen.
        Raises InvalidRequest for a state that there is not."""
        self._check_loop()
        known = None if state is None else request.checked_state(state)
        return await self._journal.find(
            account=account, state=known, asset=asset, limit=limit, before_seq=after
        )

    def events(self, account: str | None = None) -> Feed:
        """Every change and alarm from now on. A reader that falls too far behind gets
        EventsLost."""
        self._check_open()
        return self._watchers.follow(account)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Have `observer` called for everything that happens, at once and on the loop; what is
        returned ends that. May be called before the start."""
        return self._watchers.observe(observer)

    # Standing in front of it

    @property
    def credentials(self) -> Mapping[str, Credentials]:
        """What acts for each account at the exchange, by name."""
        return MappingProxyType(self._credentials)

    def now_ms(self) -> int:
        """The exchange's time, as far as it is known; this machine's before it was asked."""
        self._check_open()
        return self._engine.clock.now_ms()

    async def pass_through(
        self,
        account: str | None,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        *,
        is_signed: bool,
        within: float,
    ) -> HttpReply:
        """Carry a call that neither borrows nor repays to the exchange, once, and bring its reply.

        Sent with the account's key (with none if it is None), and if `is_signed` stamped and signed
        anew. Reads share the address's weight and leave what lookups need. Raises NoRoom where it
        would start later than `within` seconds from now, `wire.ConnectFailed` if it was not sent,
        `wire.ReplyLost` if that is not known, InvalidRequest for the borrow/repay call itself.
        """
        self._check_open()
        if account is not None and account not in self._accounts:
            raise UnknownAccount(f"account: {account!r} is not configured")
        credentials = None if account is None else self._credentials[account]
        return await self._engine.passage.carry(
            account, credentials, method, path, parameters, is_signed=is_signed, within_s=within
        )

    # Looking up

    async def debt(
        self, account: str, asset: str, symbol: str | None = None, *, fresh: bool = False
    ) -> Debt:
        """What the account owes of an asset, in cross margin or in an isolated pair.

        Asked for anew after two seconds, after a transaction of the account that went through here,
        and with `fresh`; where the minute's weight is spent an older answer is given. `as_of_ms`
        says from when it is. Raises LookFailed, InvalidRequest, UnknownAccount.
        """
        survey = self._survey(account)
        asset, symbol = request.checked_asset(asset), request.checked_symbol(symbol)
        return await survey.debt(asset, symbol, fresh=fresh)

    async def debts(self, account: str, symbol: str | None = None, *, fresh: bool = False) -> Debts:
        """All that the account owes, in cross margin or in an isolated pair, by one look that is
        kept and refreshed as `debt` is. Raises LookFailed, InvalidRequest, UnknownAccount."""
        survey = self._survey(account)
        return await survey.debts(request.checked_symbol(symbol), fresh=fresh)

    async def max_borrowable(
        self, account: str, asset: str, symbol: str | None = None, *, fresh: bool = False
    ) -> MaxBorrowable:
        """What the account could borrow of an asset; kept and refreshed as `debt` is. Raises
        LookFailed, InvalidRequest, UnknownAccount."""
        survey = self._survey(account)
        asset, symbol = request.checked_asset(asset), request.checked_symbol(symbol)
        return await survey.max_borrowable(asset, symbol, fresh=fresh)

    async def asset_status(self, asset: str) -> AssetStatus:
        """Whether an asset can be borrowed, and its minimums; up to half a minute old. Raises
        UnknownAsset, other LookFailed, InvalidRequest."""
        self._check_open()
        return await self._engine.board.asset(request.checked_asset(asset))

    async def inventory(self, asset: str, isolated: bool = False) -> Inventory:
        """What the exchange has left to lend of an asset, to all its customers together; up to two
        seconds old. Raises LookFailed, InvalidRequest."""
        self._check_open()
        asset = request.checked_asset(asset)
        return await self._engine.board.inventory(asset, is_isolated=isolated)

    async def settle_debt(
        self,
        account: str,
        asset: str,
        symbol: str | None = None,
        *,
        within: float = 60.0,
        report_only: bool = False,
    ) -> Settlement:
        """See a debt through to its end, after an order that was to repay it.

        Auto-repay can fail without a word. Looks until the debt is gone, waits while a transaction
        is pending, and repays what is silently left, all of it (with `report_only` it only says
        so), within so many seconds. Safe to repeat and to call at the same time: nothing is repaid
        twice. Raises LookFailed where the debt could not be looked at, InvalidRequest,
        UnknownAccount, and what `submit` raises.
        """
        self._survey(account)
        asset, symbol = request.checked_asset(asset), request.checked_symbol(symbol)
        return await self._settlements.settle(
            account, asset, symbol, within=checked_within(within), report_only=report_only
        )

    # Steering

    async def cancel(self, key: str) -> Entry:
        """Take back what has not been sent. Raises NotCancellable, UnknownKey."""
        return await self.take_back(await self.get(key))

    async def take_back(self, entry: Entry) -> Entry:
        """`cancel` for an entry that has just been seen: nothing has to be read first, so that what
        came back to its queue a moment ago cannot be sent again before. Raises NotCancellable."""
        self._check_open()
        key = entry.key
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
        clock = self._engine.clock
        is_known = await self._engine.timekeeper.sample() and clock.is_trusted
        from_ms = conclusive_from_ms(entry, self._policy, clock.known_since_ms)
        if not is_known or clock.now_ms() <= from_ms:
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

    def overview(self) -> Overview:
        """What all accounts are doing now, and what concerns all of them."""
        self._check_open()
        return overview(
            self._engine,
            self._accounts,
            tuple(self._watchers.alarms),
            is_written=self._timed.is_up,
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

    def take_found_unfinished(self) -> tuple[str, ...]:
        """The keys of what an earlier process left unfinished and this one found at its start,
        oldest first. Given once: to whoever cares for those that waited for them then."""
        self._check_loop()
        found, self._engine.found_unfinished = self._engine.found_unfinished, []
        return tuple(found)

    @property
    def is_shared(self) -> bool:
        """Whether other schedulers work on the same journal."""
        return isinstance(self._journal, SharedJournal)

    @property
    def accounts(self) -> tuple[str, ...]:
        """The configured accounts' names."""
        return tuple(self._accounts)

    async def _unfinished_of(self, account: str) -> Iterable[Entry]:
        worker = self._engine.owned(account)
        if worker is None:
            return await self._elsewhere.unfinished(account)
        return (*worker.queue.entries(), *worker.in_air.values(), *worker.settler.entries())

    async def _follow(self, key: str, timeout: float) -> Entry:
        """The entry at its end or the timeout, with what interest left of it repaid too."""
        begun_s = self._now_s()
        entry = await self.wait(key, timeout=timeout)
        if entry.state is not State.CONFIRMED:
            return entry
        return await self._closed_up(entry, begun_s + timeout - self._now_s())

    _settlements: Settlements
    _engine: Engine
    _intake: Intake

    @property
    def is_journal_up(self) -> bool:
        """As `overview` tells, and much cheaper."""
        self._check_open()
        return self._timed.is_up and is_journal_trusted(self._engine, self._accounts)

    _timed: TimedJournal

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

    def _survey(self, account: str) -> Survey:
        self._check_open()
        if account not in self._accounts:
            raise UnknownAccount(f"account: {account!r} is not configured")
        return self._engine.survey(account)

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
