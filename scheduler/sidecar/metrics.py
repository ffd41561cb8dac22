"""What Prometheus reads of a running scheduler.

Counters and histograms are fed as things happen; gauges are read from the scheduler when they are
asked for. No label ever holds a key or an amount.
"""

from bisect import bisect_left
from collections import Counter as Count
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from itertools import accumulate
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ..clock import loop_s
from ..errors import Closed
from ..lanes import LaneStatus
from ..model import Alarm, Entry, Outcome, State
from ..status import AccountStatus, Overview
from ..watch import Observer

PREFIX = "margin_scheduler"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_QUEUE_WAIT_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 1_800, 21_600, 86_400)
_ATTEMPT_S = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10, 15, 30, 60)
_COMMIT_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_RECORD_S = (0.2, 0.4, 0.8, 1.6, 3.2, 5, 7.5, 10, 15, 30, 60, 120)


class Observable(Protocol):
    """What metrics need of a scheduler."""

    @property
    def accounts(self) -> tuple[str, ...]: ...

    def overview(self) -> Overview: ...

    def observe(self, observer: Observer) -> Callable[[], None]: ...


class Metrics:
    """One scheduler's metrics, from now until `close`."""

    def __init__(self, scheduler: Observable) -> None:
        self._registry = CollectorRegistry()
        counts = _Counts(scheduler.accounts)
        self._registry.register(counts)
        self._registry.register(_Gauges(scheduler))
        for alarm in _raised_before(scheduler):
            counts.alarmed(alarm)
        self._stop = scheduler.observe(counts)

    def exposition(self) -> tuple[bytes, str]:
        """The text format, and its content type. To be called on the scheduler's loop."""
        return generate_latest(self._registry), CONTENT_TYPE

    def close(self) -> None:
        """Count nothing more."""
        self._stop()


def _raised_before(scheduler: Observable) -> Iterable[Alarm]:
    """Alarms of the scheduler's start, for which nobody could have been there in time."""
    try:
        accounts = scheduler.overview().accounts
    except Closed:
        return ()
    # One that concerns all accounts stands with each of them.
    return {id(alarm): alarm for status in accounts for alarm in status.alarms}.values()


class _Counts(Collector):
    """Sees everything that happens. An `Observer`.

    Counts by itself and makes metrics of it when somebody asks: it is called a dozen times for each
    submission, and the library's own counters, made for threads, take a lock each time.
    """

    def __init__(self, accounts: Iterable[str]) -> None:
        self._sent_at_s: dict[str, float] = {}  # by key; as many as are in the air
        self._submissions: Count[tuple[str, ...]] = Count()
        self._attempts: Count[tuple[str, ...]] = Count()
        # Those who want to be warned of the first one need the 0 before it.
        self._late_records: Count[tuple[str, ...]] = Count({(account,): 0 for account in accounts})
        self._alarms: Count[tuple[str, ...]] = Count()
        self._queue_wait = _Tally(_QUEUE_WAIT_S)
        self._attempt_duration = _Tally(_ATTEMPT_S)
        self._commit_duration = _Tally(_COMMIT_S)
        self._record_delay = _Tally(_RECORD_S)

    def changed(self, before: State | None, entry: Entry) -> None:
        is_taken = before is None and entry.version == 1
        if entry.state is not before and (entry.state is not State.QUEUED or is_taken):
            self._submissions[entry.account, entry.kind, entry.state] += 1
        if entry.state is State.SENT:
            self._sent_at_s[entry.key] = loop_s()
        elif before is State.SENT:
            self._attempt_ended(entry)

    def alarmed(self, alarm: Alarm) -> None:
        self._alarms[alarm.account or "", alarm.cause] += 1
        if alarm.cause == "late_record" and alarm.account is not None:
            self._late_records[alarm.account,] += 1

    def committed(self, seconds: float) -> None:
        self._commit_duration.observe(seconds)

    def record_shown(self, account: str, delay_ms: int) -> None:
        self._record_delay.observe(delay_ms / 1000)

    def _attempt_ended(self, entry: Entry) -> None:
        attempt, sent_at_s = entry.attempt, self._sent_at_s.pop(entry.key, None)
        assert attempt is not None
        self._attempts[entry.account, entry.kind, _code(entry, attempt.outcome)] += 1
        if attempt.outcome is Outcome.NEVER_LEFT:
            return
        if entry.attempts == 1:
            wait_ms = attempt.timestamp_ms - entry.submitted_at_ms
            self._queue_wait.observe(max(0, wait_ms) / 1000)
        if sent_at_s is not None:  # else an earlier process sent it
            self._attempt_duration.observe(loop_s() - sent_at_s)

    def collect(self) -> Iterator[Metric]:
        yield _counter(
            "submissions",
            "Submissions that entered a state; QUEUED counts each once, when it was taken.",
            ["account", "kind", "state"],
            self._submissions,
        )
        yield _counter(
            "attempts",
            "Attempts that ended: 200, the exchange's code, `lost` or `not_sent`.",
            ["account", "kind", "code"],
            self._attempts,
        )
        yield _counter(
            "late_records",
            "Records that turned up after it had been said that there was none.",
            ["account"],
            self._late_records,
        )
        yield _counter(
            "alarms",
            "Alarms by cause; without an account those that concern all of them.",
            ["account", "cause"],
            self._alarms,
        )
        yield self._queue_wait.metric(
            "queue_wait_seconds",
            "From submission to its first attempt that left.",
        )
        yield self._attempt_duration.metric(
            "attempt_duration_seconds",
            "From an attempt's start until what became of it was durable.",
        )
        yield self._commit_duration.metric(
            "journal_commit_duration_seconds", "Of one write, as its caller saw it."
        )
        yield self._record_delay.metric(
            "record_visible_delay_seconds",
            "From a reply until its record was seen; measured now and then.",
        )


class _Tally:
    """How many observations fell between which bounds."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """A last one, without a bound, is added."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def metric(self, name: str, documentation: str) -> Metric:
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        buckets = list(zip(bounds, map(float, accumulate(self._counts)), strict=True))
        return HistogramMetricFamily(
            f"{PREFIX}_{name}", documentation, buckets=buckets, sum_value=self._sum
        )


def _code(entry: Entry, outcome: Outcome) -> str:
    if outcome is Outcome.NEVER_LEFT:
        return "not_sent"
    if outcome is Outcome.ANSWERED and entry.state in _ACKNOWLEDGED:
        return "200"
    return "lost" if entry.code is None else str(entry.code)


_ACKNOWLEDGED = frozenset({State.CONFIRMED, State.ACCEPTED, State.UNRESOLVED})
"""Where an answer with a transaction id leads; the last where another submission holds that id."""


class _Gauges(Collector):
    """Reads the scheduler whenever somebody asks."""

    def __init__(self, scheduler: Observable) -> None:
        self._scheduler = scheduler
        self._version = _version()

    def describe(self) -> Iterable[Metric]:
        return ()  # or registering would read the scheduler, which may not be started

    def collect(self) -> Iterator[Metric]:
        yield _gauge("build_info", "Which version runs.", ["version"], [((self._version,), 1)])
        try:
            overview = self._scheduler.overview()
        except Closed:
            return
        yield from _of_all(overview)
        yield from _of_each(overview.accounts)
        if overview.schedulers is not None:
            yield from _of_lanes(overview.lanes, overview.schedulers)


def _of_all(overview: Overview) -> Iterator[Metric]:
    yield _gauge(
        "journal_up",
        "1 while the latest write to the journal was made.",
        [],
        [((), overview.is_journal_up)],
    )
    closed_until_ms = overview.address_closed_until_ms
    yield _gauge(
        "address_banned_until_timestamp_seconds",
        "Until when the exchange takes nothing from this address; 0 while it does.",
        [],
        [((), 0 if closed_until_ms is None else closed_until_ms / 1000)],
    )
    if overview.clock_offset_s is not None:
        yield _gauge(
            "clock_offset_seconds",
            "How far this machine's clock is behind the exchange's.",
            [],
            [((), overview.clock_offset_s)],
        )


def _of_each(accounts: tuple[AccountStatus, ...]) -> Iterator[Metric]:
    def gauge(
        name: str, documentation: str, read: Callable[[AccountStatus], float]
    ) -> GaugeMetricFamily:
        values = [((status.account,), read(status)) for status in accounts]
        return _gauge(name, documentation, ["account"], values)

    def spread(
        name: str,
        documentation: str,
        label: str,
        read: Callable[[AccountStatus], dict[str, int]],
    ) -> GaugeMetricFamily:
        values = [((s.account, key), value) for s in accounts for key, value in read(s).items()]
        return _gauge(name, documentation, ["account", label], values)

    yield spread("queued", "Submissions that wait.", "priority", _queued)
    yield gauge("oldest_queued_age_seconds", "Of what has waited longest; 0 if none.", _oldest_s)
    yield gauge("in_flight", "Attempts in the air.", lambda status: len(status.in_air))
    yield spread(
        "uid_weight",
        "Of the last minute: `own` attempts, and what others (`foreign`) were seen to spend.",
        "source",
        lambda status: {"own": status.weight_used, "foreign": status.weight_foreign},
    )
    yield gauge("uid_weight_limit", "What a minute may weigh.", lambda status: status.weight_limit)
    yield gauge(
        "unknown", "Submissions whose answer is lost.", lambda s: _in_state(s, State.UNKNOWN)
    )
    yield gauge(
        "unresolved",
        "Submissions that may need a person.",
        lambda status: _in_state(status, State.UNRESOLVED),
    )
    yield spread("hold", "Why an account, or an asset of it, waits.", "cause", _holds)


def _of_lanes(lanes: tuple[LaneStatus, ...], schedulers: int) -> Iterator[Metric]:
    yield _gauge(
        "schedulers",
        "Schedulers on the journal whose lease runs, this one included.",
        [],
        [((), schedulers)],
    )
    yield _gauge(
        "lane_owner",
        "1 for who runs the account, as seen from here: `here`, `elsewhere` or `nobody`.",
        ["account", "owner"],
        [
            ((lane.account, owner), owner == _owner(lane))
            for lane in lanes
            for owner in ("here", "elsewhere", "nobody")
        ],
    )
    yield _gauge(
        "lane_epoch",
        "Grows whenever the account's owner changes.",
        ["account"],
        [((lane.account,), lane.epoch) for lane in lanes],
    )
    takeovers = CounterMetricFamily(
        f"{PREFIX}_lane_takeovers_total",
        "Accounts taken here: `free`, nobody had it; `lost`, its owner's lease had run out.",
        labels=["account", "cause"],
    )
    for lane in lanes:
        takeovers.add_metric((lane.account, "free"), lane.taken_free)
        takeovers.add_metric((lane.account, "lost"), lane.taken_lost)
    yield takeovers


def _owner(lane: LaneStatus) -> str:
    if lane.is_here:
        return "here"
    return "nobody" if lane.owner is None else "elsewhere"


def _queued(status: AccountStatus) -> dict[str, int]:
    return {"urgent": status.queued_urgent, "normal": status.queued_normal}


def _oldest_s(status: AccountStatus) -> float:
    since_ms = status.oldest_queued_at_ms
    return 0 if since_ms is None else max(0, status.as_of_ms - since_ms) / 1000


def _in_state(status: AccountStatus, state: State) -> int:
    return sum(entry.state is state for entry in status.undecided)


def _holds(status: AccountStatus) -> dict[str, int]:
    return Count(hold.cause for hold in status.holds)


def _counter(
    name: str, documentation: str, labels: list[str], counts: Mapping[tuple[str, ...], int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"{PREFIX}_{name}", documentation, labels=labels)
    for label_values, count in counts.items():
        family.add_metric(label_values, count)
    return family


def _gauge(
    name: str,
    documentation: str,
    labels: list[str],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", documentation, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _version() -> str:
    try:
        return metadata.version("margin-scheduler")
    except metadata.PackageNotFoundError:
        return "unknown"
