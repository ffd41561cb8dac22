"""`Scheduler`: what programs embed."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from . import marks, request
from .account import AccountLike
from .account_queue import AccountQueue
from .address import Address
from .binance import Credentials
from .budget import Budget
from .clock import Clock
from .errors import (
    AccountStopped,
    CannotStartInTime,
    Closed,
    ConfigurationError,
    Expired,
    KeyReused,
    NotCancellable,
    NotConfirmed,
    NotExecuted,
    NotResolvable,
    QueueFull,
    Rejected,
    StillPending,
    SubmissionCancelled,
    UnknownAccount,
    UnknownKey,
    Unresolved,
    WrongLoop,
)
from .events import Resolved
from .exchange import Exchange, sample_clock
from .inventory import InventoryGate
from .journal import Journal, open_journal
from .journal.protocol import StaleVersion
from .lifecycle import may_resolve_from_ms
from .model import Alarm, Entry, Priority, Quote, State, Submission
from .policy import Limits, Policy
from .signing import signer
from .status import AccountStatus, account_status
from .transport import AiohttpTransport, Transport
from .watch import Watchers, is_settled
from .worker import Shared, Worker

BASE_URL = "https://api.binance.com"
RECV_WINDOW_MAX_MS = 60_000
CLOCK_PERIOD_S = 30.0
"""Between two samples of the exchange's time."""
CLOCK_RETRY_S = 1.0
FIRST_SAMPLE_S = 2.0
"""How long starting waits for the first sample before it goes on without."""
GATE_POLL_S = 0.5
"""How often the gate is looked at while an asset is short."""


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
        self._accounts = _checked(accounts)
        self._credentials = {name: _credentials(a) for name, a in self._accounts.items()}
        self._limits = limits or Limits()
        self._policy = Policy(recv_window_ms=recv_window_ms)
        self._journal = open_journal(journal) if isinstance(journal, str) else journal
        self._owns_transport = transport is None
        self._transport = transport or AiohttpTransport(base_url, proxy=proxy)
        self._watchers = Watchers(on_change)
        self._workers: dict[str, Worker] = {}
        self._marks: dict[tuple[str, str], str] = {}
        self._adding: defaultdict[str, int] = defaultdict(int)
        self._accepting: set[asyncio.Task[tuple[Entry, bool]]] = set()
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
        self._address = Address(self._limits)
        self._gate = InventoryGate(self._policy)
        self._gate_changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._shared = Shared(
            journal=self._journal,
            clock=self._clock,
            address=self._address,
            gate=self._gate,
            watchers=self._watchers,
            gate_changed=self._on_gate_change,
        )
        self._marks = await self._journal.marks()
        unfinished = await self._unfinished()
        with anyio.move_on_after(FIRST_SAMPLE_S):
            await sample_clock(self._transport, self._clock)
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
                tasks.start_soon(self._keep_clock, name="clock")
                tasks.start_soon(self._watch_inventory, name="inventory")
                for name, entries in unfinished.items():
                    self._start_worker(name, entries)
                running.set_result(None)
                await self._closing.wait()
                tasks.cancel_scope.cancel()
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
                    worker.close()
                for worker in self._workers.values():
                    await worker.landed()
        finally:
            self._closing.set()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([supervisor])
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
        symbol: str | None = None,
        key: str | None = None,
        priority: str = "normal",
        send_within: float | None = None,
        at_most: bool = False,
        precheck: bool = False,
        timeout: float | None = None,
    ) -> Entry:
        """Borrow and wait until that is CONFIRMED.

        Raises a `NotConfirmed` that carries the entry, `StillPending` after `timeout` seconds, and
        whatever `submit` raises.
        """
        return await self._confirmed(
            timeout,
            account,
            "BORROW",
            asset,
            amount,
            symbol=symbol,
            key=key,
            priority=priority,
            send_within=send_within,
            at_most=at_most,
            precheck=precheck,
        )

    async def repay(
        self,
        account: str,
        asset: str,
        amount: str | Decimal,
        *,
        symbol: str | None = None,
        key: str | None = None,
        priority: str = "normal",
        send_within: float | None = None,
        at_most: bool = False,
        precheck: bool = False,
        timeout: float | None = None,
    ) -> Entry:
        """Repay and wait until that is CONFIRMED; raises as `borrow` does."""
        return await self._confirmed(
            timeout,
            account,
            "REPAY",
            asset,
            amount,
            symbol=symbol,
            key=key,
            priority=priority,
            send_within=send_within,
            at_most=at_most,
            precheck=precheck,
        )

    async def submit(
        self,
        account: str,
        kind: str,
        asset: str,
        amount: str | Decimal,
        *,
        symbol: str | None = None,
        key: str | None = None,
        priority: str = "normal",
        send_within: float | None = None,
        at_most: bool = False,
        precheck: bool = False,
    ) -> Entry:
        """Queue a borrow or repayment; it is durable when this returns.

        `amount` is a plain decimal, as a string or a Decimal. `symbol` is the isolated pair;
        without it the margin is cross. `key` makes repeating safe: the same key with the same
        request is the same submission, whatever its priority and time. No attempt starts later
        than `send_within` seconds from now (default: 300 for a borrow, a day for a repayment).

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
            symbol=symbol,
            key=key,
            priority=priority,
            send_within=send_within,
            at_most=at_most,
            precheck=precheck,
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
        if worker.marks.stopped is not None:
            return AccountStopped(f"account: {asked.account} is stopped: {worker.marks.stopped}")
        waiting = len(worker.queue) + self._adding[asked.account]
        if waiting >= self._limits.queue_max:
            return QueueFull(
                f"account: {asked.account} has {waiting} submissions waiting, the most it may have",
                retry_after_s=60 * self._limits.request_weight / self._limits.uid_weight_per_minute,
            )
        if not worker.starts_surely_before(asked.deadline_ms):
            quote = worker.quote(asked.priority)
            if quote.starts_at_ms >= asked.deadline_ms:
                late_s = (quote.starts_at_ms - asked.deadline_ms) / 1000
                return CannotStartInTime(
                    f"send_within: {asked.account} has {quote.ahead} submissions ahead and could "
                    f"start this one {late_s:.1f} s after its time at the earliest",
                    quote,
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
        *,
        symbol: str | None,
        key: str | None,
        priority: str,
        send_within: float | None,
        at_most: bool,
        precheck: bool,
    ) -> Entry:
        key = request.new_key() if key is None else request.checked_key(key)
        waiter = self._watchers.wait_for(key)
        try:
            entry = await self.submit(
                account,
                kind,
                asset,
                amount,
                symbol=symbol,
                key=key,
                priority=priority,
                send_within=send_within,
                at_most=at_most,
                precheck=precheck,
            )
            if not is_settled(entry):
                entry = await self._settled(key, waiter, timeout)
        finally:
            self._watchers.forget(key, waiter)
        if entry.state is State.CONFIRMED:
            return entry
        raise _not_confirmed(entry)

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

    def events(self, account: str | None = None) -> AsyncIterator[Entry | Alarm]:
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
        if self._clock.now_ms() < from_ms or not self._clock.is_set:
            raise NotResolvable(
                "fence_not_passed",
                f"key: {key} may still be executed; it can be resolved from {from_ms} on",
            )
        if tran_id is not None:
            claims = await self._journal.claimed(entry.account, entry.kind, frozenset({tran_id}))
            if claims.get(tran_id, key) != key:
                raise NotResolvable(
                    "tran_id_claimed", f"tran_id: {tran_id} belongs to {claims[tran_id]}"
                )
        event = Resolved(state, tran_id, because)
        worker = self._worker(entry.account)
        try:
            return await asyncio.shield(asyncio.ensure_future(worker.resolve(entry, event)))
        except StaleVersion:
            raise NotResolvable("not_undecided", f"key: {key} has just changed") from None

    async def quote(self, account: str, *, priority: str = "normal") -> Quote:
        """When a submission made now would start at the earliest, counting only certain waits."""
        return self._known_worker(account).quote(Priority(priority))

    async def status(self, account: str) -> AccountStatus:
        """What the account is doing now. Raises UnknownAccount."""
        return account_status(self._known_worker(account), tuple(self._watchers.alarms))

    async def pause(self, account: str) -> None:
        """Send nothing of the account until `resume`, also after a restart; still take
        submissions."""
        await self._known_worker(account).pause()

    async def resume(self, account: str) -> None:
        """Take back a pause, a stop for a refused key, and the finding that others use the
        account."""
        await self._known_worker(account).resume()

    @property
    def accounts(self) -> tuple[str, ...]:
        """The configured accounts' names."""
        return tuple(self._accounts)

    # Background

    async def _keep_clock(self) -> None:
        while True:
            was_set = self._clock.is_set
            is_sampled = await sample_clock(self._transport, self._clock)
            if self._clock.is_set and not was_set:
                for worker in self._workers.values():
                    worker.clock_is_set()
            await anyio.sleep(CLOCK_PERIOD_S if is_sampled else CLOCK_RETRY_S)

    async def _watch_inventory(self) -> None:
        while True:
            if not self._gate.shortages():
                self._gate_changed.clear()
                await self._gate_changed.wait()
            now_ms = self._clock.now_ms()
            for pool in self._gate.due(now_ms):
                asker = self._gate.asker(pool)
                if asker is not None:
                    asset, is_isolated = pool
                    exchange = self._worker(asker).exchange
                    available = await exchange.inventory(asset, is_isolated=is_isolated)
                    self._gate.answered(pool, available, self._clock.now_ms())
                    self._on_gate_change()
            await anyio.sleep(GATE_POLL_S)

    def _on_gate_change(self) -> None:
        if self._gate.shortages():
            self._gate_changed.set()
            for account in self._gate.waiting_accounts():
                self._workers[account].poke()

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
                address=self._address,
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
    _gate: InventoryGate
    _gate_changed: asyncio.Event
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


def _checked(accounts: Iterable[AccountLike]) -> dict[str, AccountLike]:
    by_name: dict[str, AccountLike] = {}
    keys: dict[str, str] = {}
    for account in accounts:
        if account.name in by_name:
            raise ConfigurationError(f"accounts: {account.name} is there twice")
        if account.api_key in keys:
            raise ConfigurationError(
                f"accounts: {keys[account.api_key]} and {account.name} have the same api_key"
            )
        if account.confirm not in {"reply", "record"}:
            raise ConfigurationError(f"accounts.{account.name}.confirm: must be reply or record")
        if account.lane not in {"account", "pair"}:
            raise ConfigurationError(f"accounts.{account.name}.lane: must be account or pair")
        by_name[account.name] = account
        keys[account.api_key] = account.name
    if not by_name:
        raise ConfigurationError("accounts: none is configured")
    return by_name


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


def _not_confirmed(entry: Entry) -> NotConfirmed:
    match entry.state:
        case State.REJECTED:
            return Rejected(f"{entry.key}: {entry.code} {entry.name}: {entry.message}", entry)
        case State.EXPIRED:
            return Expired(f"{entry.key}: its time ran out before it was sent", entry)
        case State.CANCELLED:
            return SubmissionCancelled(f"{entry.key}: cancelled", entry)
        case State.NOT_EXECUTED:
            return NotExecuted(f"{entry.key}: proven not to have happened", entry)
        case State.UNRESOLVED:
            why = entry.evidence[-1].detail if entry.evidence else ""
            return Unresolved(f"{entry.key}: not decided: {why}", entry)
    return StillPending(f"{entry.key}: still {entry.state}", entry)
