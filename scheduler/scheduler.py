"""`Scheduler`: what programs embed."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from types import TracebackType
from typing import Self, Unpack

import anyio
from anyio.abc import TaskGroup

from . import marks, request
from .account import AccountLike, checked_accounts
from .account_queue import AccountQueue
from .address import Address
from .auditor import Auditor
from .binance import Credentials
from .budget import Budget
from .clock import Clock
from .errors import (
    AccountStopped,
    CannotStartInTime,
    Closed,
    ConfigurationError,
    JournalUnavailable,
    KeyReused,
    NotCancellable,
    NotResolvable,
    QueueFull,
    UnknownAccount,
    UnknownKey,
    WrongLoop,
    not_confirmed,
)
from .events import Resolved
from .exchange import Exchange
from .gatekeeper import Gatekeeper
from .inventory import InventoryGate
from .journal import Journal, open_journal
from .journal.protocol import StaleVersion, TranIdClaimed
from .lifecycle import may_resolve_from_ms
from .model import Alarm, Entry, Quote, State, Submission
from .policy import Limits, Policy
from .quotes import is_surely_in_time, quote
from .reader import Reader
from .request import Options
from .signing import signer
from .status import AccountStatus, account_status
from .timekeeper import Timekeeper
from .transport import AiohttpTransport, Transport
from .visibility import VisibilityProbe
from .watch import Feed, Watchers, is_settled
from .worker import Shared, Worker

BASE_URL = "https://api.binance.com"
RECV_WINDOW_MAX_MS = 60_000
"""The exchange takes no wider one."""
FIRST_SAMPLE_S = 2.0
"""How long starting waits for the first sample before it goes on without."""


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
    ) -> None:
        """Nothing is opened yet. Raises ConfigurationError.

        `journal` is `sqlite:///FILE`, `memory:` (for tests: it ends with the process), or a journal
        of one's own. `on_change` is called on the loop after each change is durable; it must not
        block, and what it raises is logged.
        """
        if not 1 <= recv_window_ms <= RECV_WINDOW_MAX_MS:
            raise ConfigurationError(
                f"recv_window_ms: must be 1 to {RECV_WINDOW_MAX_MS}, not {recv_window_ms}"
            )
        self._accounts = checked_accounts(accounts)
        self._credentials = {name: _credentials(a) for name, a in self._accounts.items()}
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
        self._workers: dict[str, Worker] = {}
        self._marks: dict[tuple[str, str], str] = {}
        self._adding: defaultdict[str, int] = defaultdict(int)
        self._accepting: set[asyncio.Task[tuple[Entry, bool]]] = set()
        self._keeping: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._supervisor: asyncio.Task[None] | None = None
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
        await self._journal.open()
        try:
            await self._begin()
        except BaseException:
            await self._journal.aclose()
            raise

    async def _begin(self) -> None:
        self._clock = Clock()
        self._address = Address(self._limits, self._on_address_closed)
        reader = Reader(self._transport, self._clock, self._address)
        self._timekeeper = Timekeeper(reader, self._clock)
        self._reader = reader
        self._gate = InventoryGate(self._policy)
        self._gatekeeper = Gatekeeper(self._gate, self._clock, self._worker)
        self._auditor = Auditor(self._journal, self._clock, self._worker)
        self._probe = VisibilityProbe(self._clock)
        self._closing = asyncio.Event()
        self._shared = Shared(
            journal=self._journal,
            clock=self._clock,
            timekeeper=self._timekeeper,
            address=self._address,
            gate=self._gate,
            watchers=self._watchers,
            gate_changed=self._gatekeeper.changed,
            concluded_absent=self._auditor.concluded,
            confirmed=self._on_confirmed,
        )
        self._marks = await self._journal.marks()
        marks.close_again(self._address, self._marks)
        unfinished = await self._unfinished()
        with anyio.move_on_after(FIRST_SAMPLE_S):
            await self._timekeeper.sample()
        running: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(
            self._supervise(unfinished, running), name="margin-scheduler"
        )
        await running
        self._is_open = True

    async def _unfinished(self) -> dict[str, list[Entry]]:
        unfinished: dict[str, list[Entry]] = defaultdict(list)
        for entry in await self._journal.unfinished():
            if entry.account not in self._accounts:
                raise ConfigurationError(
                    f"accounts: the journal holds unfinished submissions of {entry.account}, "
                    "which is not configured"
                )
            unfinished[entry.account].append(entry)
        return unfinished

    async def _supervise(
        self, unfinished: dict[str, list[Entry]], running: "asyncio.Future[None]"
    ) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._timekeeper.run, self._clock_is_set, name="clock")
                tasks.start_soon(self._gatekeeper.run, name="inventory")
                tasks.start_soon(self._auditor.run, name="auditor")
                for name, entries in unfinished.items():
                    self._start_worker(name, entries)
                running.set_result(None)
                await self._closing.wait()
                tasks.cancel_scope.cancel()
        except BaseException as error:
            if not running.done():
                running.set_exception(error)
            raise
        finally:
            # Also after a defect in one of the tasks: nothing more is sent, and nobody is left
            # waiting for it.
            self._is_open = False
            self._watchers.close()

    async def aclose(self, timeout: float = 15.0) -> None:
        """Take nothing new, wait up to `timeout` seconds for what is in the air, and stop.

        What is still queued stays in the journal. Whoever waits is woken with `Closed`.
        """
        if self._supervisor is None:
            return
        self._check_loop()
        self._is_open = False
        supervisor, self._supervisor = self._supervisor, None
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(timeout):
                if self._accepting:
                    await asyncio.wait(self._accepting)
                for worker in self._workers.values():
                    worker.standing.close()
                for worker in self._workers.values():
                    await worker.landed()
        finally:
            self._closing.set()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([supervisor, *self._keeping])
                await self._journal.aclose()
                if self._owns_transport:
                    await self._transport.aclose()
        supervisor.result()

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
            now_ms=self._clock.now_ms(),
        )
        entry, _ = await self.accept(asked)
        return entry

    async def accept(self, asked: Submission) -> tuple[Entry, bool]:
        """Keep a checked submission; the second value tells whether its key was there before.

        Cancelling this changes nothing once the journal has it.
        """
        accepting = asyncio.ensure_future(self._accept(asked))
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepting.discard)
        return await asyncio.shield(accepting)

    async def _accept(self, asked: Submission) -> tuple[Entry, bool]:
        worker = self._worker(asked.account)
        refusal = self._refusal(worker, asked)
        if refusal is not None:
            # A repeated key is answered even where a new one would be refused.
            kept = await self._journal.get(asked.key)
            if kept is None:
                raise refusal
            return _same(kept, asked), True
        self._adding[asked.account] += 1
        try:
            kept = await self._journal.add(Entry(submission=asked))
        except JournalUnavailable:
            # It may have been kept all the same; then it is the caller's, and has to run.
            self._tasks.start_soon(worker.reread, asked.key)
            raise
        finally:
            self._adding[asked.account] -= 1
        if kept.submission is not asked:
            return _same(kept, asked), True
        worker.put(kept)
        self._watchers.changed(kept)
        return kept, False

    def _refusal(
        self, worker: Worker, asked: Submission
    ) -> AccountStopped | QueueFull | CannotStartInTime | None:
        if worker.standing.marks.stopped is not None:
            return AccountStopped(
                f"account: {asked.account} is stopped: {worker.standing.marks.stopped}"
            )
        waiting = len(worker.queue) + self._adding[asked.account]
        if waiting >= self._limits.queue_max:
            return QueueFull(
                f"account: {asked.account} has {waiting} submissions waiting, the most it may have",
                retry_after_s=60 * self._limits.request_weight / self._limits.uid_weight_per_minute,
            )
        if not is_surely_in_time(worker, asked.deadline_ms):
            first = quote(worker, asked.priority)
            if first.starts_at_ms >= asked.deadline_ms:
                late_s = (first.starts_at_ms - asked.deadline_ms) / 1000
                return CannotStartInTime(
                    f"send_within: {asked.account} has {first.ahead} submissions ahead and could "
                    f"start this one {late_s:.1f} s after its time at the earliest",
                    first,
                    retry_after_s=max(1.0, late_s),
                )
        return None

    async def _confirmed(
        self,
        timeout: float | None,
        account: str,
        kind: str,
        asset: str,
        amount: str | Decimal,
        options: Options,
    ) -> Entry:
        key = request.checked_key(options["key"]) if options.get("key") else request.new_key()
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
        worker = self._worker(entry.account)
        cancelled = await asyncio.shield(asyncio.ensure_future(worker.cancel(key)))
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
        is_sampled = await self._timekeeper.sample()
        is_known = is_sampled and self._clock.is_trusted
        if not is_known or self._clock.now_ms() <= from_ms:
            raise NotResolvable(
                "fence_not_passed",
                f"key: {key} may still be executed; it can be resolved from {from_ms} on",
            )
        event = Resolved(state, tran_id, because)
        worker = self._worker(entry.account)
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
        return quote(self._known_worker(account), request.checked_priority(priority))

    async def status(self, account: str) -> AccountStatus:
        """What the account is doing now. Raises UnknownAccount."""
        return account_status(self._known_worker(account), tuple(self._watchers.alarms))

    async def pause(self, account: str) -> None:
        """Send nothing of the account until `resume`, also after a restart; still take
        submissions."""
        worker = self._known_worker(account)
        await worker.standing.pause()
        worker.poke()

    async def resume(self, account: str) -> None:
        """Take back a pause, a stop for a refused key, and the finding that others use the
        account."""
        worker = self._known_worker(account)
        await worker.standing.resume()
        worker.poke()

    @property
    def accounts(self) -> tuple[str, ...]:
        """The configured accounts' names."""
        return tuple(self._accounts)

    def _on_address_closed(self, until_ms: int, cause: str) -> None:
        """All accounts stop, and a restart must not run into the same wall."""
        message = f"the address is {cause} until {until_ms}: nothing is sent"
        at_ms = self._clock.now_ms()
        self._watchers.alarmed(
            Alarm(at_ms=at_ms, account=None, key=None, cause="address_banned", message=message)
        )
        keeping = asyncio.ensure_future(self._keep_closed(until_ms, cause))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)

    async def _keep_closed(self, until_ms: int, cause: str) -> None:
        try:
            await self._journal.set_mark(*marks.closed_row(until_ms, cause))
        except JournalUnavailable as error:
            at_ms, message = self._clock.now_ms(), f"the ban was not kept: {error}"
            self._watchers.alarmed(
                Alarm(at_ms=at_ms, account=None, key=None, cause="journal", message=message)
            )

    def _on_confirmed(self, entry: Entry) -> None:
        if self._probe.is_due(entry):
            worker = self._worker(entry.account)
            self._tasks.start_soon(self._probe.measure, worker, entry, name="visibility")

    def _clock_is_set(self) -> None:
        for worker in self._workers.values():
            worker.standing.clock_is_set()
            worker.poke()

    # Workers

    def _known_worker(self, account: str) -> Worker:
        self._check_open()
        if account not in self._accounts:
            raise UnknownAccount(f"account: {account!r} is not configured")
        return self._worker(account)

    def _worker(self, name: str) -> Worker:
        worker = self._workers.get(name)
        return worker or self._start_worker(name, ())

    def _start_worker(self, name: str, unfinished: Iterable[Entry]) -> Worker:
        account = self._accounts[name]
        policy = replace(self._policy, confirm=account.confirm)
        exclusion = _pair_exclusion if account.lane == "pair" else _account_exclusion
        worker = Worker(
            name,
            exchange=Exchange(
                credentials=self._credentials[name],
                transport=self._transport,
                clock=self._clock,
                reader=self._reader,
                timekeeper=self._timekeeper,
                policy=policy,
                exclusion=exclusion,
            ),
            queue=AccountQueue(policy, self._gate, exclusion),
            budget=Budget(self._limits),
            limits=self._limits,
            policy=policy,
            marks=marks.read(name, self._marks),
            declared_exclusive=account.exclusive,
            shared=self._shared,
        )
        self._workers[name] = worker
        worker.start(self._tasks, unfinished)
        return worker

    _tasks: TaskGroup
    _clock: Clock
    _address: Address
    _reader: Reader
    _timekeeper: Timekeeper
    _gate: InventoryGate
    _gatekeeper: Gatekeeper
    _auditor: Auditor
    _probe: VisibilityProbe
    _closing: asyncio.Event
    _shared: Shared

    def _check_open(self) -> None:
        self._check_loop()
        if not self._is_open:
            raise Closed("the scheduler is not running")

    def _check_loop(self) -> None:
        if self._loop is None:
            raise Closed("the scheduler was never started")
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoop("the scheduler was started on another event loop")


def _credentials(account: AccountLike) -> Credentials:
    if not account.api_key.isascii() or not account.api_key.strip():
        raise ConfigurationError(f"accounts.{account.name}.api_key: must be plain text")
    try:
        return Credentials(api_key=account.api_key, signer=signer(account.secret))
    except ValueError as error:
        raise ConfigurationError(f"accounts.{account.name}.secret: {error}") from None


def _account_exclusion(entry: Entry) -> str:
    return entry.account


def _pair_exclusion(entry: Entry) -> str:
    return entry.account if entry.symbol is None else f"{entry.account}/{entry.symbol}"


def _same(kept: Entry, asked: Submission) -> Entry:
    if not kept.submission.asks_the_same(asked):
        raise KeyReused(f"key: {asked.key} belongs to another request", kept)
    return kept


def _resolution(state: State | str, tran_id: int | None) -> State:
    if state == State.CONFIRMED and tran_id is not None:
        return State.CONFIRMED
    if state == State.NOT_EXECUTED and tran_id is None:
        return State.NOT_EXECUTED
    raise NotResolvable(
        "resolution_invalid", "as: must be CONFIRMED with a tran_id, or NOT_EXECUTED without one"
    )
