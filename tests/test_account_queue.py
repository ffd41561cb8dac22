"""Which submission of an account goes next, and how long until that should be asked again."""

import operator
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from scheduler.account_queue import AccountQueue, Choice, Headroom, HoldState
from scheduler.events import Cause, NotSent
from scheduler.inventory import InventoryGate
from scheduler.model import Entry, Kind, Priority, State, revised
from scheduler.policy import Policy
from scheduler.refusals import Disposition

from .build import NOW_MS, UNHURRIED, W_MS, attempt, entry

BORROW, REPAY = Kind.BORROW, Kind.REPAY
URGENT, NORMAL = Priority.URGENT, Priority.NORMAL
BUSY, CLOCK, LIMITED = Disposition.BUSY, Disposition.CLOCK, Disposition.LIMITED

POLICY = Policy(recv_window_ms=W_MS, processing_max_ms=10_000, equal_gap_ms=1_000)
FREE = Headroom(normal_ms=0, urgent_ms=0)
FENCE_MS = NOW_MS + W_MS
EQUAL_MS = FENCE_MS + 10_000 + 1_000
"""T + W + P + 1 s: only after that an equal attempt may follow."""


def queue(*entries: Entry, gate: InventoryGate | None = None) -> AccountQueue:
    made = AccountQueue(POLICY, gate or InventoryGate(POLICY))
    for waiting in entries:
        made.add(waiting)
    return made


def by_pair(entry_: Entry) -> str:
    return entry_.account if entry_.symbol is None else f"{entry_.account}/{entry_.symbol}"


def waiting(
    seq: int,
    kind: Kind = BORROW,
    asset: str = "USDT",
    *,
    priority: Priority = NORMAL,
    symbol: str | None = None,
    amount: str = "100",
    account: str = "main",
    deadline_ms: int = NOW_MS + 86_400_000,
) -> Entry:
    return entry(
        State.QUEUED,
        f"k{seq}",
        seq=seq,
        kind=kind,
        asset=asset,
        priority=priority,
        symbol=symbol,
        amount=amount,
        account=account,
        deadline_ms=deadline_ms,
    )


def lost(
    kind: Kind = BORROW,
    asset: str = "USDT",
    *,
    state: State = State.UNKNOWN,
    amount: str = "100",
    symbol: str | None = None,
    exclusion: str = "main",
) -> Entry:
    """An undecided entry whose attempt left at NOW_MS."""
    tried = attempt(amount=amount, exclusion=exclusion)
    return entry(state, "lost", kind=kind, asset=asset, amount=amount, symbol=symbol, tried=tried)


def drain(from_: AccountQueue, now_ms: int = NOW_MS, headroom: Headroom = FREE) -> list[int]:
    """The order in which everything that may start would."""
    order: list[int] = []
    while (chosen := from_.take(now_ms, headroom).entry) is not None:
        order.append(chosen.seq)
    return order


# Order


@pytest.mark.parametrize(
    ("entries", "order"),
    [
        pytest.param([waiting(1), waiting(2), waiting(3)], [1, 2, 3], id="one row, in order"),
        pytest.param([waiting(1, asset="BTC"), waiting(2)], [1, 2], id="two assets, in order"),
        pytest.param([waiting(2, REPAY), waiting(1)], [1, 2], id="two kinds, by their place"),
        pytest.param(
            [waiting(1), waiting(2, symbol="BTCUSDT"), waiting(3)], [1, 2, 3], id="cross and pair"
        ),
        pytest.param([waiting(1), waiting(2, priority=URGENT)], [2, 1], id="urgent before normal"),
        pytest.param(
            [
                waiting(1),
                waiting(2, REPAY, priority=URGENT),
                waiting(3, asset="BTC"),
                waiting(4, priority=URGENT),
            ],
            [2, 4, 1, 3],
            id="urgent ones in order among themselves",
        ),
        pytest.param([], [], id="nothing"),
    ],
)
def test_the_order_is_urgent_first_and_then_by_submission(
    entries: list[Entry], order: list[int]
) -> None:
    assert drain(queue(*entries)) == order


@pytest.mark.parametrize("back", [[2], [2, 4], [4, 2], [1, 2, 3, 4], [4, 3, 2, 1], [3, 1]])
def test_what_comes_back_goes_to_the_place_it_had(back: list[int]) -> None:
    taken = {seq: waiting(seq) for seq in back}
    others = [waiting(seq) for seq in range(1, 6) if seq not in back]
    line = queue(*others)
    for seq in back:
        line.add(revised(taken[seq], version=3))
    assert drain(line) == [1, 2, 3, 4, 5]


def test_what_comes_back_is_the_new_version() -> None:
    line = queue(waiting(1), waiting(2))
    first = line.take(NOW_MS, FREE).entry
    assert first is not None
    line.add(revised(first, version=7))
    again = line.take(NOW_MS, FREE).entry
    assert again is not None
    assert (again.seq, again.version) == (1, 7)


def test_only_what_is_queued_may_wait() -> None:
    with pytest.raises(AssertionError):
        queue(entry(State.SENT))


# Removing, counting


def test_counts_are_by_priority() -> None:
    line = queue(waiting(1), waiting(2, priority=URGENT), waiting(3))
    assert (len(line), line.count(NORMAL), line.count(URGENT)) == (3, 2, 1)
    line.take(NOW_MS, FREE)
    line.remove("k3")
    assert (len(line), line.count(NORMAL), line.count(URGENT)) == (1, 1, 0)
    assert [e.key for e in line.entries()] == ["k1"]


@pytest.mark.parametrize("seq", [1, 2, 3], ids=["the first", "the middle one", "the last"])
def test_what_is_removed_does_not_go(seq: int) -> None:
    line = queue(waiting(1), waiting(2), waiting(3))
    removed = line.remove(f"k{seq}")
    assert removed is not None
    assert removed.seq == seq
    assert drain(line) == [n for n in (1, 2, 3) if n != seq]


def test_removing_what_does_not_wait_changes_nothing() -> None:
    line = queue(waiting(1))
    assert line.remove("k9") is None
    assert line.take(NOW_MS, FREE).entry is not None
    assert line.remove("k1") is None
    assert (len(line), line.count(NORMAL)) == (0, 0)


def test_what_was_removed_may_come_back_to_its_place() -> None:
    line = queue(waiting(1), waiting(2), waiting(3))
    second = line.remove("k2")
    assert second is not None
    line.add(second)
    assert len(line) == 3
    assert drain(line) == [1, 2, 3]


# Deadlines


@pytest.mark.parametrize(
    ("now_ms", "overdue"),
    [
        pytest.param(NOW_MS + 4_999, [], id="a millisecond before the first"),
        pytest.param(NOW_MS + 5_000, [2], id="at the first"),
        pytest.param(NOW_MS + 7_000, [2, 1], id="at the second"),
        pytest.param(NOW_MS + 99_000, [2, 1, 3], id="after all"),
    ],
)
def test_whatever_is_overdue_is_taken_out_earliest_deadline_first(
    now_ms: int, overdue: list[int]
) -> None:
    line = queue(
        waiting(1, deadline_ms=NOW_MS + 7_000),
        waiting(2, deadline_ms=NOW_MS + 5_000),
        waiting(3, asset="BTC", deadline_ms=NOW_MS + 9_000),
    )
    assert [e.seq for e in line.take_overdue(now_ms)] == overdue
    assert len(line) == 3 - len(overdue)
    assert line.take_overdue(now_ms) == []


def test_nothing_starts_at_or_after_its_deadline() -> None:
    line = queue(waiting(1, deadline_ms=NOW_MS))
    assert line.take(NOW_MS, FREE) == Choice(wait_ms=0)
    assert line.take(NOW_MS + 60_000, FREE) == Choice(wait_ms=0)
    assert line.take(NOW_MS - 1, FREE).entry is not None


def test_a_pause_does_not_stop_deadlines() -> None:
    line = queue(waiting(1, deadline_ms=NOW_MS + 5_000))
    line.pause("paused")
    assert line.take(NOW_MS, FREE) == Choice(wait_ms=5_000)
    assert len(line.take_overdue(NOW_MS + 5_000)) == 1


def test_the_deadline_of_what_comes_back_still_holds() -> None:
    line = queue(waiting(1, deadline_ms=NOW_MS + 5_000))
    taken = line.take(NOW_MS, FREE).entry
    assert taken is not None
    assert line.take_overdue(NOW_MS + 1_000) == []
    line.add(revised(taken, version=3))
    assert [e.seq for e in line.take_overdue(NOW_MS + 5_000)] == [1]


def test_a_deadline_that_came_while_its_entry_was_away_is_not_forgotten() -> None:
    line = queue(waiting(1, deadline_ms=NOW_MS + 5_000))
    taken = line.take(NOW_MS, FREE).entry
    assert taken is not None
    assert line.take_overdue(NOW_MS + 6_000) == []
    line.add(revised(taken, version=3))
    assert [e.seq for e in line.take_overdue(NOW_MS + 6_000)] == [1]


# Waiting


def test_an_empty_queue_waits_for_nothing() -> None:
    assert queue().take(NOW_MS, FREE) == Choice()


def test_the_deadline_of_what_has_gone_is_nothing_to_wait_for() -> None:
    line = queue(waiting(1), waiting(2))
    drain(line)
    line.add(waiting(3))
    line.remove("k3")
    assert line.take(NOW_MS, FREE) == Choice()


@pytest.mark.parametrize(
    ("headroom", "wait_ms"),
    [
        pytest.param(Headroom(normal_ms=300, urgent_ms=0), 300, id="normal has to wait"),
        pytest.param(Headroom(normal_ms=300, urgent_ms=300), 300, id="both have to wait"),
    ],
)
def test_weight_keeps_a_submission_waiting_as_long_as_it_says(
    headroom: Headroom, wait_ms: int
) -> None:
    assert queue(waiting(1)).take(NOW_MS, headroom) == Choice(wait_ms=wait_ms)


def test_the_reserve_is_for_urgent_ones() -> None:
    line = queue(waiting(1), waiting(2, priority=URGENT))
    reserve = Headroom(normal_ms=300, urgent_ms=0)
    assert drain(line, headroom=reserve) == [2]


def test_the_shortest_wait_is_the_one_to_wait() -> None:
    line = queue(waiting(1, deadline_ms=NOW_MS + 200))
    assert line.take(NOW_MS, Headroom(normal_ms=300, urgent_ms=300)) == Choice(wait_ms=200)


def test_what_an_attempt_in_the_air_keeps_waiting_is_asked_for_when_it_is_over() -> None:
    line = queue(waiting(1, deadline_ms=NOW_MS + 9_000))
    assert line.take(NOW_MS, FREE, frozenset({"main"})) == Choice(wait_ms=9_000)
    assert line.take(NOW_MS, FREE, frozenset({"second"})).entry is not None


def test_where_the_lane_is_the_pair_only_the_pair_waits() -> None:
    line = AccountQueue(POLICY, InventoryGate(POLICY), by_pair)
    line.add(waiting(1, symbol="BTCUSDT"))
    line.add(waiting(2))
    line.add(waiting(3, symbol="ETHUSDT"))
    in_air = frozenset({"main/BTCUSDT"})
    order = [line.take(NOW_MS, FREE, in_air).entry for _ in range(3)]
    assert [e.seq if e else None for e in order] == [2, 3, None]


# Pauses


def test_nothing_starts_until_every_pause_is_over() -> None:
    line = queue(waiting(1, priority=URGENT))
    line.pause("clock")
    line.pause("journal")
    line.pause("clock")
    assert line.take(NOW_MS, FREE).entry is None
    line.resume("clock")
    assert line.pauses == {"journal"}
    assert line.take(NOW_MS, FREE).entry is None
    line.resume("journal")
    line.resume("never paused")
    assert line.take(NOW_MS, FREE).entry is not None


# Backing off


def hold_ms(line: AccountQueue, now_ms: int) -> int:
    """How long the account is held from now on."""
    until = [state.until_ms for state in line.holds(now_ms) if state.until_ms is not None]
    return max(until) - now_ms if until else 0


@pytest.mark.parametrize(
    ("cause", "waits_ms"),
    [
        pytest.param(BUSY, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000], id="busy"),
        pytest.param(NotSent, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000], id="unreachable"),
    ],
)
def test_holds_double_up_to_their_bound_with_a_quarter_of_jitter(
    cause: Cause, waits_ms: list[int]
) -> None:
    line, now_ms = queue(), NOW_MS
    for number, wait_ms in enumerate(waits_ms):
        line.hold(cause, revised(waiting(1), attempts=number), now_ms)
        assert wait_ms <= hold_ms(line, now_ms) <= wait_ms * 5 // 4
        now_ms += 10_000


def test_jitter_differs_between_submissions_and_repeats_for_the_same() -> None:
    waits = []
    for seq in (1, 2, 3, 4, 1):
        line = queue()
        for _ in range(6):
            line.hold(BUSY, waiting(seq), NOW_MS)
        waits.append(hold_ms(line, NOW_MS))
    assert waits[0] == waits[4]
    assert len(set(waits[:4])) == 4


def test_nothing_starts_while_the_account_is_held_urgent_or_not() -> None:
    line = queue(waiting(1, priority=URGENT), waiting(2))
    line.hold(BUSY, waiting(3), NOW_MS)
    held_ms = hold_ms(line, NOW_MS)
    assert line.take(NOW_MS, FREE) == Choice(wait_ms=held_ms)
    assert line.take(NOW_MS + held_ms - 1, FREE) == Choice(wait_ms=1)
    assert line.take(NOW_MS + held_ms, FREE).entry is not None


def test_after_an_attempt_that_got_through_back_offs_start_over() -> None:
    line = queue()
    for _ in range(5):
        line.hold(BUSY, waiting(1), NOW_MS)
    line.went_through()
    later_ms = NOW_MS + 60_000
    line.hold(BUSY, waiting(1), later_ms)
    assert 100 <= hold_ms(line, later_ms) <= 125


def test_a_shorter_hold_does_not_shorten_a_longer_one() -> None:
    line = queue(waiting(1))
    for _ in range(7):
        line.hold(BUSY, waiting(2), NOW_MS)
    line.went_through()
    line.hold(BUSY, waiting(3), NOW_MS)
    assert line.take(NOW_MS + 4_000, FREE).entry is None


def test_a_refusal_for_weight_is_left_to_the_weight() -> None:
    line = queue(waiting(1))
    line.hold(LIMITED, waiting(2), NOW_MS)
    assert line.take(NOW_MS, FREE).entry is not None
    line.hold(BUSY, waiting(2), NOW_MS)
    assert hold_ms(line, NOW_MS) <= 125


@pytest.mark.parametrize(
    ("clock_refusals", "is_held"),
    [
        pytest.param(1, False, id="the first goes again at once"),
        pytest.param(2, True, id="the second waits"),
        pytest.param(4, True, id="the fourth waits"),
    ],
)
def test_a_refusal_for_the_clock_goes_again_at_once_but_once(
    clock_refusals: int, is_held: bool
) -> None:
    line = queue(waiting(1))
    line.hold(CLOCK, revised(waiting(2), clock_refusals=clock_refusals), NOW_MS)
    assert (line.take(NOW_MS, FREE).entry is None) is is_held


def test_a_person_can_read_what_holds_the_account() -> None:
    line = queue()
    line.pause("stopped")
    line.undecided(lost(asset="BTC"))
    line.hold(NotSent, waiting(1), NOW_MS)
    until_ms = NOW_MS + hold_ms(line, NOW_MS)
    assert line.holds(NOW_MS) == [
        HoldState("stopped", None, None),
        HoldState("unreachable", None, until_ms),
        HoldState("unknown", "BTC", None),
    ]
    line.resume("stopped")
    line.decided("lost")
    assert line.holds(until_ms) == []


# What is undecided


AFTER_FENCE_MS = FENCE_MS + 1


@pytest.mark.parametrize(
    ("asked", "free_from_ms"),
    [
        pytest.param(waiting(1, asset="BTC"), AFTER_FENCE_MS, id="another asset"),
        pytest.param(waiting(1, REPAY, asset="BTC"), AFTER_FENCE_MS, id="a repayment of another"),
        pytest.param(
            waiting(1, asset="BTC", priority=URGENT), AFTER_FENCE_MS, id="another, though urgent"
        ),
        pytest.param(
            waiting(1, REPAY, priority=URGENT), AFTER_FENCE_MS, id="an urgent repayment of it"
        ),
        pytest.param(waiting(1), None, id="a borrow of it"),
        pytest.param(waiting(1, amount="7"), None, id="a borrow of it, another amount"),
        pytest.param(waiting(1, REPAY), None, id="a normal repayment of it"),
        pytest.param(waiting(1, priority=URGENT), None, id="an urgent borrow of it"),
        pytest.param(waiting(1, symbol="BTCUSDT"), None, id="an isolated borrow of it"),
    ],
)
@pytest.mark.parametrize("state", [State.UNKNOWN, State.UNRESOLVED])
def test_a_lost_borrow_holds_the_account_until_its_fence_and_its_asset_until_it_is_decided(
    state: State, asked: Entry, free_from_ms: int | None
) -> None:
    line = queue(asked)
    line.undecided(lost(state=state))
    deadline_wait_ms = asked.deadline_ms - NOW_MS
    if free_from_ms is None:
        assert line.take(NOW_MS, FREE) == Choice(wait_ms=deadline_wait_ms)
        assert line.take(NOW_MS + 3_600_000, FREE).entry is None
    else:
        assert line.take(NOW_MS, FREE) == Choice(wait_ms=free_from_ms - NOW_MS)
        assert line.take(free_from_ms - 1, FREE) == Choice(wait_ms=1)
        assert line.take(free_from_ms, FREE).entry is asked


@pytest.mark.parametrize(
    ("asked", "free_from_ms"),
    [
        pytest.param(waiting(1, REPAY, priority=URGENT), EQUAL_MS + 1, id="equal"),
        pytest.param(
            waiting(1, REPAY, priority=URGENT, amount="100.00"), EQUAL_MS + 1, id="equal by value"
        ),
        pytest.param(
            waiting(1, REPAY, priority=URGENT, amount="all"),
            EQUAL_MS + 1,
            id="of an amount not known yet",
        ),
        pytest.param(
            revised(waiting(1, REPAY, priority=URGENT, amount="all"), attempt=attempt(amount="99")),
            EQUAL_MS + 1,
            id="of an amount not known anew, whatever its last attempt had",
        ),
        pytest.param(
            waiting(1, REPAY, priority=URGENT, amount="99"), AFTER_FENCE_MS, id="another amount"
        ),
        pytest.param(
            waiting(1, REPAY, priority=URGENT, symbol="BTCUSDT"),
            AFTER_FENCE_MS,
            id="of a pair where that was cross",
        ),
    ],
)
@pytest.mark.parametrize("state", [State.UNKNOWN, State.UNRESOLVED])
def test_even_an_urgent_repayment_waits_until_no_record_can_be_either_ones(
    state: State, asked: Entry, free_from_ms: int
) -> None:
    line = queue(asked)
    line.undecided(lost(REPAY, state=state))
    assert line.take(NOW_MS, FREE) == Choice(wait_ms=free_from_ms - NOW_MS)
    assert line.take(free_from_ms - 1, FREE).entry is None
    assert line.take(free_from_ms, FREE).entry is asked


# Looks before an attempt

HOUR_MS = 3_600_000
"""NOW_MS is on the hour."""


@pytest.mark.parametrize(
    ("now_ms", "wait_ms"),
    [
        pytest.param(NOW_MS - 2_001, 0, id="there is time for look and repayment"),
        pytest.param(NOW_MS - 2_000, 5_000, id="interest may come in between"),
        pytest.param(NOW_MS - 1, 3_001, id="a moment before the hour"),
        pytest.param(NOW_MS, 3_000, id="on the hour"),
        pytest.param(NOW_MS + 2_999, 1, id="interest may still be being added"),
        pytest.param(NOW_MS + 3_000, 0, id="it has been"),
    ],
)
def test_a_repayment_of_everything_keeps_away_from_the_hour(now_ms: int, wait_ms: int) -> None:
    asked = waiting(1, REPAY, amount="all")
    choice = queue(asked).take(now_ms, FREE)
    assert choice == (Choice(wait_ms=wait_ms) if wait_ms else Choice(asked))


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(waiting(1, REPAY), id="a plain amount"),
        pytest.param(waiting(1, REPAY, amount="all", priority=URGENT), id="urgent"),
        pytest.param(waiting(1, BORROW, amount="max"), id="a borrow"),
        pytest.param(
            waiting(1, REPAY, amount="all", deadline_ms=NOW_MS + 3_000), id="no time to wait"
        ),
    ],
)
def test_nothing_else_waits_for_the_hour(asked: Entry) -> None:
    assert queue(asked).take(NOW_MS, FREE).entry is asked


def test_others_go_while_a_look_that_failed_backs_off_and_those_behind_it_wait() -> None:
    failed = revised(waiting(1, REPAY, amount="all"), look_not_before_ms=NOW_MS + 9_000)
    behind, other = waiting(2, REPAY), waiting(3, REPAY, "BTC")
    line = queue(failed, behind, other)
    assert line.take(NOW_MS + 4_000, FREE).entry is other
    assert line.take(NOW_MS + 4_000, FREE) == Choice(wait_ms=5_000)
    assert line.take(NOW_MS + 9_000, FREE).entry is failed
    assert line.take(NOW_MS + 9_000, FREE).entry is behind


def test_what_was_handed_out_may_not_start_once_something_holds_it() -> None:
    asked = waiting(1, REPAY, amount="all")
    line = queue()
    assert line.may_start(asked, NOW_MS)
    line.pause("paused")
    assert not line.may_start(asked, NOW_MS)
    line.resume("paused")
    line.undecided(lost(REPAY))
    assert not line.may_start(asked, EQUAL_MS)


def test_where_the_lane_is_the_pair_a_lost_attempt_holds_its_pair_and_its_asset() -> None:
    line = AccountQueue(POLICY, InventoryGate(POLICY), by_pair)
    line.add(waiting(1, asset="BTC", symbol="BTCUSDT"))
    line.add(waiting(2, asset="BTC", symbol="ETHBTC"))
    line.add(waiting(3, asset="USDT", symbol="ETHUSDT"))
    line.undecided(lost(symbol="BTCUSDT", exclusion="main/BTCUSDT"))
    assert drain(line, NOW_MS) == [2]
    assert drain(line, AFTER_FENCE_MS) == [1]


@pytest.mark.parametrize("later_ms", [[0, 2_000], [2_000, 0]], ids=["rising", "falling"])
def test_the_longest_of_several_holds_counts(later_ms: list[int]) -> None:
    line = queue(waiting(1, asset="BTC"))
    for number, ms in enumerate(later_ms):
        one = lost()
        line.undecided(
            revised(
                one,
                submission=revised(one.submission, key=f"lost{number}"),
                attempt=attempt(timestamp_ms=NOW_MS + ms),
            )
        )
    assert line.take(NOW_MS, FREE) == Choice(wait_ms=W_MS + 2_000 + 1)


def test_what_is_decided_holds_nothing_any_more() -> None:
    line = queue(waiting(1))
    line.undecided(lost())
    line.decided("lost")
    line.decided("never undecided")
    assert line.take(NOW_MS, FREE).entry is not None


def test_a_held_head_keeps_its_row_waiting_and_no_other() -> None:
    line = queue(waiting(1), waiting(2, amount="5"), waiting(3, asset="BTC"))
    line.undecided(lost())
    assert drain(line, AFTER_FENCE_MS) == [3]


def test_what_is_held_for_as_long_as_nobody_knows_is_not_counted_as_ahead() -> None:
    line = queue(waiting(1), waiting(2), waiting(3, asset="BTC"), waiting(4, priority=URGENT))
    assert (line.ahead(NORMAL), line.ahead(URGENT)) == (4, 1)
    line.undecided(lost())
    assert (line.ahead(NORMAL), line.ahead(URGENT)) == (1, 0)


# With the gate of a starved asset


def starved(asset: str = "USDT", amount: str = "100") -> InventoryGate:
    gate = InventoryGate(POLICY)
    gate.refused(entry(State.SENT, "refused", asset=asset, amount=amount), NOW_MS)
    return gate


def test_a_borrow_that_waits_for_inventory_holds_no_repayment_and_no_other_asset() -> None:
    line = queue(waiting(1), waiting(2, REPAY), waiting(3, asset="BTC"), waiting(4), gate=starved())
    assert drain(line) == [2, 3]


def test_a_borrow_at_the_gate_goes_once_there_is_enough_in_its_order() -> None:
    gate = starved()
    line = queue(waiting(1), waiting(2), gate=gate)
    assert line.take(NOW_MS, FREE).entry is None
    gate.answered(("USDT", False), Decimal(100), NOW_MS + 1_000)
    chosen = line.take(NOW_MS + 1_000, FREE).entry
    assert chosen is not None
    assert chosen.seq == 1


@pytest.mark.parametrize("hold", ["pause", "hold", "weight", "air", "undecided", "overdue"])
def test_a_borrow_kept_by_something_else_too_keeps_no_other_account_waiting(hold: str) -> None:
    gate = starved()
    mine = queue(waiting(1, deadline_ms=NOW_MS + 1_000), gate=gate)
    theirs = queue(waiting(2, account="second"), gate=gate)
    assert mine.take(NOW_MS, FREE).entry is None
    assert theirs.take(NOW_MS, FREE).entry is None
    now_ms, headroom, in_air = NOW_MS + 900, FREE, frozenset[str]()
    match hold:
        case "pause":
            mine.pause("paused")
        case "hold":
            mine.hold(BUSY, waiting(3), now_ms)
        case "weight":
            headroom = Headroom(normal_ms=500, urgent_ms=0)
        case "air":
            in_air = frozenset({"main"})
        case "undecided":
            mine.undecided(lost(asset="BTC"))
        case "overdue":
            now_ms = NOW_MS + 1_000
    assert mine.take(now_ms, headroom, in_air).entry is None
    gate.answered(("USDT", False), Decimal(100), NOW_MS + 1_000)
    chosen = theirs.take(NOW_MS + 1_000, FREE).entry
    assert chosen is not None
    assert chosen.seq == 2


def test_a_borrow_that_is_no_longer_the_head_of_its_row_keeps_no_other_account_waiting() -> None:
    gate = starved(amount="200")
    mine = queue(waiting(1, amount="150"), waiting(2, amount="50"), gate=gate)
    theirs = queue(waiting(3, account="second", amount="200"), gate=gate)
    first = mine.take(NOW_MS, FREE).entry
    assert first is not None
    gate.started(first)
    assert mine.take(NOW_MS, FREE).entry is None  # the second is now at the gate
    assert theirs.take(NOW_MS, FREE).entry is None
    gate.ended(first, was_lent=False)
    mine.hold(BUSY, first, NOW_MS)
    mine.add(revised(first, version=4))  # and now the first is back before it
    now_ms = NOW_MS + 60
    assert mine.take(now_ms, FREE).entry is None
    gate.answered(("USDT", False), Decimal(200), NOW_MS + 1_000)
    chosen = theirs.take(NOW_MS + 1_000, FREE).entry
    assert chosen is not None
    assert chosen.seq == 3


def test_a_cancelled_borrow_leaves_the_line_at_the_gate() -> None:
    gate = starved()
    line = queue(waiting(1), gate=gate)
    assert line.take(NOW_MS, FREE).entry is None
    line.remove("k1")
    assert gate.waiting_accounts() == set()


def test_waiting_at_the_gate_is_not_over_because_it_is_asked_again_and_again() -> None:
    gate = starved()
    line = queue(waiting(1), gate=gate)
    for second in range(1, 600):
        now_ms = NOW_MS + second * 1_000
        if gate.due(now_ms):
            gate.answered(("USDT", False), Decimal(0), now_ms)
        assert line.take(now_ms, FREE).entry is None, f"after {second} s, with nothing to lend"


# Bounds


def sizes(line: AccountQueue) -> tuple[int, int]:
    """How much is kept: entries in rows, and deadlines. Only the inside can tell."""
    return sum(map(len, line._rows.values())), len(line._deadlines)


def test_what_is_cancelled_does_not_pile_up_behind_a_held_head() -> None:
    line = queue(waiting(1))
    line.undecided(lost())
    for seq in range(2, 3_000):
        line.add(waiting(seq))
        line.remove(f"k{seq}")
    assert max(sizes(line)) < 200


def test_what_expires_does_not_pile_up_behind_a_held_head() -> None:
    line = queue(waiting(1))
    line.undecided(lost())
    for seq in range(2, 3_000):
        line.add(waiting(seq, deadline_ms=NOW_MS + seq))
        line.take_overdue(NOW_MS + seq)
    assert max(sizes(line)) < 200


def test_what_has_gone_does_not_pile_up_behind_an_earlier_deadline() -> None:
    line = queue(waiting(1, deadline_ms=AFTER_FENCE_MS + 300_000))
    line.undecided(lost())
    for seq in range(2, 3_000):
        line.add(waiting(seq, asset="BTC", deadline_ms=AFTER_FENCE_MS + 600_000))
        assert line.take(AFTER_FENCE_MS, FREE).entry is not None
    assert max(sizes(line)) < 200


def test_coming_back_again_and_again_keeps_one_deadline() -> None:
    line = queue(waiting(1))
    for version in range(2, 1_000):
        taken = line.take(NOW_MS, FREE).entry
        assert taken is not None
        line.add(revised(taken, version=version))
    assert sizes(line) == (1, 1)


# Against a model that is too simple to be wrong


class Model:
    """A list of entries, and a predicate."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.undecided: dict[str, Entry] = {}
        self.pauses: set[str] = set()
        self.held_until_ms = 0

    def choose(self, now_ms: int, headroom: Headroom, in_air: frozenset[str]) -> Entry | None:
        if self.pauses or now_ms < self.held_until_ms or self.deadline_ms() <= now_ms:
            return None
        for priority, wait_ms in ((URGENT, headroom.urgent_ms), (NORMAL, headroom.normal_ms)):
            able = [
                e
                for e in self.entries
                if e.priority is priority
                and self.is_head(e)
                and by_pair(e) not in in_air
                and not self.is_held(e, now_ms)
                and wait_ms <= 0
            ]
            if able:
                return min(able, key=operator.attrgetter("seq"))
        return None

    def is_head(self, entry_: Entry) -> bool:
        return not any(
            (e.priority, e.kind, e.asset, e.symbol)
            == (entry_.priority, entry_.kind, entry_.asset, entry_.symbol)
            and e.seq < entry_.seq
            for e in self.entries
        )

    def is_held(self, entry_: Entry, now_ms: int) -> bool:
        return any(self.holds(other, entry_, now_ms) for other in self.undecided.values())

    def holds(self, other: Entry, entry_: Entry, now_ms: int) -> bool:
        tried = other.attempt
        assert tried is not None
        if tried.exclusion == by_pair(entry_) and now_ms <= tried.fence_ms:
            return True
        is_equal = (other.kind, other.asset, other.symbol, tried.amount) == (
            entry_.kind,
            entry_.asset,
            entry_.symbol,
            entry_.amount,
        )
        if is_equal and now_ms <= tried.fence_ms + 11_000:
            return True
        is_urgent_repayment = entry_.kind is REPAY and entry_.priority is URGENT
        return other.asset == entry_.asset and not is_urgent_repayment

    def deadline_ms(self) -> int:
        return min((e.deadline_ms for e in self.entries), default=2**63)


def later(headroom: Headroom, by_ms: int) -> Headroom:
    return Headroom(
        normal_ms=max(0, headroom.normal_ms - by_ms), urgent_ms=max(0, headroom.urgent_ms - by_ms)
    )


SYMBOLS = [None, "BTCUSDT", "ETHBTC"]


class QueueMachine(RuleBasedStateMachine):
    """Everything that can happen to a queue whose lanes are pairs."""

    taken = Bundle("taken")

    @initialize()
    def begin(self) -> None:
        self.queue = AccountQueue(POLICY, InventoryGate(POLICY), by_pair)
        self.model = Model()
        self.now_ms = NOW_MS
        self.seq = 0

    @rule(
        kind=st.sampled_from(Kind),
        asset=st.sampled_from(["USDT", "BTC"]),
        symbol=st.sampled_from(SYMBOLS),
        priority=st.sampled_from(Priority),
        amount=st.sampled_from(["1", "1.0", "2"]),
        within_ms=st.sampled_from([1, 1_000, 20_000, 300_000]),
    )
    def add(
        self,
        kind: Kind,
        asset: str,
        symbol: str | None,
        priority: Priority,
        amount: str,
        within_ms: int,
    ) -> None:
        self.seq += 1
        deadline_ms = self.now_ms + within_ms
        new = waiting(
            self.seq,
            kind,
            asset,
            symbol=symbol,
            priority=priority,
            amount=amount,
            deadline_ms=deadline_ms,
        )
        self.queue.add(new)
        self.model.entries.append(new)

    @rule(by_ms=st.sampled_from([0, 1, 99, 101, 1_000, 5_001, 11_000, 60_000]))
    def time_passes(self, by_ms: int) -> None:
        self.now_ms += by_ms

    @rule(
        target=taken,
        normal_ms=st.sampled_from([0, 0, 0, 1, 700]),
        urgent=st.booleans(),
        in_air=st.sets(st.sampled_from(["main", "main/BTCUSDT"])),
    )
    def take(self, normal_ms: int, urgent: bool, in_air: set[str]) -> Entry | None:
        headroom = Headroom(normal_ms=normal_ms, urgent_ms=normal_ms if urgent else 0)
        air = frozenset(in_air)
        expected = self.model.choose(self.now_ms, headroom, air)
        choice = self.queue.take(self.now_ms, headroom, air)
        assert choice.entry is expected
        if expected is not None:
            assert choice.wait_ms is None
            self.model.entries.remove(expected)
            return expected
        # Not asked for too late: just before the wait is over nothing has changed.
        wait_ms = 40 * 86_400_000 if choice.wait_ms is None else choice.wait_ms
        if wait_ms:
            last_ms = self.now_ms + wait_ms - 1
            assert self.model.deadline_ms() > last_ms
            assert self.model.choose(last_ms, later(headroom, wait_ms - 1), air) is None
        return None

    @rule(back=consumes(taken))
    def come_back(self, back: Entry | None) -> None:
        if back is not None:
            newer = revised(back, version=back.version + 2, attempts=back.attempts + 1)
            self.queue.add(newer)
            self.model.entries.append(newer)

    @rule(gone=consumes(taken), state=st.sampled_from([State.UNKNOWN, State.UNRESOLVED]))
    def is_lost(self, gone: Entry | None, state: State) -> None:
        if gone is not None:
            tried = attempt(
                timestamp_ms=self.now_ms, amount=gone.requested, exclusion=by_pair(gone)
            )
            undecided = revised(gone, state=state, attempt=tried)
            self.queue.undecided(undecided)
            self.model.undecided[gone.key] = undecided

    @precondition(lambda self: self.model.undecided)
    @rule(data=st.data())
    def is_decided(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.undecided)))
        del self.model.undecided[key]
        self.queue.decided(key)

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        keys = [e.key for e in self.model.entries]
        key = data.draw(st.sampled_from([*keys, "k0"]))
        removed = self.queue.remove(key)
        assert (removed is None) == (key == "k0")
        self.model.entries = [e for e in self.model.entries if e.key != key]

    @rule()
    def expire(self) -> None:
        expected = sorted(
            (e for e in self.model.entries if e.deadline_ms <= self.now_ms),
            key=operator.attrgetter("deadline_ms", "seq"),
        )
        assert self.queue.take_overdue(self.now_ms) == expected
        self.model.entries = [e for e in self.model.entries if e not in expected]

    @rule(why=st.sampled_from(["a", "b"]), is_over=st.booleans())
    def pause(self, why: str, is_over: bool) -> None:
        if is_over:
            self.queue.resume(why)
            self.model.pauses.discard(why)
        else:
            self.queue.pause(why)
            self.model.pauses.add(why)

    @rule(cause=st.sampled_from([BUSY, NotSent, CLOCK, LIMITED]))
    def hold(self, cause: Cause) -> None:
        self.queue.hold(cause, waiting(self.seq + 1), self.now_ms)
        held = [h.until_ms for h in self.queue.holds(self.now_ms) if h.until_ms is not None]
        self.model.held_until_ms = max([self.model.held_until_ms, *held])

    @rule()
    def went_through(self) -> None:
        self.queue.went_through()

    @invariant()
    def counts_agree(self) -> None:
        entries = self.model.entries
        assert len(self.queue) == len(entries)
        for priority in Priority:
            assert self.queue.count(priority) == sum(e.priority is priority for e in entries)
        assert {e.key for e in self.queue.entries()} == {e.key for e in entries}


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(UNHURRIED, max_examples=100, stateful_step_count=40)
