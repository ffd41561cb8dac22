"""One life: the scheduler at work, with what was drawn for it going wrong, until all is decided."""

import asyncio
import hashlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio

from scheduler import (
    Closed,
    Entry,
    NotCancellable,
    NotConfirmed,
    NotResolvable,
    Scheduler,
    SchedulerError,
    State,
    clock,
)
from scheduler.model import ALL, Alarm
from scheduler.simulator import SimulatedAccount, Simulator

from .. import virtual_time
from ..key_questions import WithoutKeyQuestions
from .plan import Job, Plan

FIRST_DEBT = "100000"
SETTLES_S = 20.0
"""What the exchange has acknowledged is booked by then."""
LOOKED_AFTER_S = 30.0
"""A repayment of everything, for what interest left of it."""
PATIENCE_S = 2 * 3600
"""After the faults end, everything must be decided within this."""


@dataclass(frozen=True, slots=True)
class Change:
    """One durable change, as `on_change` told it."""

    loop_s: float
    exchange_ms: int
    entry: Entry
    asked_s: float | None = None
    """When it was handed to the journal, where that takes time; `exchange_ms` is of then."""
    write: int | None = None
    """Changes of one number became durable together."""

    @property
    def began_s(self) -> float:
        return self.loop_s if self.asked_s is None else self.asked_s


@dataclass(slots=True)
class Story:
    """What was seen of one life, for the oracle."""

    plan: Plan
    changes: list[Change] = field(default_factory=list)
    latest: dict[str, Entry] = field(default_factory=dict)
    refused: dict[str, SchedulerError] = field(default_factory=dict)
    """Submissions that were not taken."""
    answers: dict[str, Entry | NotConfirmed] = field(default_factory=dict)
    """What callers that waited were told."""
    alarms: list[Alarm] = field(default_factory=list)
    virtual_s: float = 0.0
    writes: int = 0
    """How many were handed to the journal, where that takes time."""
    counts: Counter[str] = field(default_factory=Counter)
    """What else happened that is rare."""
    troubles: Counter[str] = field(default_factory=Counter)
    """What befell bytes."""
    kept: dict[str, Entry] | None = None
    """What the journal holds in the end, where it can be asked then."""
    durable_s: dict[str, float] = field(default_factory=dict)
    """When each submission was known to be in the journal, where that takes time."""

    def digest(self) -> str:
        """The same for the same life, and for no other."""
        told = hashlib.sha256()
        for change in self.changes:
            told.update(f"{change.loop_s:.6f} {change.entry!r}\n".encode())
        told.update(self.heard().encode())
        return told.hexdigest()[:16]

    def heard(self) -> str:
        """What callers heard, where that is more than what became of their submissions."""
        return ""

    def branches(self) -> Counter[str]:
        """What happened, for telling whether rare things were reached."""
        seen: Counter[str] = Counter()
        before: dict[str, Entry] = {}
        for change in self.changes:
            entry = change.entry
            last = before.get(entry.key)
            if last is not None and last.state is not entry.state:
                seen[f"{last.state} to {entry.state}"] += 1
            before[entry.key] = entry
        seen.update(f"alarm {alarm.cause}" for alarm in self.alarms)
        seen.update(f"refused {type(error).__name__}" for error in self.refused.values())
        return seen + self.counts


def live(plan: Plan) -> tuple[Story, Simulator]:
    """Live it, on a loop of its own."""
    story = Story(plan)
    simulator = Simulator(**plan.exchange)
    epoch_ms = simulator.options.epoch_ms
    before, clock.wall_ms = clock.wall_ms, lambda: epoch_ms + plan.wall_skew_ms
    try:
        virtual_time.run(_live(plan, story, simulator), seed=plan.seed)
    finally:
        clock.wall_ms = before
    return story, simulator


async def _live(plan: Plan, story: Story, simulator: Simulator) -> None:
    loop = asyncio.get_running_loop()

    def note(entry: Entry) -> None:
        story.changes.append(Change(loop.time(), simulator.now_ms(), entry))
        story.latest[entry.key] = entry

    async with simulator:
        accounts = open_accounts(plan, simulator)
        simulator.set_fault_rates(plan.loan_faults, plan.read_faults)
        scheduler = Scheduler(
            accounts,
            journal="memory:",
            transport=WithoutKeyQuestions(simulator.transport, accounts),
            on_change=note,
        )
        async with scheduler, anyio.create_task_group() as others:
            others.start_soon(listen, scheduler, story)
            others.start_soon(disturb, plan, simulator)
            others.start_soon(_calm, plan, simulator)
            await attend(plan, story, scheduler, simulator)
            others.cancel_scope.cancel()
        await anyio.sleep(SETTLES_S)
        story.virtual_s = loop.time()


def open_accounts(plan: Plan, simulator: Simulator) -> list[SimulatedAccount]:
    """The plan's accounts, with debts to repay."""
    accounts = [simulator.account(name, **options) for name, options in plan.accounts.items()]
    for account in accounts:
        for asset in ("USDT", "BTC"):
            simulator.set_debt(account, asset, FIRST_DEBT)
            simulator.set_debt(account, asset, FIRST_DEBT, symbol="BTCUSDT")
    return accounts


async def attend(plan: Plan, story: Story, scheduler: Scheduler, simulator: Simulator) -> None:
    """Do what callers do, and persons, until all is decided or patience ends."""
    async with anyio.create_task_group() as callers:
        for number, job in enumerate(plan.jobs):
            key = f"k{number}"
            if key not in story.answers and key not in story.refused:
                callers.start_soon(_call, scheduler, story, key, job)
        await until(plan.quiet_at_s)
        with anyio.move_on_after(PATIENCE_S):
            while not all_final(plan, story) or _is_looked_after(story):
                await anyio.sleep(1)
                await resolve(scheduler, story, simulator)
        callers.cancel_scope.cancel()


async def _calm(plan: Plan, simulator: Simulator) -> None:
    await until(plan.quiet_at_s)
    simulator.clear_faults()


async def _call(scheduler: Scheduler, story: Story, key: str, job: Job) -> None:
    await until(job.at_s)
    try:
        await scheduler.submit(
            job.account,
            job.kind,
            job.asset,
            job.amount,
            symbol=job.symbol,
            key=key,
            priority=job.priority,
            send_within=job.send_within,
            at_most=job.at_most,
            precheck=job.precheck,
        )
    except SchedulerError as error:
        story.refused[key] = error
        return
    if job.cancel_after_s is not None:
        await anyio.sleep(job.cancel_after_s)
        try:
            story.answers[key] = await scheduler.cancel(key)
            return
        except NotCancellable:
            pass
    call = scheduler.borrow if job.kind == "BORROW" else scheduler.repay
    try:
        story.answers[key] = await call(
            job.account,
            job.asset,
            job.amount,
            symbol=job.symbol,
            key=key,
            at_most=job.at_most,
            precheck=job.precheck,
        )
    except NotConfirmed as error:
        story.answers[key] = error


async def listen(scheduler: Scheduler, story: Story) -> None:
    """Keep the alarms."""
    try:
        async for event in scheduler.events():
            if isinstance(event, Alarm):
                story.alarms.append(event)
    except Closed:
        pass


async def disturb(plan: Plan, simulator: Any) -> None:
    """Do what others do."""
    for disturbance in plan.disturbances:
        await until(disturbance.at_s)
        getattr(simulator, disturbance.name)(*disturbance.arguments, **disturbance.options)


async def resolve(scheduler: Scheduler, story: Story, simulator: Simulator) -> None:
    """Do what the README tells a person to do: ask the exchange, and say what it says."""
    for entry, state, tran_id in undecided(story, simulator):
        with suppress(NotResolvable):
            await scheduler.resolve(entry.key, state, tran_id=tran_id, because="the ledger")


def undecided(story: Story, simulator: Simulator) -> list[tuple[Entry, State, int | None]]:
    """What needs a person, and what the exchange's ledger says of it."""
    found: list[tuple[Entry, State, int | None]] = []
    for entry in story.latest.values():
        if entry.state is not State.UNRESOLVED or not entry.needs_person:
            continue
        stamps = {
            c.entry.attempt.timestamp_ms
            for c in story.changes
            if c.entry.key == entry.key and c.entry.attempt is not None
        }
        booked = [
            t.tran_id
            for t in simulator.ledger.booked(entry.account)
            if t.request_timestamp_ms in stamps
        ]
        if booked:
            found.append((entry, State.CONFIRMED, booked[0]))
        else:
            found.append((entry, State.NOT_EXECUTED, None))
    return found


def all_final(plan: Plan, story: Story) -> bool:
    """Whether every job was refused or is decided."""
    # What repays what interest left has a key of its own.
    told = len(story.refused) + sum(key.startswith("k") for key in story.latest)
    return told == len(plan.jobs) and all(e.is_final for e in story.latest.values())


def _is_looked_after(story: Story) -> bool:
    """Whether what a repayment of everything left may still be looked for, and then repaid."""
    since_s = asyncio.get_running_loop().time() - LOOKED_AFTER_S
    return any(
        change.loop_s > since_s and change.entry.requested == ALL
        for change in reversed(story.changes)
    )


async def until(at_s: float) -> None:
    """Wait for a moment of the loop's clock."""
    await anyio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))
