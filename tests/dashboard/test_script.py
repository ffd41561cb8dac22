"""The page's own functions, called in the browser: nothing here depends on time or on a server's
answers."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page

from scheduler import standing

from ..build import NOW_MS
from .stage import staged

pytestmark = pytest.mark.real_time


@pytest.fixture
def called(page: Page) -> Any:
    """Evaluates an expression in a page that stands still, with `given` for an argument."""
    with staged() as stage:
        page.goto(stage.url)
        page.get_by_text("Nothing needs a person").wait_for()

        def evaluate(expression: str, given: object = None) -> Any:
            return page.evaluate(f"(given) => {expression}", given)

        yield evaluate


def entry(state: str = "CONFIRMED", **changes: object) -> dict[str, object]:
    """As the API tells one."""
    return {
        "key": "k1",
        "account": "main",
        "kind": "BORROW",
        "asset": "USDT",
        "requested": "100",
        "amount": "100",
        "symbol": None,
        "priority": "normal",
        "state": state,
        "code": None,
        "name": None,
        "message": None,
        "attempts": 1,
        "submitted_at_ms": NOW_MS - 1_000,
        "sent_at_ms": NOW_MS,
        "ended_at_ms": NOW_MS + 110,
        "finished_at_ms": None,
        "evidence": [],
        "version": 3,
        **changes,
    }


def test_functions(called: Any) -> None:
    """Several in one page: a browser's page is dear."""
    _reads_events_however_they_are_cut(called)
    _tells_an_attempts_outcome(called)
    _finds_earlier_attempts_in_a_history(called)
    _keeps_bars_in_order_and_each_once(called)
    _knows_what_needs_a_person(called)
    _has_words_for_every_hold(called)
    _says_how_old_it_is(called)
    _shares_out_the_weight(called)
    _counts(called)
    _waits_longer_between_tries(called)


STREAM = (
    'retry: 2000\n\nid: 7\n\nevent: entry\nid: 8\ndata: {"a":1}\n\n: still here\nid: 8\n\n'
    "event: alarm\r\nid: 9\r\ndata: one\r\ndata:two\r\n\r\nevent: reset\nid: 10\ndata: {}\n\n"
)


def _reads_events_however_they_are_cut(called: Any) -> None:
    read = """{
        const reader = eventReader();
        const events = given.flatMap((piece) => reader.feed(piece));
        return [events.map(({ name, data }) => `${name} ${data}`), reader.lastId];
    }"""
    expected = [['entry {"a":1}', "alarm one\ntwo", "reset {}"], "10"]
    assert called(read, [STREAM]) == expected
    assert called(read, list(STREAM)) == expected
    for cut in (1, 20, 44, 58, len(STREAM) - 1):
        assert called(read, [STREAM[:cut], STREAM[cut:]]) == expected
    assert called(read, [STREAM[:-1]])[0] == expected[0][:2]  # not complete yet


def _tells_an_attempts_outcome(called: Any) -> None:
    busy = {"code": -3007, "name": "PENDING_TRANSACTION"}
    for given, before, outcome in (
        (entry("SENT", ended_at_ms=None), None, "air"),
        (entry("CONFIRMED"), "lost", "done"),
        (entry("ACCEPTED"), None, "done"),
        (entry("REJECTED", code=-3006, name="EXCEED"), None, "refused"),
        (entry("QUEUED", **busy), "air", "again"),
        (entry("QUEUED"), "air", "unsent"),
        (entry("QUEUED"), "lost", "none"),
        (entry("UNKNOWN"), "air", "lost"),
        (entry("UNRESOLVED"), "lost", "open"),
        (entry("NOT_EXECUTED"), "lost", "none"),
        (entry("CANCELLED", **busy), "again", "again"),
    ):
        asked = "outcomeOf(given[0], given[1] ?? undefined)"
        assert called(asked, [given, before]) == outcome, given["state"]
    assert called("barOf(given)", entry("QUEUED", sent_at_ms=None)) is None
    bar = called("barOf(given)", entry("UNKNOWN"))
    assert (bar["start"], bar["end"], bar["settled"]) == (NOW_MS, NOW_MS + 110, None)


def _finds_earlier_attempts_in_a_history(called: Any) -> None:
    def change(at_ms: int, state: str, detail: str = "") -> dict[str, object]:
        return {"at_ms": NOW_MS + at_ms, "state": state, "detail": detail}

    changes = [
        change(0, "QUEUED"),
        change(5, "SENT", "attempt 1"),
        change(15, "QUEUED", "-3007 You have pending transaction"),
        change(120, "SENT", "attempt 2"),
        change(130, "UNKNOWN", "lost"),
        change(9_000, "QUEUED", "no record"),
        change(9_100, "SENT", "attempt 3"),
        change(9_210, "CONFIRMED", "tranId 1"),
    ]
    latest = entry(sent_at_ms=NOW_MS + 9_099, submitted_at_ms=NOW_MS)
    bars = called("earlierBars(given[0], given[1])", [latest, changes])
    found = [(b["start"] - NOW_MS, b["end"] - NOW_MS, b["outcome"], b["waited"]) for b in bars]
    assert found == [(5, 15, "again", 5), (120, 130, "none", None)]


def _keeps_bars_in_order_and_each_once(called: Any) -> None:
    kept = called(
        """{
        const bars = [];
        for (const [key, start, outcome] of given) putBar(bars, { key, start, outcome });
        return bars.map(({ key, start, outcome }) => [key, start, outcome]);
    }""",
        [
            ("a", 100, "air"),
            ("b", 50, "air"),
            ("a", 103, "done"),
            ("a", 300, "air"),
            ("c", 90, "x"),
        ],
    )
    assert kept == [["b", 50, "air"], ["c", 90, "x"], ["a", 103, "done"], ["a", 300, "air"]]
    first = "firstSince(given.map((start) => ({ start })), 100)"
    assert called(first, [10, 99, 100, 101]) == 2
    assert called(first, []) == 0


def _account(**changes: object) -> dict[str, object]:
    return {
        "account": "main",
        "stopped": None,
        "holds": [],
        "is_exclusive": True,
        "queued": {"urgent": 0, "normal": 0},
        **changes,
    }


def _hold(cause: str, until_ms: int | None = None) -> dict[str, object]:
    return {"cause": cause, "asset": None, "until_ms": until_ms}


def _alarm(cause: str, account: str | None = "main") -> dict[str, object]:
    return {"cause": cause, "account": account, "key": "k1", "at_ms": 5, "message": cause}


def _knows_what_needs_a_person(called: Any) -> None:
    def cases(
        *accounts: object, unresolved: object = (), alarms: object = (), seen: object = ()
    ) -> list[tuple[str, str]]:
        given = {"accounts": accounts, "unresolved": unresolved, "alarms": alarms, "seen": seen}
        found = called(
            "casesFor({ ...given, seen: new Set(given.seen) })", json.loads(json.dumps(given))
        )
        return [(case["id"], case["level"]) for case in found]

    calm = _account()
    assert cases(calm) == []
    assert cases(_account(stopped="-2015 bad key")) == [("stopped|main", "bad")]
    waiting = {"urgent": 0, "normal": 2}
    assert cases(_account(holds=[_hold("paused")])) == []
    assert cases(_account(holds=[_hold("paused")], queued=waiting)) == [("paused|main", "notice")]
    assert cases(_account(holds=[_hold("starved"), _hold("busy")], queued=waiting)) == []
    for cause in ("journal", "banned", "firewalled"):
        several = [_account(account=f"a{n}", holds=[_hold(cause, 9)]) for n in range(200)]
        assert cases(*several) == [(cause, "bad")]
    assert cases(calm, unresolved=[entry("UNRESOLVED")]) == [("unresolved|k1", "bad")]
    for cause in ("late_record", "failed_record", "claim_conflict"):
        assert cases(calm, alarms=[_alarm(cause)]) == [(f"{cause}|main|k1|5", "bad")]
        assert cases(calm, alarms=[_alarm(cause)], seen=[f"{cause}|main|k1|5"]) == []
    for cause in ("slow_record", "key_permissions", "journal"):
        assert cases(calm, alarms=[_alarm(cause)]) == [(f"{cause}|main|k1|5", "notice")]
    for cause in ("unresolved", "account_stopped", "address_banned", "maintenance"):
        assert cases(calm, alarms=[_alarm(cause)]) == []  # over, or told by how things stand
    assert cases(calm, alarms=[_alarm("shared_account")]) == []  # resumed since
    shared = _account(is_exclusive=False)
    assert cases(shared) == []  # declared so
    assert cases(shared, alarms=[_alarm("shared_account")]) == [("shared_account|main|k1|5", "bad")]
    both = cases(_account(holds=[_hold("paused")], queued=waiting), alarms=[_alarm("late_record")])
    assert [level for _, level in both] == ["bad", "notice"]


def _has_words_for_every_hold(called: Any) -> None:
    causes = {standing.PAUSED, standing.STOPPED, standing.NO_CLOCK, standing.NO_JOURNAL}
    causes |= {standing.UNCHECKED, standing.CLOSING, standing.MAINTENANCE}
    causes |= {"busy", "unreachable", "starved", "limited", "banned", "firewalled"}
    causes |= {"unknown", "unresolved"}
    assert causes <= set(called("Object.keys(HOLDS)"))


def _says_how_old_it_is(called: Any) -> None:
    fresh = {
        "state": "live",
        "tries": 0,
        "why": "",
        "isKnown": True,
        "failedFor": "",
        "ageMs": 900,
        "retryInMs": 0,
    }

    def said(**changes: object) -> str:
        text: str = called("staleText(given)", {**fresh, **changes})
        return text

    assert said() == ""
    assert said(state="connecting", ageMs=None, isKnown=False) == ""
    cut = said(state="lost", tries=2, why="it is gone", ageMs=34_000, retryInMs=2_100)
    assert cut == "What you see is 34 s old: it is gone. Trying again in 3 s."
    assert said(ageMs=15_000, failedFor="journal").startswith("What you see is 15 s old: journal")
    assert said(state="lost", tries=1, why="x").startswith("Changes do not arrive by themselves")


def _shares_out_the_weight(called: Any) -> None:
    weight = {"limit": 180, "used": 90, "foreign": 18, "reserved": 9, "left": 63}
    parts = called("weightParts(given)", weight)
    assert parts == pytest.approx({"ours": 0.5, "others": 0.1, "free": 0.35, "reserve": 0.05})
    full = {**weight, "used": 200, "foreign": 50, "left": 0}
    assert called("weightParts(given)", full) == {"ours": 1, "others": 0, "free": 0, "reserve": 0}


def _counts(called: Any) -> None:
    assert called("histogram([5, 20, 49, 1e9], [20, 50])") == [1, 2, 1]
    assert called("quantile([], 0.5)") is None
    assert called("quantile([1, 2, 3, 4], 0.95)") == 4
    texts = [(0, "0.0 s"), (9_949, "9.9 s"), (59_400, "59 s"), (61_000, "1 min 01 s")]
    for ms, text in texts:
        assert called("duration(given)", ms) == text


def _waits_longer_between_tries(called: Any) -> None:
    waits = [called("retryMs(given, 0.5)", tries) for tries in (0, 1, 4, 5, 400)]
    assert waits == [500, 1_000, 8_000, 15_000, 15_000]
