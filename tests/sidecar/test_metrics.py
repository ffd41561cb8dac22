"""What Prometheus is told: the names that were promised, and numbers that are true."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from scheduler import Entry, JournalUnavailable, Scheduler, SchedulerError, State
from scheduler.journal.lanes import Peer
from scheduler.journal.memory import MemoryJournal
from scheduler.lanes import TICK_S
from scheduler.model import Alarm, Answer, Kind, Outcome, revised
from scheduler.sidecar.metrics import Metrics
from scheduler.simulator import Simulator
from scheduler.status import Overview
from scheduler.watch import Observer, Watchers

from ..build import NOW_MS, attempt, entry
from ..journal.shared_memory import Database, HostJournal

pytestmark = pytest.mark.anyio

PROMISED = {
    "submissions_total": {"account", "kind", "state"},
    "attempts_total": {"account", "kind", "code"},
    "late_records_total": {"account"},
    "alarms_total": {"account", "cause"},
    "queued": {"account", "priority"},
    "oldest_queued_age_seconds": {"account"},
    "in_flight": {"account"},
    "uid_weight": {"account", "source"},
    "uid_weight_limit": {"account"},
    "unknown": {"account"},
    "unresolved": {"account"},
    "hold": {"account", "cause"},
    "clock_offset_seconds": set(),
    "address_banned_until_timestamp_seconds": set(),
    "journal_up": set(),
    "build_info": {"version"},
    "queue_wait_seconds": set(),
    "attempt_duration_seconds": set(),
    "journal_commit_duration_seconds": set(),
    "record_visible_delay_seconds": set(),
}
"""The metrics of the public surface, and `alarms_total`; with their labels."""


class Read:
    """An exposition, read as Prometheus would."""

    def __init__(self, metrics: Metrics) -> None:
        body, self.content_type = metrics.exposition()
        self.text = body.decode()
        families = list(text_string_to_metric_families(self.text))
        self.samples = [sample for family in families for sample in family.samples]
        self.labels: dict[str, set[str]] = {}
        for family in families:
            name = family.name + ("_total" if family.type == "counter" else "")
            keys = (set(s.labels) - {"le"} for s in family.samples)
            self.labels[name.removeprefix("margin_scheduler_")] = set().union(*keys)

    def __call__(self, metric: str, **labels: str) -> float:
        """The value of one sample; those that are not there are 0."""
        found = [
            sample.value
            for sample in self.samples
            if sample.name == f"margin_scheduler_{metric}"
            and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1, f"{metric} has {len(found)} samples of {labels}"
        return found[0] if found else 0.0

    def all(self, metric: str, label: str) -> dict[str, float]:
        named = (s for s in self.samples if s.name == f"margin_scheduler_{metric}")
        return {sample.labels[label]: sample.value for sample in named}


ACCOUNT = "/sapi/v1/margin/account"


@asynccontextmanager
async def measured(
    sim: Simulator, names: tuple[str, ...] = ("main",), **options: Any
) -> AsyncIterator[tuple[Scheduler, Metrics]]:
    scheduler = Scheduler(
        [sim.account(name) for name in names],
        transport=sim.transport,
        **{"journal": "memory:", **options},
    )
    metrics = Metrics(scheduler)
    async with scheduler:
        yield scheduler, metrics
        metrics.close()


async def test_every_promised_metric_is_there_with_its_labels_and_no_other() -> None:
    async with Simulator(port=None) as sim, measured(sim) as (scheduler, metrics):
        await scheduler.borrow("main", "USDT", "1")
        sim.fail_next("403")
        await scheduler.submit("main", "BORROW", "USDT", "1")
        await anyio.sleep(5)  # until the record of the borrow was looked for
        assert Read(metrics).labels == PROMISED


SHARED = {
    "schedulers": set(),
    "lane_owner": {"account", "owner"},
    "lane_epoch": {"account"},
    "lane_takeovers_total": {"account", "cause"},
}
"""What there is besides where several schedulers share a journal."""


async def test_where_a_journal_is_shared_there_are_its_lanes_too() -> None:
    journal = HostJournal(Database())
    async with Simulator(port=None) as sim, measured(sim, journal=journal) as (_, metrics):
        await anyio.sleep(5)
        found = Read(metrics).labels
        assert {name: labels for name, labels in found.items() if name in SHARED} == SHARED
        assert found.keys() <= PROMISED.keys() | SHARED.keys()


def lane(read: Read, account: str = "main") -> dict[str, float]:
    owners = ("here", "elsewhere", "nobody")
    return {owner: read("lane_owner", account=account, owner=owner) for owner in owners}


async def test_an_account_that_is_taken_over_is_seen_to_be() -> None:
    database = Database()
    async with (
        Simulator(port=None) as sim,
        measured(sim, journal=HostJournal(database)) as (
            _,
            metrics,
        ),
    ):
        await anyio.sleep(2 * TICK_S)
        first = Read(metrics)
        assert lane(first) == {"here": 1, "elsewhere": 0, "nobody": 0}
        assert first("lane_epoch", account="main") == 1
        assert first("schedulers") == 1
        assert first("lane_takeovers_total", account="main", cause="free") == 1
        # As if this process had been frozen, and another were the owner by now.
        other = Peer(99, "other", frozenset({"main"}), frozenset())
        database.peers[99] = (other, database.now_s() + 10)
        database.names[99] = "other"
        database.lanes["main"] = (99, 2)
        await anyio.sleep(2 * TICK_S)
        second = Read(metrics)
        assert lane(second) == {"here": 0, "elsewhere": 1, "nobody": 0}
        assert second("lane_epoch", account="main") == 2
        assert second("schedulers") == 2
        assert second("lane_takeovers_total", account="main", cause="lost") == 0
        await anyio.sleep(10 + 2 * TICK_S)  # its lease runs out
        third = Read(metrics)
        assert lane(third) == {"here": 1, "elsewhere": 0, "nobody": 0}
        assert third("lane_epoch", account="main") == 3
        assert third("lane_takeovers_total", account="main", cause="lost") == 1
        assert third("lane_takeovers_total", account="main", cause="free") == 1


async def test_a_confirmed_borrow_is_counted_through_its_states() -> None:
    async with Simulator(port=None) as sim, measured(sim) as (scheduler, metrics):
        await scheduler.borrow("main", "USDT", "1")
        read = Read(metrics)
        counted = {"account": "main", "kind": "BORROW"}
        assert read.all("submissions_total", "state") == {"QUEUED": 1, "SENT": 1, "CONFIRMED": 1}
        assert read("attempts_total", code="200", **counted) == 1
        assert read("queue_wait_seconds_count") == 1
        assert read("attempt_duration_seconds_count") == 1
        assert 0.05 < read("attempt_duration_seconds_sum") < 1
        assert read("journal_commit_duration_seconds_count") >= 3


async def test_a_refused_attempt_is_counted_by_its_code_and_its_submission_is_taken_once() -> None:
    async with Simulator(port=None) as sim, measured(sim) as (scheduler, metrics):
        sim.fail_next(-3007)
        await scheduler.borrow("main", "USDT", "1")
        read = Read(metrics)
        assert read.all("attempts_total", "code") == {"-3007": 1, "200": 1}
        assert read.all("submissions_total", "state") == {"QUEUED": 1, "SENT": 2, "CONFIRMED": 1}
        assert read("queue_wait_seconds_count") == 1


async def test_what_a_look_settled_before_anything_was_sent_is_no_attempt() -> None:
    async with Simulator(port=None) as sim, measured(sim) as (scheduler, metrics):
        sim.set_banned_asset("BTC")
        sim.set_max_borrowable("main", "ETH", "0")
        for kind, asset, amount, precheck in (
            ("REPAY", "USDT", "all", False),
            ("BORROW", "ETH", "max", False),
            ("BORROW", "BTC", "1", True),
        ):
            entry = await scheduler.submit("main", kind, asset, amount, precheck=precheck)
            assert (await scheduler.wait(entry.key)).state is State.REJECTED
        read = Read(metrics)
        assert read.all("attempts_total", "code") == {}
        assert read("submissions_total", kind="BORROW", state="REJECTED") == 2
        assert read("submissions_total", kind="REPAY", state="REJECTED") == 1
        assert read("queue_wait_seconds_count") == read("attempt_duration_seconds_count") == 0


async def test_an_attempt_before_the_look_that_settled_it_is_counted_once() -> None:
    async with Simulator(port=None) as sim, measured(sim) as (scheduler, metrics):
        sim.set_debt("main", "USDT", "10")
        sim.fail_next(-3015)
        entry = await scheduler.submit("main", "REPAY", "USDT", "all")
        for _ in range(1_000):  # until the first look was taken
            if any(arrival.path == ACCOUNT for arrival in sim.ledger.arrivals):
                break
            await anyio.sleep(0.0001)
        sim.fail_next("lost_before", path=f"GET {ACCOUNT}")  # the look after the refusal
        await anyio.sleep(0.3)
        sim.set_debt("main", "USDT", "0")
        ended = await scheduler.wait(entry.key)
        assert ended.name == "NOTHING_OWED"
        assert Read(metrics).all("attempts_total", "code") == {"-3015": 1}


async def test_a_lost_answer_is_counted_as_lost_and_shown_as_unknown_until_it_is_found() -> None:
    async with Simulator(port=None) as sim, measured(sim) as (scheduler, metrics):
        sim.fail_next("lost_before")
        await scheduler.submit("main", "BORROW", "USDT", "1", key="k1")
        await anyio.sleep(15)
        read = Read(metrics)
        assert read("attempts_total", code="lost") == 1
        assert read("unknown", account="main") == 1
        assert read("hold", account="main", cause="unknown") == 1
        await scheduler.wait("k1")
        read = Read(metrics)
        assert read("unknown", account="main") == 0
        assert read("submissions_total", state="NOT_EXECUTED") == 1


async def test_what_waits_is_counted_by_priority_with_the_age_of_the_oldest() -> None:
    async with Simulator(port=None) as sim, measured(sim) as (scheduler, metrics):
        await scheduler.pause("main")
        await scheduler.submit("main", "BORROW", "USDT", "1")
        await anyio.sleep(7)
        await scheduler.submit("main", "REPAY", "USDT", "1", priority="urgent")
        await scheduler.submit("main", "BORROW", "USDT", "1")
        read = Read(metrics)
        assert read.all("queued", "priority") == {"urgent": 1, "normal": 2}
        assert read("oldest_queued_age_seconds", account="main") == pytest.approx(7, abs=0.1)
        assert read("hold", account="main", cause="paused") == 1
        await scheduler.resume("main")
        await anyio.sleep(10)
        read = Read(metrics)
        assert read.all("queued", "priority") == {"urgent": 0, "normal": 0}
        assert read("oldest_queued_age_seconds") == 0
        assert read("hold", cause="paused") == 0


async def test_what_is_in_the_air_and_what_the_minute_weighs_is_shown() -> None:
    async with (
        Simulator(port=None, processing_ms=3_000) as sim,
        measured(sim) as (scheduler, metrics),
    ):
        await scheduler.submit("main", "BORROW", "USDT", "1")
        await anyio.sleep(1)
        read = Read(metrics)
        assert read("in_flight", account="main") == 1
        assert read.all("uid_weight", "source") == {"own": 1_500, "foreign": 0}
        assert read("uid_weight_limit", account="main") == 180_000
        await anyio.sleep(3)
        assert Read(metrics)("in_flight", account="main") == 0


async def test_an_account_that_nobody_has_used_is_shown_too() -> None:
    async with Simulator(port=None) as sim, measured(sim, ("main", "hedge")) as (_, metrics):
        assert Read(metrics).all("unresolved", "account") == {"main": 0, "hedge": 0}
        assert Read(metrics).all("late_records_total", "account") == {"main": 0, "hedge": 0}


async def test_a_ban_of_the_address_is_shown_until_when() -> None:
    async with Simulator(port=None) as sim, measured(sim) as (scheduler, metrics):
        assert Read(metrics)("address_banned_until_timestamp_seconds") == 0
        sim.fail_next("418")
        await scheduler.submit("main", "BORROW", "USDT", "1")
        await anyio.sleep(1)
        now_s = (await scheduler.status("main")).as_of_ms / 1000
        read = Read(metrics)
        assert now_s < read("address_banned_until_timestamp_seconds") < now_s + 3 * 86_400
        assert read("hold", account="main", cause="banned") == 1
        assert read("alarms_total", cause="address_banned") == 1


async def test_a_borrow_that_waits_for_inventory_is_shown_to_do_so() -> None:
    async with Simulator(port=None) as sim, measured(sim, ("main", "hedge")) as (one, metrics):
        sim.set_inventory("BTC", "0")
        await one.submit("main", "BORROW", "BTC", "1")
        await anyio.sleep(2)
        read = Read(metrics)
        assert read("hold", account="main", cause="starved") == 1
        assert read("hold", account="hedge", cause="starved") == 0
        held = [hold for hold in (await one.status("main")).holds if hold.cause == "starved"]
        assert [hold.asset for hold in held] == ["BTC"]


async def test_a_refusal_for_weight_is_shown_until_it_is_over() -> None:
    async with Simulator(port=None) as sim, measured(sim) as (scheduler, metrics):
        sim.fail_next("429")
        await scheduler.submit("main", "BORROW", "USDT", "1")
        await anyio.sleep(1)
        assert Read(metrics)("hold", account="main", cause="limited") == 1
        await anyio.sleep(130)
        assert Read(metrics)("hold", account="main", cause="limited") == 0


class FullDisk(MemoryJournal):
    """Takes no more writes while it is full."""

    is_full = False

    async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
        if self.is_full:
            raise JournalUnavailable("journal: the disk is full")
        return await super().add(entry, sent=sent)


async def test_a_journal_that_takes_no_writes_is_shown_until_it_takes_one() -> None:
    journal = FullDisk()
    async with Simulator(port=None) as sim, measured(sim, journal=journal) as (scheduler, metrics):
        assert Read(metrics)("journal_up") == 1
        journal.is_full = True
        with pytest.raises(JournalUnavailable):
            await scheduler.submit("main", "BORROW", "USDT", "1")
        assert Read(metrics)("journal_up") == 0
        journal.is_full = False
        await scheduler.submit("main", "BORROW", "USDT", "1")
        assert Read(metrics)("journal_up") == 1


async def test_alarms_of_the_start_are_counted_each_once() -> None:
    async with Simulator(port=None) as sim:
        accounts = [sim.account(name) for name in ("main", "hedge")]
        async with Scheduler(accounts, transport=sim.transport, journal="memory:") as scheduler:
            sim.fail_next("418")
            await scheduler.submit("main", "BORROW", "USDT", "1")
            await anyio.sleep(1)
            metrics = Metrics(scheduler)
            assert Read(metrics)("alarms_total", account="", cause="address_banned") == 1


async def test_how_long_a_record_took_to_show_is_measured() -> None:
    async with (
        Simulator(port=None, record_lag_ms=(2_000, 2_000)) as sim,
        measured(sim) as (scheduler, metrics),
    ):
        await scheduler.borrow("main", "USDT", "1")
        await anyio.sleep(20)
        read = Read(metrics)
        assert read("record_visible_delay_seconds_count") == 1
        assert 1 < read("record_visible_delay_seconds_sum") < 7


async def test_before_the_start_and_after_the_end_there_are_still_counters() -> None:
    async with Simulator(port=None) as sim:
        scheduler = Scheduler([sim.account("main")], transport=sim.transport, journal="memory:")
        metrics = Metrics(scheduler)
        before = Read(metrics)
        assert before("build_info") == 1
        assert "queued" not in before.labels
        async with scheduler:
            await scheduler.borrow("main", "USDT", "1")
        after = Read(metrics)
        assert after("submissions_total", state="CONFIRMED") == 1
        assert "journal_up" not in after.labels


async def test_no_key_no_amount_and_no_secret_is_told() -> None:
    async with Simulator(port=None) as sim:
        account = sim.account("main")
        scheduler = Scheduler([account], transport=sim.transport, journal="memory:")
        metrics = Metrics(scheduler)
        async with scheduler:
            for fault in (None, "lost_before", -3007, -3006):
                if fault is not None:
                    sim.fail_next(fault)
                with suppress(SchedulerError):
                    await scheduler.borrow("main", "USDT", "12345.678", key=f"canary{fault}")
            text = Read(metrics).text
        for secret in ("canary", "12345", account.api_key, account.secret, "signature"):
            assert secret not in text


async def test_two_schedulers_do_not_share_a_registry() -> None:
    async with (
        Simulator(port=None) as sim,
        measured(sim) as (one, metrics),
        measured(sim, ("other",)) as (_, others),
    ):
        await one.borrow("main", "USDT", "1")
        assert Read(metrics)("submissions_total", state="CONFIRMED") == 1
        assert Read(others)("submissions_total", state="CONFIRMED") == 0
    assert not [m.name for m in REGISTRY.collect() if m.name.startswith("margin")]


async def test_after_closing_nothing_more_is_counted() -> None:
    async with Simulator(port=None) as sim, measured(sim) as (scheduler, metrics):
        metrics.close()
        await scheduler.borrow("main", "USDT", "1")
        assert Read(metrics)("submissions_total", state="CONFIRMED") == 0


async def test_the_content_type_is_the_text_formats() -> None:
    async with Simulator(port=None) as sim, measured(sim) as (_, metrics):
        assert Read(metrics).content_type.startswith("text/plain; version=0.0.4")


# Single events


class Told:
    """As much of a scheduler as metrics need, told by hand."""

    accounts = ("main",)

    def __init__(self) -> None:
        self.watchers = Watchers()

    def overview(self) -> Overview:
        return Overview(
            accounts=(), clock_offset_s=None, address_closed_until_ms=None, is_journal_up=True
        )

    def observe(self, observer: Observer) -> Any:
        return self.watchers.observe(observer)


def refused(state: State, code: int, outcome: Outcome = Outcome.ANSWERED) -> Entry:
    tried = attempt(outcome=outcome, ended_at_ms=NOW_MS + 100)
    answer = Answer(code=code, name="", message="")
    return revised(entry(state), attempt=tried, attempts=1, version=3, answer=answer)


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (entry(State.CONFIRMED), "200"),
        (entry(State.ACCEPTED), "200"),
        (refused(State.REJECTED, -3006), "-3006"),
        (refused(State.QUEUED, -3045), "-3045"),
        (refused(State.QUEUED, -3045, Outcome.NEVER_LEFT), "not_sent"),
        (entry(State.UNKNOWN), "lost"),
        (refused(State.UNKNOWN, -1007, Outcome.LOST), "-1007"),
        # Answered with a transaction that another submission holds, after a refusal before that.
        (refused(State.UNRESOLVED, -3007), "200"),
    ],
)
async def test_an_attempt_is_counted_by_how_it_ended(ended: Entry, code: str) -> None:
    told = Told()
    metrics = Metrics(told)
    told.watchers.changed(entry(State.SENT), State.QUEUED)
    told.watchers.changed(ended, State.SENT)
    assert Read(metrics).all("attempts_total", "code") == {code: 1}
    waited = 0 if code == "not_sent" else 1
    assert Read(metrics)("queue_wait_seconds_count") == waited
    assert Read(metrics)("attempt_duration_seconds_count") == waited


async def test_an_attempt_of_an_earlier_process_has_no_duration() -> None:
    told = Told()
    metrics = Metrics(told)
    told.watchers.changed(entry(State.UNKNOWN), State.SENT)
    read = Read(metrics)
    assert read("attempts_total", code="lost") == 1
    assert read("attempt_duration_seconds_count") == 0


async def test_a_note_that_changes_no_state_enters_none() -> None:
    told = Told()
    metrics = Metrics(told)
    told.watchers.changed(entry(State.CONFIRMED), State.CONFIRMED)
    assert Read(metrics).all("submissions_total", "state") == {}


@pytest.mark.parametrize("kind", Kind)
async def test_kinds_are_counted_apart(kind: Kind) -> None:
    told = Told()
    metrics = Metrics(told)
    told.watchers.changed(entry(kind=kind))
    assert Read(metrics)("submissions_total", kind=kind.value, state="QUEUED") == 1


async def test_alarms_are_counted_and_late_records_by_themselves() -> None:
    told = Told()
    metrics = Metrics(told)
    for account, cause in (("main", "late_record"), ("main", "failed_record"), (None, "journal")):
        told.watchers.alarmed(
            Alarm(at_ms=NOW_MS, account=account, key="k1", cause=cause, message="")
        )
    read = Read(metrics)
    assert read("late_records_total", account="main") == 1
    assert read("alarms_total", account="main", cause="failed_record") == 1
    assert read("alarms_total", account="", cause="journal") == 1
