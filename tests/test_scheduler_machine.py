"""A scheduler in virtual time, with whatever can happen to it in any order: what breaks a promise
is found shrunk to the few steps it takes."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scheduler import Entry, Scheduler, SchedulerError, State, clock
from scheduler.simulator import Simulator

from . import virtual_time
from .build import UNHURRIED
from .simulate.crashes import SurvivingShelf
from .simulate.life import SETTLES_S, Change, Story, listen, open_accounts, resolve
from .simulate.oracle import violations
from .simulate.plan import LOAN_FAULTS, READ_FAULTS, Job, Plan

T = TypeVar("T")

ACCOUNTS: dict[str, dict[str, Any]] = {
    "main": {"exclusive": True, "confirm": "reply"},
    "other": {"exclusive": True, "confirm": "record"},
}
STEP_S = 5
DECIDED_WITHIN_S = 2 * 3600


class SchedulerMachine(RuleBasedStateMachine):
    """Callers, the exchange, and `kill -9`; at the end everything has to be decided and true."""

    @initialize(answers=st.sampled_from(["at_end", "at_once"]))
    def begin(self, answers: str) -> None:
        self.loop = virtual_time.Loop(turns_max=5_000)
        self.sim = Simulator(port=None, answers=answers, record_lag_ms=(0, 14_900))
        epoch_ms = self.sim.options.epoch_ms
        self.wall_ms, clock.wall_ms = clock.wall_ms, lambda: epoch_ms
        self.shelf = SurvivingShelf()
        self.jobs: list[Job] = []
        self.story = Story(self.plan())
        self.run(self.sim.__aenter__())
        open_accounts(self.plan(), self.sim)
        self.start()

    def plan(self) -> Plan:
        return Plan(
            seed=0,
            exchange={},
            accounts=ACCOUNTS,
            jobs=self.jobs,
            disturbances=[],
            loan_faults={},
            read_faults={},
            quiet_at_s=0,
            wall_skew_ms=0,
        )

    def run(self, awaited: Coroutine[Any, Any, T] | asyncio.Future[T]) -> T:
        return self.loop.run_until_complete(awaited)

    def within(self, coro: Coroutine[Any, Any, T]) -> T:
        """Runs as a part of the process."""
        return self.run(self.process.spawn(coro))

    def start(self) -> None:
        self.process = virtual_time.Process("scheduler", loop=self.loop)
        self.scheduler = Scheduler(
            [self.sim.account(name, **options) for name, options in ACCOUNTS.items()],
            journal=self.shelf.journal(),
            transport=self.sim.transport,
            on_change=self.note,
        )
        self.within(self.scheduler.start())
        self.listening = self.process.spawn(listen(self.scheduler, self.story))

    def note(self, entry: Entry) -> None:
        change = Change(self.loop.time(), self.sim.now_ms(), entry)
        self.story.changes.append(change)
        self.story.latest[entry.key] = entry

    @rule(
        account=st.sampled_from(sorted(ACCOUNTS)),
        kind=st.sampled_from(["BORROW", "REPAY"]),
        amount=st.sampled_from(["1", "1.00", "2"]),
        symbol=st.sampled_from([None, None, "BTCUSDT"]),
        priority=st.sampled_from(["normal", "urgent"]),
        send_within=st.sampled_from([None, 0.5, 20.0]),
        fault=st.none() | st.sampled_from(LOAN_FAULTS),
    )
    def submit(
        self,
        account: str,
        kind: str,
        amount: str,
        symbol: str | None,
        priority: str,
        send_within: float | None,
        fault: str | int | None,
    ) -> None:
        if fault is not None:
            self.sim.fail_next(fault, account=account)
        key = f"k{len(self.jobs)}"
        self.jobs.append(
            Job(
                at_s=0,
                account=account,
                kind=kind,
                asset="USDT",
                amount=amount,
                symbol=symbol,
                priority=priority,
                send_within=send_within,
                cancel_after_s=None,
            )
        )
        try:
            self.within(
                self.scheduler.submit(
                    account,
                    kind,
                    "USDT",
                    amount,
                    key=key,
                    symbol=symbol,
                    priority=priority,
                    send_within=send_within,
                )
            )
        except SchedulerError as error:
            self.story.refused[key] = error

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        keys = sorted(self.story.latest)
        key = data.draw(st.sampled_from([*keys, "k999"]))
        try:
            told = self.within(self.scheduler.cancel(key))
        except SchedulerError:
            return
        assert told.state is State.CANCELLED

    @rule(for_s=st.sampled_from([0.0, 0.01, 0.1, 1.0, 5.1, 17.0, 40.0]))
    def time_passes(self, for_s: float) -> None:
        self.run(asyncio.sleep(for_s))

    @rule(fault=st.sampled_from([f for f in READ_FAULTS if f != "429"]))
    def a_look_goes_wrong(self, fault: str) -> None:
        self.sim.fail_next(fault, path="GET /sapi/v1/margin/borrow-repay")

    @rule(kind=st.sampled_from(["auto_borrow", "auto_repay"]), amount=st.sampled_from(["1", "2"]))
    def an_order_borrows_or_repays(self, kind: Any, amount: str) -> None:
        self.sim.order("main", "USDT", amount, kind)

    @rule(is_empty=st.booleans())
    def inventory_changes(self, is_empty: bool) -> None:
        self.sim.set_inventory("USDT", 0 if is_empty else 1_000_000)

    @rule()
    def the_process_dies(self) -> None:
        self.process.kill()
        self.story.counts["crash"] += 1
        self.run(asyncio.sleep(0.2))
        self.start()

    @invariant()
    def nothing_was_executed_twice(self) -> None:
        if hasattr(self, "sim"):
            stamps = [
                (t.account, t.request_timestamp_ms)
                for t in self.sim.ledger.booked()
                if t.origin == "request"
            ]
            assert len(stamps) == len(set(stamps))

    def teardown(self) -> None:
        if not hasattr(self, "sim"):
            return
        try:
            self.end()
        finally:
            clock.wall_ms = self.wall_ms
            self.loop.close()

    def end(self) -> None:
        """Nothing goes wrong any more, so everything is decided within a bounded time."""
        self.sim.clear_faults()
        self.sim.set_inventory("USDT", 1_000_000)
        until_s = self.loop.time() + DECIDED_WITHIN_S
        while self.loop.time() < until_s and not self.is_all_decided():
            self.run(asyncio.sleep(STEP_S))
            self.within(resolve(self.scheduler, self.story, self.sim))
        self.within(self.scheduler.aclose())
        self.run(asyncio.sleep(SETTLES_S))
        self.run(self.sim.__aexit__(None, None, None))
        self.loop.cancel_leftovers()
        self.story.plan = self.plan()
        assert violations(self.story, self.sim) == []
        assert self.loop.unhandled == []

    def is_all_decided(self) -> bool:
        decided = [entry for entry in self.story.latest.values() if entry.is_final]
        return len(decided) + len(self.story.refused) == len(self.jobs)


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(UNHURRIED, max_examples=100, stateful_step_count=25)
