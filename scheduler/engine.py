"""What runs under a `Scheduler`: its accounts' workers and everything they share."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any

import anyio
from anyio.abc import TaskGroup

from . import binance, marks
from .account import AccountLike
from .account_queue import AccountQueue
from .address import Address, Purpose
from .adviser import BANNED, Adviser
from .auditor import Auditor
from .binance import Credentials
from .budget import Budget
from .clock import Clock
from .errors import ConfigurationError, JournalUnavailable
from .events import Event
from .exchange import Exchange
from .gatekeeper import Gatekeeper
from .inquiry import Inquiry
from .inventory import InventoryGate, Refusal
from .journal import Journal
from .journal.lanes import SharedJournal
from .lanes import LaneKeeper, LaneOptions
from .maintenance import Maintenance
from .marks import Marks
from .measure import Measurer
from .model import Alarm, Entry
from .passage import Passage
from .policy import Limits, Policy
from .reader import Reader
from .shared import Shared
from .shelf import Running
from .signing import signer
from .startup import FIRST_LOOK_S, KeyQuestions, Startup
from .survey import Board, Survey
from .timekeeper import Timekeeper
from .transport import Transport
from .visibility import VisibilityProbe
from .watch import Watchers
from .worker import Worker

_log = logging.getLogger("margin_scheduler")

FIRST_SAMPLE_S = 2.0
"""How long starting waits for the first sample of the exchange's time before it goes on without."""
LANDING_MAX_S = 15.0
"""How long a lane that is given up waits for the answer of what it has in the air. Then it is the
next owner's to look for."""

Task = Callable[..., Coroutine[Any, Any, None]]


class Engine:
    """Starts and stops everything that runs. Belongs to the event loop it is made on."""

    def __init__(
        self,
        accounts: dict[str, AccountLike],
        *,
        credentials: dict[str, Credentials],
        journal: Journal,
        transport: Transport,
        limits: Limits,
        policy: Policy,
        watchers: Watchers,
        shared: SharedJournal | None = None,
        lanes: LaneOptions | None = None,
    ) -> None:
        """Nothing is opened yet. `shared` is the journal, where several schedulers work on it."""
        self.found_unfinished: list[str] = []
        """The keys of what an earlier process left, as it was at the start; oldest first."""
        self._accounts = accounts
        self._credentials = credentials
        self._journal = journal
        self._transport = transport
        self._limits = limits
        self._policy = policy
        self._watchers = watchers
        self._workers: dict[str, Worker] = {}
        self._marks: dict[tuple[str, str], str] = {}
        self._keeping: set[asyncio.Future[None]] = set()
        self._closing = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self.is_running = False
        self.clock = Clock()
        self._address = Address(limits, self._on_address_closed)
        self._reader = Reader(transport, self.clock, self._address, limits.uid_weight_per_minute)
        self.passage = Passage(self._reader, self.clock)
        self.timekeeper = Timekeeper(self._reader, self.clock)
        self._startup = Startup(
            accounts,
            credentials,
            KeyQuestions(self._reader, self.clock),
            journal,
            self._alarm_of,
        )
        self._is_checked = False
        self._clock_is_set = asyncio.Event()
        self._stopped: set[str] = set()
        self._gate = InventoryGate(policy)
        self._gatekeeper = Gatekeeper(self._gate, self.clock, self.owned, self._on_refused)
        self._auditor = Auditor(journal, self.clock, self.owned)
        self._lanes: dict[str, Lane] = {}
        self.keeper: LaneKeeper | None = None
        """Where the journal is shared: then accounts are run only while their lanes are ours."""
        if shared is not None:
            options = lanes or LaneOptions()
            heard = self._gatekeeper.heard
            self.keeper = LaneKeeper(shared, accounts, options, self, watchers, heard)
            watchers.on_settled = self.keeper.settled
        self._probe = VisibilityProbe(self.clock)
        self.looking: Running = set()
        self._surveys: dict[str, Survey] = {}
        self.board = Board(self._askers, self.clock, self.looking)
        self._maintenance = Maintenance(self.clock, self._ask_status, self._on_maintenance)
        self.adviser = Adviser(self.board, self.survey, self.owned)
        self._shared = Shared(
            journal=journal,
            clock=self.clock,
            timekeeper=self.timekeeper,
            address=self._address,
            gate=self._gate,
            watchers=watchers,
            gate_changed=self._gatekeeper.changed,
            concluded_absent=self._auditor.concluded,
            confirmed=self._on_confirmed,
            debt_changed=self._on_debt_changed,
            ended=self._on_ended,
            suspect=self._maintenance.suspect,
            watch=self._maintenance.watch,
            came_late=self._on_came_late,
        )

    # Life

    async def start(self) -> None:
        """Open the journal and go on with what it holds. Raises ConfigurationError."""
        await self._journal.open()
        try:
            await self._begin()
        except BaseException:
            await self._journal.aclose()
            raise

    async def _begin(self) -> None:
        self._marks = await self._journal.marks()
        marks.close_again(self._address, self.clock, self._marks)
        unfinished = await self._unfinished() if self.keeper is None else {}
        self._startup.recall(self._marks)
        with anyio.move_on_after(FIRST_SAMPLE_S):
            await self.timekeeper.sample()
        if self.clock.is_set:
            await self._look_at_accounts()
        self._startup.check()
        running: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(
            self._supervise(unfinished, running), name="margin-scheduler"
        )
        await running

    async def _unfinished(self) -> dict[str, list[Entry]]:
        unfinished: dict[str, list[Entry]] = defaultdict(list)
        for entry in await self._journal.unfinished():
            if entry.account not in self._accounts:
                raise ConfigurationError(
                    f"accounts: the journal holds unfinished submissions of {entry.account}, "
                    "which is not configured"
                )
            unfinished[entry.account].append(entry)
            self.found_unfinished.append(entry.key)
        return unfinished

    async def _supervise(
        self, unfinished: dict[str, list[Entry]], running: "asyncio.Future[None]"
    ) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                self.tasks = tasks
                tasks.start_soon(self.timekeeper.run, self._on_clock_set, name="clock")
                tasks.start_soon(self._gatekeeper.run, name="inventory")
                tasks.start_soon(self._auditor.run, name="auditor")
                tasks.start_soon(self._keep_looking_at_accounts, name="startup")
                tasks.start_soon(self._maintenance.run, name="maintenance")
                for name, entries in unfinished.items():
                    self._start_worker(name, entries)
                if self.keeper is not None:
                    tasks.start_soon(self.keeper.run, tasks, name="lanes")
                self.is_running = True
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
            self.is_running = False
            self._watchers.close()

    async def ended(self) -> None:
        """Wait until nothing runs any more: it was stopped, or one of the tasks died."""
        if self._supervisor is not None:
            await asyncio.wait([self._supervisor])

    async def land(self) -> None:
        """Start nothing more, and wait until nothing is in the air."""
        if self.keeper is not None:
            await self.keeper.leave()
        for worker in self._workers.values():
            worker.standing.close()
        for worker in self._workers.values():
            await worker.landed()

    async def stop(self) -> None:
        """End every task and close the journal. Raises what a task died of."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        self._closing.set()
        for look in self.looking:
            look.cancel()
        await asyncio.wait([supervisor, *self._keeping, *self.looking])
        await self._journal.aclose()
        supervisor.result()

    # Workers

    tasks: TaskGroup

    def worker(self, name: str) -> Worker:
        """The account's worker, started if it was not yet. Only where no lanes decide who runs
        it."""
        assert self.keeper is None, "another scheduler may be running it"
        return self._workers.get(name) or self._start_worker(name, ())

    def owned(self, name: str) -> Worker | None:
        """The account's worker; None while another scheduler runs the account."""
        return self.worker(name) if self.keeper is None else self._workers.get(name)

    def exchange(self, name: str) -> Exchange:
        """The account's conversation with the exchange, which may look whoever runs the account."""
        worker = self.owned(name)
        return self._make_exchange(name) if worker is None else worker.exchange

    def _start_worker(self, name: str, unfinished: Iterable[Entry]) -> Worker:
        worker = self._workers[name] = self._make_worker(name, marks.read(name, self._marks))
        self._inform(worker)
        worker.start(self.tasks, unfinished)
        return worker

    def _make_worker(self, name: str, known: Marks) -> Worker:
        policy = self._policy_of(name)
        return Worker(
            name,
            exchange=self._make_exchange(name),
            queue=AccountQueue(policy, self._gate, self._exclusion_of(name)),
            budget=Budget(self._limits),
            limits=self._limits,
            policy=policy,
            marks=known,
            declared_exclusive=self._accounts[name].exclusive,
            measurer=Measurer(self.survey(name).inquiry, self.board, self.clock, policy),
            shared=self._shared,
        )

    def _make_exchange(self, name: str) -> Exchange:
        return Exchange(
            credentials=self._credentials[name],
            transport=self._transport,
            clock=self.clock,
            reader=self._reader,
            timekeeper=self.timekeeper,
            policy=self._policy_of(name),
            exclusion=self._exclusion_of(name),
            account=name,
        )

    def _policy_of(self, name: str) -> Policy:
        return replace(self._policy, confirm=self._accounts[name].confirm)

    def _exclusion_of(self, name: str) -> Callable[[Entry], str]:
        return _pair_exclusion if self._accounts[name].lane == "pair" else _account_exclusion

    def _inform(self, worker: Worker) -> None:
        """What it has to know before it sends anything."""
        if not self._is_checked:
            worker.standing.hold_unchecked()
        worker.standing.maintained(self._maintenance.is_on)

    # Lanes, where the journal is shared

    def begin(self, account: str, epoch: int, entries: Iterable[Entry], known: Marks) -> None:
        """Run the account at this epoch, with what is unfinished."""
        assert self.keeper is not None
        assert account not in self._workers, f"{account} is run here already"
        self._workers[account] = worker = self._make_worker(account, known)
        self.keeper.lanes.epochs[account] = epoch
        self._inform(worker)
        lane = self._lanes[account] = Lane(worker)
        self.tasks.start_soon(lane.run, entries, name=f"lane {account}")
        lane.start_soon(self._auditor.resume, account)
        why = self._startup.misfits().get(account) if self._is_checked else None
        if why is not None and account not in self._stopped:
            self._stopped.add(account)
            lane.start_soon(worker.standing.misfits, why)

    async def end(self, account: str) -> None:
        """Run it no more, once what is in the air has landed or had its time to."""
        assert self.keeper is not None
        lane = self._lanes.get(account)
        if lane is not None:
            await lane.end()
            if self._lanes.get(account) is lane:
                del self._lanes[account], self._workers[account]
                self.keeper.lanes.epochs.pop(account)

    # Looking

    def survey(self, name: str) -> Survey:
        """What is known of the account's margin."""
        survey = self._surveys.get(name)
        if survey is None:
            inquiry = Inquiry(
                name,
                credentials=self._credentials[name],
                reader=self._reader,
                clock=self.clock,
            )
            survey = self._surveys[name] = Survey(inquiry, self.clock, self.looking)
        return survey

    def _askers(self) -> Iterable[Inquiry]:
        for name in self._accounts:
            worker = self._workers.get(name)
            kept = marks.read(name, self._marks) if worker is None else worker.standing.marks
            if kept.stopped is None:
                yield self.survey(name).inquiry

    # What concerns all of them

    @property
    def address(self) -> Address:
        """What the exchange holds against this machine."""
        return self._address

    async def _look_at_accounts(self) -> None:
        """Give the exchange its time to say whose keys these are; what it does not say is asked
        again later, and meanwhile the accounts work."""
        with anyio.move_on_after(FIRST_LOOK_S):
            await self._startup.look()
        await self._startup.keep()
        self._is_checked = True

    async def _keep_looking_at_accounts(self) -> None:
        if not self._is_checked:
            await self._clock_is_set.wait()
            await self._look_at_accounts()
            await self._stop_misfits(self._startup.misfits())
            for worker in self._workers.values():
                worker.standing.is_checked()
                worker.poke()
        await self._startup.run(self._stop_misfits)

    async def _stop_misfits(self, misfits: dict[str, str]) -> None:
        for name, why in misfits.items():
            worker = self.owned(name)
            if worker is not None and name not in self._stopped:
                self._stopped.add(name)
                await worker.standing.misfits(why)

    def _on_debt_changed(self, name: str) -> None:
        survey = self._surveys.get(name)
        if survey is not None:
            survey.forget()

    def _on_clock_set(self) -> None:
        self._clock_is_set.set()
        for worker in self._workers.values():
            worker.standing.clock_is_set()
            worker.poke()

    def _on_confirmed(self, entry: Entry) -> None:
        if self._probe.is_due(entry):
            worker = self.owned(entry.account)
            lane = self._lanes.get(entry.account)
            if worker is not None and lane is not None:
                lane.start_soon(self._probe.measure, worker, entry)
            elif worker is not None:
                self.tasks.start_soon(self._probe.measure, worker, entry, name="visibility")

    def _on_came_late(self, sent: Entry, event: Event) -> None:
        if self.keeper is not None:
            now_ms = self.clock.now_ms()
            self.tasks.start_soon(self.keeper.came_late, sent, event, now_ms, name="late answer")

    def _on_refused(self, refusal: Refusal) -> None:
        if self.keeper is not None:
            self.keeper.tell_refusal(refusal)

    async def _ask_status(self) -> bool:
        reply = await self._reader.read_now(
            binance.SYSTEM_STATUS, binance.system_status_request, Purpose.SWEEP
        )
        return binance.is_maintenance(reply)

    def _on_maintenance(self, is_on: bool) -> None:
        for worker in self._workers.values():
            worker.standing.maintained(is_on)
            worker.poke()
        if is_on:
            self._alarm("maintenance", "the exchange is being worked on: nothing is sent")
        else:
            _log.warning("the exchange is no longer being worked on: sending goes on")

    def _on_ended(self, entry: Entry) -> None:
        if entry.code == BANNED:
            self.board.forget()
        if self.adviser.takes(entry):
            self.tasks.start_soon(self.adviser.advise, entry, name=f"advice {entry.key}")

    def _on_address_closed(self, until_steady_ms: int, cause: str) -> None:
        """All accounts stop, and a restart must not run into the same wall."""
        until_ms = self.clock.at_ms(until_steady_ms)
        self._alarm("address_banned", f"the address is {cause} until {until_ms}: nothing is sent")
        keeping = asyncio.ensure_future(self._keep_closed(until_ms, cause))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)

    async def _keep_closed(self, until_ms: int, cause: str) -> None:
        try:
            await self._journal.set_mark(*marks.closed_row(until_ms, cause, self.clock))
        except JournalUnavailable as error:
            self._alarm("journal", f"until when the address is {cause} was not kept: {error}")

    def _alarm(self, cause: str, message: str) -> None:
        self._alarm_of(None, cause, message)

    def _alarm_of(self, account: str | None, cause: str, message: str) -> None:
        at_ms = self.clock.now_ms()
        alarm = Alarm(at_ms=at_ms, account=account, key=None, cause=cause, message=message)
        self._watchers.alarmed(alarm)


class Lane:
    """An account's worker and all of its tasks, which end together."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._scope = anyio.CancelScope()
        self._to_start: list[tuple[Task, tuple[Any, ...]]] = []
        self._tasks: TaskGroup | None = None
        self._has_ended = anyio.Event()

    async def run(self, unfinished: Iterable[Entry]) -> None:
        """Until `end`."""
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    self._tasks = tasks
                    self._worker.start(tasks, unfinished)
                    for task, arguments in self._to_start:
                        tasks.start_soon(task, *arguments)
        finally:
            self._has_ended.set()

    def start_soon(self, task: Task, *arguments: Any) -> None:
        """Start something that ends with the lane."""
        if self._tasks is None:
            self._to_start.append((task, arguments))
        elif not self._has_ended.is_set():
            self._tasks.start_soon(task, *arguments)

    async def end(self) -> None:
        """Start nothing more, let land what is in the air, and end all tasks."""
        self._worker.standing.close()
        with anyio.move_on_after(LANDING_MAX_S):
            await self._worker.landed()
        self._worker.abandon()
        self._scope.cancel()
        await self._has_ended.wait()


def credentials_of(account: AccountLike) -> Credentials:
    """What acts for the account. Raises ConfigurationError where that cannot be used."""
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
