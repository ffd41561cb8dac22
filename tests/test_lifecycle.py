"""The rules, one by one, and that there are no others."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import refusals
from scheduler.events import (
    Accepted,
    Action,
    Advised,
    CancelRequested,
    Chosen,
    ClaimLost,
    ClaimRefused,
    Contradicted,
    DeadlinePassed,
    Event,
    Finish,
    Hold,
    LookedUp,
    LookUpFailed,
    Lost,
    NotSent,
    Precluded,
    PutBack,
    Refused,
    Release,
    Remarked,
    Resolved,
    Send,
    Settle,
    Started,
    StopAccount,
    Unmeasured,
)
from scheduler.lifecycle import MOVES, UNDECIDED, advance, conclusive_from_ms, was_matched
from scheduler.model import FINAL, Answer, Entry, Kind, Outcome, State, Transaction, revised
from scheduler.policy import Policy
from scheduler.refusals import Disposition

from .build import DAY_MS, NOW_MS, UNHURRIED, W_MS, attempt, entry, record

P_MS = 10_000
V_MS = 15_000
POLICY = Policy(recv_window_ms=W_MS, processing_max_ms=P_MS, visibility_max_ms=V_MS)
BY_RECORD = replace(POLICY, confirm="record")
FENCE_MS = NOW_MS + W_MS
BOUND_MS = FENCE_MS + P_MS + V_MS
"""Up to and including this time a missing record means nothing."""
APART_MS = 2_000
MINUTE_MS = 60_000
TRAN_ID = 5_001

EVENT_TYPES: tuple[type, ...] = get_args(Event)


def refused(code: int, disposition: Disposition, message: str = "no") -> Refused:
    return Refused(refusals.answer(code, message, 400), disposition)


TERMINAL = refused(-3006, Disposition.TERMINAL)
STOPPING = refused(-2015, Disposition.STOPS_ACCOUNT)
BUSY = refused(-3007, Disposition.BUSY)
STARVED = refused(-3045, Disposition.STARVED)
CLOCK = refused(-1021, Disposition.CLOCK)
LIMITED = refused(-1003, Disposition.LIMITED)
EXCEEDING = refused(-3015, Disposition.TERMINAL, "Repay amount exceeds borrow amount.")
DUST = refused(-3015, Disposition.TERMINAL, "The unpaid debt is too small after this repayment.")
NOTHING = Answer(code=0, name="NOTHING_OWED", message="Nothing was sent.")


def look(
    *records: Transaction,
    as_of_ms: int = BOUND_MS + 1,
    claimed: frozenset[int] = frozenset(),
    is_trusted: bool = True,
    known_since_ms: int = 0,
    is_exclusive: bool = True,
) -> LookedUp:
    return LookedUp(records, claimed, as_of_ms, is_trusted, known_since_ms, is_exclusive)


def live(start: Entry, *events: tuple[Event, int], policy: Policy = POLICY) -> Entry:
    """The entry after all the events, each with its time."""
    for event, now_ms in events:
        start, _ = advance(start, event, policy, now_ms)
    return start


def unknown(kind: Kind = Kind.BORROW, *, deadline_ms: int = NOW_MS + DAY_MS) -> Entry:
    """Sent at NOW_MS, its answer lost 100 ms later."""
    return live(
        entry(kind=kind, deadline_ms=deadline_ms),
        (Chosen(attempt()), NOW_MS),
        (Lost("ServerDisconnectedError"), NOW_MS + 100),
    )


def absent_once(kind: Kind = Kind.BORROW, *, deadline_ms: int = NOW_MS + DAY_MS) -> Entry:
    return live(unknown(kind, deadline_ms=deadline_ms), (look(), BOUND_MS + 1))


def absent_twice(
    kind: Kind, *, deadline_ms: int = NOW_MS + DAY_MS, policy: Policy = POLICY
) -> tuple[Entry, Action | None]:
    second_ms = BOUND_MS + 1 + APART_MS
    once = absent_once(kind, deadline_ms=deadline_ms)
    return advance(once, look(as_of_ms=second_ms), policy, second_ms)


# The table: what may happen in each state, and what comes of it

CASES: list[tuple[str, Entry, Event, Policy, State, Action | None]] = [
    ("a queued one is chosen", entry(), Chosen(attempt()), POLICY, State.SENT, Send()),
    (
        "a look says that there is nothing to send",
        entry(kind=Kind.REPAY, amount="all"),
        Precluded(NOTHING),
        POLICY,
        State.REJECTED,
        Finish(),
    ),
    (
        "the same after proven absence",
        revised(entry(kind=Kind.REPAY, amount="all"), was_absent=True),
        Precluded(NOTHING),
        POLICY,
        State.NOT_EXECUTED,
        Finish(),
    ),
    (
        "its amount cannot be looked up",
        entry(kind=Kind.REPAY, amount="all"),
        Unmeasured("HTTP 500"),
        POLICY,
        State.QUEUED,
        PutBack(),
    ),
    ("a queued one is cancelled", entry(), CancelRequested(), POLICY, State.CANCELLED, Finish()),
    ("time runs out, never sent", entry(), DeadlinePassed(), POLICY, State.EXPIRED, Finish()),
    (
        "time runs out after a refusal",
        revised(entry(), answer=BUSY.answer),
        DeadlinePassed(),
        POLICY,
        State.REJECTED,
        Finish(),
    ),
    (
        "time runs out after proven absence",
        revised(entry(), was_absent=True),
        DeadlinePassed(),
        POLICY,
        State.NOT_EXECUTED,
        Finish(),
    ),
    (
        "a refusal outweighs an absence before it",
        revised(entry(), was_absent=True, answer=BUSY.answer),
        DeadlinePassed(),
        POLICY,
        State.REJECTED,
        Finish(),
    ),
    (
        "200 with an id",
        entry(State.SENT),
        Accepted(TRAN_ID),
        POLICY,
        State.CONFIRMED,
        Finish(),
    ),
    (
        "200 with an id, where the record is to confirm",
        entry(State.SENT),
        Accepted(TRAN_ID),
        BY_RECORD,
        State.ACCEPTED,
        Settle(),
    ),
    ("terminal code", entry(State.SENT), TERMINAL, POLICY, State.REJECTED, Finish()),
    (
        "the debt was another than looked up",
        entry(State.SENT, kind=Kind.REPAY, amount="all"),
        EXCEEDING,
        POLICY,
        State.QUEUED,
        PutBack(),
    ),
    (
        "what would be left of the debt that was looked up is too little",
        entry(State.SENT, kind=Kind.REPAY, amount="all"),
        DUST,
        POLICY,
        State.QUEUED,
        PutBack(),
    ),
    (
        "the maximum was another than looked up",
        entry(State.SENT, amount="max"),
        TERMINAL,
        POLICY,
        State.QUEUED,
        PutBack(),
    ),
    (
        "a plain amount is more than is owed",
        entry(State.SENT, kind=Kind.REPAY),
        EXCEEDING,
        POLICY,
        State.REJECTED,
        Finish(),
    ),
    ("key refused", entry(State.SENT), STOPPING, POLICY, State.REJECTED, StopAccount()),
    ("-3007", entry(State.SENT), BUSY, POLICY, State.QUEUED, Hold(Disposition.BUSY)),
    ("-3045", entry(State.SENT), STARVED, POLICY, State.QUEUED, Release()),
    ("first -1021", entry(State.SENT), CLOCK, POLICY, State.QUEUED, Hold(Disposition.CLOCK)),
    (
        "fourth -1021",
        revised(entry(State.SENT), clock_refusals=3),
        CLOCK,
        POLICY,
        State.QUEUED,
        Hold(Disposition.CLOCK),
    ),
    (
        "fifth -1021",
        revised(entry(State.SENT), clock_refusals=4),
        CLOCK,
        POLICY,
        State.REJECTED,
        Finish(),
    ),
    ("429", entry(State.SENT), LIMITED, POLICY, State.QUEUED, Hold(Disposition.LIMITED)),
    (
        "refused connection",
        entry(State.SENT),
        NotSent("ClientConnectorError"),
        POLICY,
        State.QUEUED,
        Hold(NotSent),
    ),
    ("lost", entry(State.SENT), Lost("TimeoutError"), POLICY, State.UNKNOWN, Settle()),
    ("died in the air", entry(State.SENT), Started(), POLICY, State.UNKNOWN, Settle()),
    (
        "answered with an id that another was answered with",
        entry(State.SENT),
        ClaimRefused(TRAN_ID, "k9"),
        POLICY,
        State.UNRESOLVED,
        Settle(),
    ),
    ("accepted, started", entry(State.ACCEPTED), Started(), BY_RECORD, State.ACCEPTED, Settle()),
    ("unknown, started", entry(State.UNKNOWN), Started(), POLICY, State.UNKNOWN, Settle()),
    (
        "unresolved, started",
        entry(State.UNRESOLVED),
        Started(),
        POLICY,
        State.UNRESOLVED,
        Settle(),
    ),
    (
        "its record says CONFIRMED",
        entry(State.ACCEPTED, tran_id=TRAN_ID),
        look(record(TRAN_ID)),
        BY_RECORD,
        State.CONFIRMED,
        Finish(),
    ),
    (
        "its record says FAILED",
        entry(State.ACCEPTED, tran_id=TRAN_ID),
        look(record(TRAN_ID, status="FAILED")),
        BY_RECORD,
        State.REJECTED,
        Finish(),
    ),
    (
        "its record is pending",
        entry(State.ACCEPTED, tran_id=TRAN_ID),
        look(record(TRAN_ID, status="PENDING"), as_of_ms=NOW_MS + 700),
        BY_RECORD,
        State.ACCEPTED,
        Settle(),
    ),
    (
        "the only records are others'",
        entry(State.ACCEPTED, tran_id=TRAN_ID),
        look(record(TRAN_ID + 1), as_of_ms=NOW_MS + 700),
        BY_RECORD,
        State.ACCEPTED,
        Settle(),
    ),
    (
        "unresolved with an id, and the record turns up",
        entry(State.UNRESOLVED, tran_id=TRAN_ID),
        look(record(TRAN_ID)),
        BY_RECORD,
        State.CONFIRMED,
        Finish(),
    ),
    (
        "unresolved with an id, and the record turns up FAILED",
        entry(State.UNRESOLVED, tran_id=TRAN_ID),
        look(record(TRAN_ID, status="FAILED")),
        BY_RECORD,
        State.REJECTED,
        Finish(),
    ),
    (
        "lost, and the record is found",
        entry(State.UNKNOWN),
        look(record(TRAN_ID)),
        POLICY,
        State.CONFIRMED,
        Finish(),
    ),
    (
        "lost, and the record is found long after",
        entry(State.UNRESOLVED),
        look(record(TRAN_ID)),
        POLICY,
        State.CONFIRMED,
        Finish(),
    ),
    (
        "lost, and the record is pending",
        entry(State.UNKNOWN),
        look(record(TRAN_ID, status="PENDING"), as_of_ms=NOW_MS + 700),
        POLICY,
        State.UNKNOWN,
        Settle(),
    ),
    (
        "lost, and two records fit",
        entry(State.UNKNOWN),
        look(record(1), record(2)),
        POLICY,
        State.UNRESOLVED,
        Settle(),
    ),
    (
        "lost, and a record fits on an account that others use",
        entry(State.UNKNOWN),
        look(record(1), is_exclusive=False),
        POLICY,
        State.UNRESOLVED,
        Settle(),
    ),
    ("a look fails", entry(State.UNKNOWN), LookUpFailed("x"), POLICY, State.UNKNOWN, Settle()),
    (
        "a look for an accepted one fails",
        entry(State.ACCEPTED),
        LookUpFailed("x"),
        BY_RECORD,
        State.ACCEPTED,
        Settle(),
    ),
    (
        "a look for an unresolved one fails",
        entry(State.UNRESOLVED),
        LookUpFailed("x"),
        POLICY,
        State.UNRESOLVED,
        Settle(),
    ),
    *(
        (
            f"a person resolves {state} as {as_state}",
            entry(state),
            Resolved(as_state, tran_id, "seen on the web page"),
            POLICY,
            as_state,
            Finish(),
        )
        for state in (State.UNKNOWN, State.UNRESOLVED)
        for as_state, tran_id in ((State.CONFIRMED, TRAN_ID), (State.NOT_EXECUTED, None))
    ),
    (
        "a person resolves what only a person can",
        entry(State.UNRESOLVED, needs_person=True),
        Resolved(State.NOT_EXECUTED, None, "seen on the web page"),
        POLICY,
        State.NOT_EXECUTED,
        Finish(),
    ),
    (
        "the exchange gives its transaction to another by name",
        entry(State.CONFIRMED),
        ClaimLost("k9"),
        POLICY,
        State.UNKNOWN,
        Settle(),
    ),
    (
        "a record fails behind a confirmation",
        entry(State.CONFIRMED),
        Contradicted("txId 5001 FAILED"),
        POLICY,
        State.CONFIRMED,
        None,
    ),
    (
        "something is to be remarked of a confirmed one",
        entry(State.CONFIRMED),
        Remarked("0.001 was left"),
        POLICY,
        State.CONFIRMED,
        None,
    ),
    (
        "advice for a rejected one",
        revised(entry(State.REJECTED), answer=TERMINAL.answer),
        Advised("at most 5"),
        POLICY,
        State.REJECTED,
        None,
    ),
    (
        "a record turns up behind proven absence",
        entry(State.NOT_EXECUTED),
        Contradicted("txId 5001 CONFIRMED"),
        POLICY,
        State.NOT_EXECUTED,
        None,
    ),
    (
        "the answer that an earlier owner got reaches this one, UNKNOWN",
        entry(State.UNKNOWN),
        Accepted(TRAN_ID),
        POLICY,
        State.CONFIRMED,
        Finish(),
    ),
    (
        "an answer that reaches this owner late names another's transaction, UNKNOWN",
        entry(State.UNKNOWN),
        ClaimRefused(TRAN_ID, "k9"),
        POLICY,
        State.UNRESOLVED,
        Settle(),
    ),
    (
        "the answer that an earlier owner got reaches this one, UNRESOLVED",
        entry(State.UNRESOLVED),
        Accepted(TRAN_ID),
        POLICY,
        State.CONFIRMED,
        Finish(),
    ),
    (
        "an answer that reaches this owner late names another's transaction, UNRESOLVED",
        entry(State.UNRESOLVED),
        ClaimRefused(TRAN_ID, "k9"),
        POLICY,
        State.UNRESOLVED,
        Settle(),
    ),
]


@pytest.mark.parametrize(
    ("before", "event", "policy", "state", "action"),
    [pytest.param(*case[1:], id=case[0]) for case in CASES],
)
def test_each_rule_moves_an_entry_and_says_what_to_do(
    before: Entry, event: Event, policy: Policy, state: State, action: Action | None
) -> None:
    after, decided = advance(before, event, policy, NOW_MS + 700)
    assert (after.state, decided) == (state, action)


ONE_OF_EACH: dict[type, Event] = {
    Chosen: Chosen(attempt()),
    Precluded: Precluded(NOTHING),
    Unmeasured: Unmeasured("HTTP 500"),
    Advised: Advised("at most 5"),
    Remarked: Remarked("0.001 was left"),
    Accepted: Accepted(TRAN_ID),
    Refused: TERMINAL,
    NotSent: NotSent("refused"),
    Lost: Lost("reset"),
    Started: Started(),
    LookedUp: look(),
    LookUpFailed: LookUpFailed("HTTP 500"),
    CancelRequested: CancelRequested(),
    DeadlinePassed: DeadlinePassed(),
    Resolved: Resolved(State.NOT_EXECUTED, None, "because"),
    ClaimLost: ClaimLost("k9"),
    Contradicted: Contradicted("txId 5001 FAILED"),
    ClaimRefused: ClaimRefused(TRAN_ID, "k9"),
}

LEGAL: dict[State, set[type]] = {
    State.QUEUED: {Chosen, Precluded, Unmeasured, CancelRequested, DeadlinePassed},
    State.SENT: {Accepted, Refused, NotSent, Lost, Started, ClaimRefused},
    State.ACCEPTED: {Started, LookedUp, LookUpFailed},
    State.UNKNOWN: {Started, LookedUp, LookUpFailed, Resolved, Accepted, ClaimRefused},
    State.UNRESOLVED: {Started, LookedUp, LookUpFailed, Resolved, Accepted, ClaimRefused},
    State.CONFIRMED: {ClaimLost, Contradicted, Remarked},
    State.REJECTED: {Advised},
    State.NOT_EXECUTED: {Contradicted},
    State.EXPIRED: set(),
    State.CANCELLED: set(),
}


def test_the_tables_here_cover_every_event_and_every_state() -> None:
    assert ONE_OF_EACH.keys() == set(EVENT_TYPES)
    assert LEGAL.keys() == set(State)
    assert {(case[1].state, type(case[2])) for case in CASES} == {
        (state, event) for state, events in LEGAL.items() for event in events
    }


@pytest.mark.parametrize(
    ("state", "event"),
    [
        pytest.param(state, event, id=f"{state} {event.__name__}")
        for state in State
        for event in EVENT_TYPES
        if event not in LEGAL[state]
    ],
)
def test_what_cannot_happen_in_a_state_is_a_bug(state: State, event: type) -> None:
    with pytest.raises(AssertionError, match=f"{event.__name__} cannot happen in {state}"):
        advance(entry(state), ONE_OF_EACH[event], POLICY, NOW_MS + 700)


@pytest.mark.parametrize("disposition", [Disposition.UNKNOWN])
def test_a_refusal_that_leaves_the_outcome_open_is_no_refusal(disposition: Disposition) -> None:
    with pytest.raises(AssertionError, match="is no refusal"):
        advance(entry(State.SENT), refused(-1007, disposition), POLICY, NOW_MS)


def test_nothing_is_looked_for_once_only_a_person_can_decide() -> None:
    with pytest.raises(AssertionError, match="LookedUp cannot happen in UNRESOLVED"):
        advance(entry(State.UNRESOLVED, needs_person=True), look(record()), POLICY, NOW_MS)


@pytest.mark.parametrize(
    "stuck",
    [
        pytest.param(
            live(unknown(), (look(record(1), record(2)), NOW_MS + 700)), id="several records fit"
        ),
        pytest.param(
            live(entry(State.SENT), (ClaimRefused(TRAN_ID, "k9"), NOW_MS + 100)),
            id="its id belongs to another",
        ),
    ],
)
def test_a_failed_look_never_sets_another_look_for_what_needs_a_person(stuck: Entry) -> None:
    after, _ = advance(stuck, LookUpFailed("tranId 7 was claimed meanwhile"), POLICY, NOW_MS + 900)
    assert after.needs_person
    assert after.look_not_before_ms is None


@pytest.mark.parametrize(
    ("as_state", "tran_id"),
    [
        *(
            pytest.param(state, None, id=f"as {state}")
            for state in State
            if state not in {State.CONFIRMED, State.NOT_EXECUTED}
        ),
        pytest.param(State.CONFIRMED, None, id="CONFIRMED without an id"),
        pytest.param(State.NOT_EXECUTED, TRAN_ID, id="NOT_EXECUTED with an id"),
    ],
)
@pytest.mark.parametrize("state", [State.UNKNOWN, State.UNRESOLVED])
def test_a_person_can_only_say_that_it_happened_as_something_or_did_not_happen(
    state: State, as_state: State, tran_id: int | None
) -> None:
    with pytest.raises(AssertionError):
        advance(entry(state), Resolved(as_state, tran_id, "because"), POLICY, NOW_MS)


# All of it at once: everything that can be reached


def alphabet() -> Iterator[tuple[Event, int]]:
    """Events with the time that passes before each."""
    for wait_ms in (1, 16 * MINUTE_MS):
        yield Chosen(attempt()), wait_ms
        for event in (
            Accepted(TRAN_ID),
            TERMINAL,
            STOPPING,
            BUSY,
            STARVED,
            CLOCK,
            LIMITED,
            NotSent("refused"),
            Lost("reset"),
            Started(),
            LookUpFailed("HTTP 500"),
            CancelRequested(),
            DeadlinePassed(),
            Resolved(State.CONFIRMED, TRAN_ID, "because"),
            Resolved(State.NOT_EXECUTED, None, "because"),
            ClaimLost("k9"),
            ClaimRefused(TRAN_ID, "k9"),
            Contradicted("txId 5001 FAILED"),
            Precluded(NOTHING),
            Unmeasured("HTTP 500"),
            EXCEEDING,
            Advised("at most 5"),
            Remarked("0.001 was left"),
        ):
            yield event, wait_ms
        for status in ("CONFIRMED", "FAILED", "PENDING"):
            for as_of_ms in (NOW_MS, BOUND_MS + 1, BOUND_MS + 1 + APART_MS):
                yield look(record(TRAN_ID, status=status), as_of_ms=as_of_ms), wait_ms
        for as_of_ms in (NOW_MS, BOUND_MS + 1, BOUND_MS + 1 + APART_MS):
            yield look(as_of_ms=as_of_ms), wait_ms
            yield look(as_of_ms=as_of_ms, is_trusted=False), wait_ms
        yield look(record(1), record(2)), wait_ms
        yield look(record(1), is_exclusive=False), wait_ms


def shape(entry_: Entry) -> tuple[object, ...]:
    """What of an entry the rules can tell apart, roughly."""
    return (
        entry_.state,
        entry_.kind,
        entry_.requested,
        entry_.answer,
        entry_.was_absent,
        entry_.absent_at_ms,
        entry_.needs_person,
        entry_.tran_id,
        entry_.clock_refusals,
        min(entry_.looks, 1),
        sum(e.source == "refusal" for e in entry_.evidence),
        entry_.attempt is None,
    )


Step = tuple[Entry, Event, Entry, Action | None, int]


def every_step(policy: Policy) -> Iterator[Step]:
    """Every step from QUEUED on that some order of events can bring about."""
    frontier = [
        (entry(kind=kind, amount=amount, deadline_ms=NOW_MS + DAY_MS), NOW_MS)
        for kind, amount in ((Kind.BORROW, "100"), (Kind.REPAY, "100"), (Kind.REPAY, "all"))
    ]
    seen = {shape(start) for start, _ in frontier}
    while frontier:
        before, at_ms = frontier.pop()
        for event, wait_ms in alphabet():
            if type(event) not in LEGAL[before.state]:
                continue
            if before.needs_person and isinstance(event, LookedUp | LookUpFailed):
                continue
            now_ms = at_ms + wait_ms
            after, action = advance(before, event, policy, now_ms)
            yield before, event, after, action, now_ms
            if shape(after) not in seen:
                seen.add(shape(after))
                frontier.append((after, now_ms))


STEPS = [*every_step(POLICY), *every_step(BY_RECORD)]


def test_moves_lists_exactly_what_the_rules_can_do() -> None:
    made = {(before.state, after.state) for before, _, after, _, _ in STEPS}
    listed = {(source, target) for source, targets in MOVES.items() for target in targets}
    assert {move for move in made if move[0] is not move[1]} == listed


def test_every_state_can_be_reached() -> None:
    assert {after.state for _, _, after, _, _ in STEPS} | {State.QUEUED} == set(State)


def test_every_change_is_the_next_version_and_no_change_is_the_same_entry() -> None:
    for before, event, after, _, _ in STEPS:
        assert after is before or after.version == before.version + 1, (before.state, event)


def test_only_starting_leaves_an_entry_as_it_was() -> None:
    for before, event, after, _, _ in STEPS:
        if after is before:
            assert isinstance(event, Started), before.state
            assert before.state in UNDECIDED


def test_the_action_follows_from_where_the_entry_then_stands() -> None:
    allowed: dict[State, tuple[type, ...]] = {
        State.QUEUED: (Hold, Release, PutBack),
        State.SENT: (Send,),
        **dict.fromkeys(UNDECIDED, (Settle,)),
        **dict.fromkeys(FINAL, (Finish, StopAccount)),
    }
    for _, event, after, action, _ in STEPS:
        if isinstance(event, Contradicted | Advised | Remarked):
            assert action is None
        else:
            assert isinstance(action, allowed[after.state]), (event, after.state, action)


def test_an_entry_is_finished_exactly_while_it_is_final() -> None:
    for before, event, after, _, now_ms in STEPS:
        ends_ms = before.finished_at_ms if before.is_final else now_ms
        assert after.finished_at_ms == (ends_ms if after.is_final else None), (event, after.state)


def test_an_attempt_is_in_the_air_exactly_while_the_entry_is_sent() -> None:
    for _, event, after, _, _ in STEPS:
        in_air = after.attempt is not None and after.attempt.outcome is Outcome.IN_AIR
        assert in_air == (after.state is State.SENT), (event, after.state)
        if after.attempt is not None:
            assert (after.attempt.ended_at_ms is None) == in_air


def test_a_transaction_id_is_held_exactly_where_the_exchange_has_given_one() -> None:
    for _, event, after, _, _ in STEPS:
        if after.state in {State.CONFIRMED, State.ACCEPTED}:
            assert after.tran_id == TRAN_ID, event
        elif after.state not in {State.UNRESOLVED, State.REJECTED}:
            assert after.tran_id is None, (event, after.state)


def test_what_is_confirmed_carries_no_refusal() -> None:
    for before, event, after, _, _ in STEPS:
        if after.state is State.CONFIRMED:
            assert after.answer is None, (before.state, event)


def test_what_is_undecided_is_looked_at_again_unless_it_needs_a_person() -> None:
    for _, event, after, _, now_ms in STEPS:
        if after.state not in UNDECIDED or isinstance(event, Started):
            continue
        if after.needs_person:
            assert after.look_not_before_ms is None, event
        else:
            assert after.look_not_before_ms is not None, event
            assert now_ms < after.look_not_before_ms <= now_ms + 60_000, event


def test_evidence_is_only_ever_added() -> None:
    for before, event, after, _, _ in STEPS:
        assert after.evidence[: len(before.evidence)] == before.evidence, event


def test_whatever_ends_says_on_what_evidence() -> None:
    for before, event, after, _, _ in STEPS:
        if after.is_final and not isinstance(event, Advised):
            assert len(after.evidence) > len(before.evidence), (before.state, event)


def test_not_executed_is_never_said_without_a_look_or_a_person() -> None:
    for before, event, after, _, _ in STEPS:
        if after.state is State.NOT_EXECUTED and before.state in UNDECIDED:
            assert isinstance(event, LookedUp | Resolved)
            if isinstance(event, LookedUp):
                assert event.is_trusted
                assert event.as_of_ms > BOUND_MS
                assert before.absent_at_ms is not None


@UNHURRIED
@given(st.lists(st.sampled_from(list(alphabet())), max_size=30), st.sampled_from(Kind))
def test_no_order_of_events_breaks_the_rules(events: list[tuple[Event, int]], kind: Kind) -> None:
    now, now_ms = entry(kind=kind), NOW_MS
    for event, wait_ms in events:
        if type(event) not in LEGAL[now.state]:
            continue
        if now.needs_person and isinstance(event, LookedUp | LookUpFailed):
            continue
        now_ms += wait_ms
        after, _ = advance(now, event, POLICY, now_ms)
        assert after.state is now.state or after.state in MOVES[now.state]
        assert not now.is_final or after.state in {now.state, State.UNKNOWN}
        now = after


# Looks before sending


def test_what_a_look_said_of_the_amount_is_kept_as_evidence() -> None:
    after, _ = advance(entry(), Chosen(attempt(), "owed 100"), POLICY, NOW_MS)
    assert [(e.source, e.detail) for e in after.evidence] == [("account", "owed 100")]


def test_what_the_last_look_said_too_is_not_said_again() -> None:
    start = entry(kind=Kind.REPAY, amount="all")
    twice = live(
        start,
        (Chosen(attempt(), "owed 100"), NOW_MS),
        (BUSY, NOW_MS + 100),
        (Chosen(attempt(number=2), "owed 100"), NOW_MS + 300),
    )
    assert len(twice.evidence) == 1


def test_looks_that_fail_back_off_and_are_noted_once() -> None:
    now, now_ms, waits = entry(kind=Kind.REPAY, amount="all"), NOW_MS, []
    for _ in range(9):
        now, _ = advance(now, Unmeasured("HTTP 500"), POLICY, now_ms)
        assert now.look_not_before_ms is not None
        waits.append(now.look_not_before_ms - now_ms)
        now_ms = now.look_not_before_ms
    assert waits == [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
    assert len(now.evidence) == 1


def test_a_look_that_succeeds_ends_the_back_off() -> None:
    failed = live(entry(), (Unmeasured("HTTP 500"), NOW_MS))
    after, _ = advance(failed, Chosen(attempt()), POLICY, NOW_MS + 600)
    assert (after.looks, after.look_not_before_ms) == (0, None)


def test_an_amount_that_was_looked_up_is_looked_up_again_three_times_at_most() -> None:
    now = entry(kind=Kind.REPAY, amount="all")
    states = []
    for number in range(1, 5):
        now = live(now, (Chosen(attempt(number=number)), NOW_MS), (EXCEEDING, NOW_MS + 100))
        states.append(now.state)
    assert states == [State.QUEUED, State.QUEUED, State.QUEUED, State.REJECTED]
    assert (now.code, now.name) == (-3015, "REPAY_EXCEED_LIABILITY")


def test_what_is_left_after_at_most_an_amount_is_what_was_asked_for() -> None:
    asked = revised(entry(State.SENT, kind=Kind.REPAY).submission, at_most=True)
    sent = revised(entry(State.SENT, kind=Kind.REPAY), submission=asked)
    assert advance(sent, DUST, POLICY, NOW_MS)[0].state is State.REJECTED
    assert advance(sent, EXCEEDING, POLICY, NOW_MS)[0].state is State.QUEUED


def test_advice_takes_the_place_of_the_general_one() -> None:
    rejected, _ = advance(entry(State.SENT), TERMINAL, POLICY, NOW_MS)
    after, _ = advance(rejected, Advised("at most 5"), POLICY, NOW_MS + 300)
    assert (after.advice, after.finished_at_ms) == ("at most 5", rejected.finished_at_ms)


# Sending


def test_a_chosen_entry_carries_its_attempt_and_counts_it() -> None:
    minted = attempt(number=3)
    after, _ = advance(revised(entry(), attempts=2), Chosen(minted), POLICY, NOW_MS)
    assert (after.attempt, after.attempts) == (minted, 3)


def test_an_attempt_that_never_left_is_not_counted() -> None:
    after, _ = advance(entry(State.SENT), NotSent("refused"), POLICY, NOW_MS + 3)
    assert after.attempts == 0
    assert after.attempt == attempt(outcome=Outcome.NEVER_LEFT, ended_at_ms=NOW_MS + 3)


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        pytest.param(Accepted(TRAN_ID), Outcome.ANSWERED, id="accepted"),
        pytest.param(TERMINAL, Outcome.ANSWERED, id="refused for good"),
        pytest.param(BUSY, Outcome.ANSWERED, id="refused for now"),
        pytest.param(LIMITED, Outcome.ANSWERED, id="refused for weight"),
        pytest.param(ClaimRefused(TRAN_ID, "k9"), Outcome.ANSWERED, id="another's id"),
        pytest.param(Lost("reset"), Outcome.LOST, id="lost"),
        pytest.param(Started(), Outcome.LOST, id="died"),
        pytest.param(NotSent("refused"), Outcome.NEVER_LEFT, id="never left"),
    ],
)
def test_the_end_of_an_attempt_is_kept_with_its_time(event: Event, outcome: Outcome) -> None:
    after, _ = advance(entry(State.SENT), event, POLICY, NOW_MS + 77)
    assert after.attempt == attempt(outcome=outcome, ended_at_ms=NOW_MS + 77)
    assert after.attempts == (0 if outcome is Outcome.NEVER_LEFT else 1)


def test_a_refusal_is_kept_word_for_word() -> None:
    said = Answer(code=-3006, name="EXCEED_MAX_BORROWABLE", message="Your borrow amount ...")
    after, _ = advance(entry(State.SENT), Refused(said, Disposition.TERMINAL), POLICY, NOW_MS)
    assert after.answer == said


@pytest.mark.parametrize("code", [-3006, -3012, -3013, -3015, -3016, -3024, -3045])
def test_a_refusal_comes_with_the_advice_of_its_row(code: int) -> None:
    row = refusals.TABLE[code]
    after, _ = advance(entry(State.SENT), refused(code, row.disposition), POLICY, NOW_MS)
    assert after.advice == row.advice


def test_running_out_of_time_passes_the_last_refusal_through() -> None:
    after = live(
        entry(State.SENT),
        (BUSY, NOW_MS + 100),
        (Chosen(attempt(number=2)), NOW_MS + 200),
        (STARVED, NOW_MS + 300),
        (DeadlinePassed(), NOW_MS + 9_000),
    )
    assert (after.state, after.answer) == (State.REJECTED, STARVED.answer)


def test_expired_means_that_nothing_ever_left() -> None:
    after = live(
        entry(State.SENT), (NotSent("refused"), NOW_MS), (DeadlinePassed(), NOW_MS + 9_000)
    )
    assert (after.state, after.attempts) == (State.EXPIRED, 0)


def test_only_refusals_for_the_clock_count_as_such() -> None:
    now = entry()
    for number in range(1, 9):
        event = CLOCK if number % 2 else BUSY
        now = live(now, (Chosen(attempt(number=number)), NOW_MS), (event, NOW_MS + 50))
    assert (now.state, now.clock_refusals) == (State.QUEUED, 4)


def test_a_lost_answer_forgets_the_refusal_before_it() -> None:
    sent = revised(entry(State.SENT), answer=BUSY.answer)
    assert advance(sent, Lost("reset"), POLICY, NOW_MS)[0].answer is None


def test_dying_in_the_air_forgets_the_refusal_before_it() -> None:
    sent = revised(entry(State.SENT), answer=BUSY.answer)
    assert advance(sent, Started(), POLICY, NOW_MS)[0].answer is None


def test_a_lost_answer_keeps_the_code_that_says_nobody_knows() -> None:
    said = Answer(code=-1007, name="TIMEOUT", message="Timeout waiting for response")
    after, _ = advance(entry(State.SENT), Lost("HTTP 504", said), POLICY, NOW_MS)
    assert (after.state, after.code) == (State.UNKNOWN, -1007)


def test_a_lost_answer_is_looked_for_half_a_second_later() -> None:
    assert unknown().look_not_before_ms == NOW_MS + 100 + POLICY.look_wait_ms


# Proving absence


@pytest.mark.parametrize(
    ("as_of_ms", "counts"),
    [
        pytest.param(NOW_MS + 700, False, id="at once"),
        pytest.param(FENCE_MS, False, id="at the fence"),
        pytest.param(FENCE_MS + 1, False, id="just past the fence"),
        pytest.param(FENCE_MS + P_MS, False, id="at the end of processing"),
        pytest.param(FENCE_MS + P_MS + 1, False, id="just past processing"),
        pytest.param(BOUND_MS - 1, False, id="a millisecond before T+W+P+V"),
        pytest.param(BOUND_MS, False, id="at T+W+P+V"),
        pytest.param(BOUND_MS + 1, True, id="a millisecond past T+W+P+V"),
        pytest.param(BOUND_MS + DAY_MS, True, id="a day later"),
    ],
)
def test_a_missing_record_means_something_only_past_fence_processing_and_visibility(
    as_of_ms: int, counts: bool
) -> None:
    after, _ = advance(unknown(), look(as_of_ms=as_of_ms), POLICY, as_of_ms)
    assert after.state is State.UNKNOWN
    assert after.absent_at_ms == (as_of_ms if counts else None)


def test_what_counts_is_the_time_before_the_look_and_not_when_it_came_back() -> None:
    after, _ = advance(unknown(), look(as_of_ms=BOUND_MS), POLICY, BOUND_MS + 10_000)
    assert after.absent_at_ms is None


def test_the_bound_follows_the_attempts_own_recv_window() -> None:
    wide = live(
        entry(), (Chosen(attempt(recv_window_ms=60_000)), NOW_MS), (Lost("reset"), NOW_MS + 100)
    )
    early, _ = advance(wide, look(as_of_ms=NOW_MS + 85_000), POLICY, NOW_MS + 85_000)
    late, _ = advance(wide, look(as_of_ms=NOW_MS + 85_001), POLICY, NOW_MS + 85_001)
    assert (early.absent_at_ms, late.absent_at_ms) == (None, NOW_MS + 85_001)


@pytest.mark.parametrize(
    ("apart_ms", "state"),
    [
        pytest.param(0, State.UNKNOWN, id="at the same time"),
        pytest.param(1, State.UNKNOWN, id="a millisecond apart"),
        pytest.param(APART_MS - 1, State.UNKNOWN, id="a millisecond short of 2 s apart"),
        pytest.param(APART_MS, State.NOT_EXECUTED, id="2 s apart"),
        pytest.param(MINUTE_MS, State.NOT_EXECUTED, id="a minute apart"),
    ],
)
def test_absence_takes_two_looks_two_seconds_apart(apart_ms: int, state: State) -> None:
    second_ms = BOUND_MS + 1 + apart_ms
    after, _ = advance(absent_once(), look(as_of_ms=second_ms), POLICY, second_ms)
    assert after.state is state


def test_one_look_is_never_enough_however_late_it_is() -> None:
    after, action = advance(unknown(), look(as_of_ms=BOUND_MS + DAY_MS), POLICY, BOUND_MS + DAY_MS)
    assert (after.state, action) == (State.UNKNOWN, Settle())


def test_the_second_look_is_set_two_seconds_after_the_first() -> None:
    assert absent_once().look_not_before_ms == BOUND_MS + 1 + APART_MS


def test_while_nothing_can_be_concluded_the_first_look_past_the_bound_is_not_missed() -> None:
    after, _ = advance(unknown(), look(as_of_ms=BOUND_MS - 300), POLICY, BOUND_MS - 300)
    assert after.look_not_before_ms == BOUND_MS + 1


def test_both_looks_are_kept_as_evidence() -> None:
    after, _ = absent_twice(Kind.BORROW)
    seen = [e.at_ms for e in after.evidence if e.source == "look"]
    assert seen == [BOUND_MS + 1, BOUND_MS + 1 + APART_MS]


def test_an_attempt_of_an_earlier_process_counts_from_when_this_one_knew_the_time() -> None:
    known_since_ms = NOW_MS + W_MS + 4_000
    bound_ms = known_since_ms + P_MS + V_MS
    early = look(as_of_ms=bound_ms, known_since_ms=known_since_ms)
    after, _ = advance(unknown(), early, POLICY, bound_ms)
    assert (after.absent_at_ms, after.look_not_before_ms) == (None, bound_ms + 1)
    late = look(as_of_ms=bound_ms + 1, known_since_ms=known_since_ms)
    after, _ = advance(unknown(), late, POLICY, bound_ms + 1)
    assert after.absent_at_ms == bound_ms + 1


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(look(as_of_ms=BOUND_MS + 3_000, is_trusted=False), id="the clock in doubt"),
        pytest.param(LookUpFailed("HTTP 500"), id="a look that failed"),
    ],
)
def test_what_says_nothing_is_no_second_look(between: Event) -> None:
    after, action = advance(absent_once(), between, POLICY, BOUND_MS + 3_000)
    assert (after.state, action) == (State.UNKNOWN, Settle())


@pytest.mark.parametrize("count", [1, 2, 5])
def test_looks_by_a_clock_in_doubt_never_prove_absence(count: int) -> None:
    now = unknown()
    for number in range(count):
        at_ms = BOUND_MS + 1 + number * 5_000
        now, _ = advance(now, look(as_of_ms=at_ms, is_trusted=False), POLICY, at_ms)
    assert (now.state, now.absent_at_ms) == (State.UNKNOWN, None)


def test_looks_that_fail_never_prove_absence() -> None:
    now = unknown()
    for number in range(10):
        now, _ = advance(now, LookUpFailed("no route"), POLICY, BOUND_MS + number * 10_000)
    assert (now.state, now.absent_at_ms) == (State.UNKNOWN, None)


def test_a_record_that_turns_up_between_the_two_looks_confirms() -> None:
    after, _ = advance(absent_once(), look(record(TRAN_ID)), POLICY, BOUND_MS + 9_000)
    assert (after.state, after.tran_id) == (State.CONFIRMED, TRAN_ID)


def test_a_pending_record_between_the_two_looks_starts_the_count_anew() -> None:
    pending = live(absent_once(), (look(record(TRAN_ID, status="PENDING")), BOUND_MS + 4_000))
    assert pending.absent_at_ms is None
    after, _ = advance(pending, look(as_of_ms=BOUND_MS + 9_000), POLICY, BOUND_MS + 9_000)
    assert (after.state, after.absent_at_ms) == (State.UNKNOWN, BOUND_MS + 9_000)


def test_a_confirmed_record_settles_before_the_fence() -> None:
    after, _ = advance(unknown(), look(record(TRAN_ID), as_of_ms=NOW_MS), POLICY, NOW_MS + 200)
    assert (after.state, after.tran_id) == (State.CONFIRMED, TRAN_ID)


def test_a_confirmed_record_settles_whatever_the_clock_is_worth() -> None:
    found = look(record(TRAN_ID), as_of_ms=NOW_MS, is_trusted=False)
    assert advance(unknown(), found, POLICY, NOW_MS + 200)[0].state is State.CONFIRMED


@pytest.mark.parametrize("kind", Kind)
def test_a_failed_record_is_not_executed_but_only_past_the_bound_and_seen_twice(
    kind: Kind,
) -> None:
    failed = record(TRAN_ID, status="FAILED", kind=kind)
    early = live(unknown(kind), (look(failed, as_of_ms=BOUND_MS), BOUND_MS))
    assert (early.state, early.absent_at_ms) == (State.UNKNOWN, None)
    once = live(early, (look(failed), BOUND_MS + 1))
    assert once.state is State.UNKNOWN
    at_ms = BOUND_MS + 1 + APART_MS
    after, action = advance(once, look(failed, as_of_ms=at_ms), POLICY, at_ms)
    assert (after.state, after.tran_id, action) == (State.NOT_EXECUTED, None, Finish())


def test_a_pending_record_is_waited_for_past_the_bound() -> None:
    now = unknown()
    for number in range(5):
        at_ms = BOUND_MS + 1 + number * 3_000
        pending = look(record(TRAN_ID, status="PENDING"), as_of_ms=at_ms)
        now, _ = advance(now, pending, POLICY, at_ms)
    assert (now.state, now.tran_id) == (State.UNKNOWN, None)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param((record(1), record(2)), id="both confirmed"),
        pytest.param((record(1), record(2, status="FAILED")), id="one failed"),
        pytest.param((record(1), record(2, status="PENDING")), id="one pending"),
        pytest.param((record(1, status="FAILED"), record(2, status="FAILED")), id="both failed"),
        pytest.param((record(1), record(2), record(3)), id="three"),
    ],
)
def test_several_records_that_fit_need_a_person(seen: tuple[Transaction, ...]) -> None:
    after, _ = advance(unknown(), look(*seen), POLICY, BOUND_MS + 1)
    assert (after.state, after.needs_person, after.look_not_before_ms) == (
        State.UNRESOLVED,
        True,
        None,
    )
    assert all(str(row.tran_id) in after.evidence[-1].detail for row in seen)


@pytest.mark.parametrize("status", ["CONFIRMED", "PENDING", "FAILED"])
def test_where_others_use_the_account_a_record_that_fits_needs_a_person(status: str) -> None:
    found = look(record(TRAN_ID, status=status), is_exclusive=False)
    after, _ = advance(unknown(), found, POLICY, BOUND_MS + 1)
    assert (after.state, after.needs_person, after.tran_id) == (State.UNRESOLVED, True, None)


def test_where_others_use_the_account_absence_is_still_absence() -> None:
    now = live(unknown(), (look(is_exclusive=False), BOUND_MS + 1))
    at_ms = BOUND_MS + 1 + APART_MS
    after, _ = advance(now, look(as_of_ms=at_ms, is_exclusive=False), POLICY, at_ms)
    assert after.state is State.NOT_EXECUTED


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(look(record(TRAN_ID), claimed=frozenset({TRAN_ID})), id="claimed by another"),
        pytest.param(look(record(TRAN_ID, amount="99")), id="another amount"),
        pytest.param(look(record(TRAN_ID, kind=Kind.REPAY)), id="the other kind"),
        pytest.param(look(record(TRAN_ID, origin="AUTO")), id="an order's"),
        pytest.param(look(record(TRAN_ID, timestamp_ms=NOW_MS - 1_001)), id="too early"),
    ],
)
def test_a_record_that_cannot_be_ours_counts_as_none(found: LookedUp) -> None:
    after, _ = advance(unknown(), found, POLICY, BOUND_MS + 1)
    assert (after.state, after.absent_at_ms) == (State.UNKNOWN, BOUND_MS + 1)


def test_another_submissions_record_does_not_make_two_of_one() -> None:
    found = look(record(1), record(2), claimed=frozenset({1}))
    after, _ = advance(unknown(), found, POLICY, NOW_MS + 700)
    assert (after.state, after.tran_id) == (State.CONFIRMED, 2)


# After proven absence


def test_a_borrow_that_is_absent_ends_not_executed() -> None:
    after, action = absent_twice(Kind.BORROW)
    assert (after.state, action, after.was_absent) == (State.NOT_EXECUTED, Finish(), True)


def test_a_repayment_that_is_absent_goes_again() -> None:
    after, action = absent_twice(Kind.REPAY)
    assert (after.state, action, after.was_absent) == (State.QUEUED, Release(), True)
    assert (after.looks, after.absent_at_ms, after.look_not_before_ms) == (0, None, None)


SECOND_MS = BOUND_MS + 1 + APART_MS


@pytest.mark.parametrize(
    ("deadline_ms", "state"),
    [
        pytest.param(SECOND_MS + 1, State.QUEUED, id="a millisecond is left"),
        pytest.param(SECOND_MS, State.NOT_EXECUTED, id="at the deadline"),
        pytest.param(SECOND_MS - 1, State.NOT_EXECUTED, id="past it"),
    ],
)
def test_a_repayment_goes_again_only_within_its_time(deadline_ms: int, state: State) -> None:
    assert absent_twice(Kind.REPAY, deadline_ms=deadline_ms)[0].state is state


@pytest.mark.parametrize(
    ("resends", "kind", "state"),
    [
        pytest.param({Kind.BORROW}, Kind.BORROW, State.QUEUED, id="borrows, and it is one"),
        pytest.param({Kind.BORROW}, Kind.REPAY, State.NOT_EXECUTED, id="borrows only"),
        pytest.param(set(), Kind.REPAY, State.NOT_EXECUTED, id="nothing"),
        pytest.param(set(Kind), Kind.BORROW, State.QUEUED, id="everything"),
    ],
)
def test_which_kinds_go_again_is_policy(resends: set[Kind], kind: Kind, state: State) -> None:
    policy = replace(POLICY, resends=frozenset(resends))
    assert absent_twice(kind, policy=policy)[0].state is state


def test_a_resent_repayment_that_runs_out_of_time_is_not_executed() -> None:
    resent, _ = absent_twice(Kind.REPAY)
    after, _ = advance(resent, DeadlinePassed(), POLICY, NOW_MS + DAY_MS)
    assert (after.state, after.answer) == (State.NOT_EXECUTED, None)


def test_a_refusal_before_the_absent_attempt_is_not_passed_through() -> None:
    now = live(
        entry(kind=Kind.REPAY),
        (Chosen(attempt(timestamp_ms=NOW_MS - 500)), NOW_MS - 500),
        (BUSY, NOW_MS - 400),
        (Chosen(attempt(number=2)), NOW_MS),
        (Lost("reset"), NOW_MS + 100),
        (look(), BOUND_MS + 1),
        (look(as_of_ms=SECOND_MS), SECOND_MS),
        (DeadlinePassed(), NOW_MS + DAY_MS),
    )
    assert (now.state, now.answer) == (State.NOT_EXECUTED, None)


def test_a_code_that_said_nobody_knows_is_not_passed_through_once_that_is_known() -> None:
    said = Answer(code=-1007, name="TIMEOUT", message="Timeout waiting for response")
    now = live(
        entry(State.SENT, kind=Kind.REPAY),
        (Lost("code -1007", said), NOW_MS + 100),
        (look(), BOUND_MS + 1),
        (look(as_of_ms=SECOND_MS), SECOND_MS),
        (DeadlinePassed(), NOW_MS + DAY_MS),
    )
    assert (now.state, now.answer) == (State.NOT_EXECUTED, None)


def test_a_resent_repayment_that_is_then_refused_passes_that_refusal_through() -> None:
    resent, _ = absent_twice(Kind.REPAY)
    after = live(resent, (Chosen(attempt(number=2)), SECOND_MS + 5), (TERMINAL, SECOND_MS + 90))
    assert (after.state, after.answer) == (State.REJECTED, TERMINAL.answer)


def test_a_resent_repayment_can_be_cancelled() -> None:
    resent, _ = absent_twice(Kind.REPAY)
    assert live(resent, (CancelRequested(), SECOND_MS + 5)).state is State.CANCELLED


def test_each_resend_is_proven_absent_by_itself() -> None:
    resent, _ = absent_twice(Kind.REPAY)
    again = attempt(number=2, timestamp_ms=SECOND_MS + 100)
    now = live(resent, (Chosen(again), SECOND_MS + 100), (Lost("reset"), SECOND_MS + 200))
    late_ms = again.fence_ms + P_MS + V_MS
    after, _ = advance(now, look(as_of_ms=late_ms), POLICY, late_ms)
    assert (now.looks, now.absent_at_ms, after.absent_at_ms) == (0, None, None)


# Giving up, for the time being


def search(
    start: Entry, event: Callable[[int], Event], until_ms: int, policy: Policy = POLICY
) -> tuple[Entry, list[int]]:
    """Looks whenever one is set until `until_ms`; the entry, and when the looks were."""
    looks: list[int] = []
    now = start
    while now.look_not_before_ms is not None and now.look_not_before_ms <= until_ms:
        at_ms = now.look_not_before_ms
        looks.append(at_ms)
        now, _ = advance(now, event(at_ms), policy, at_ms)
    return now, looks


def failing(_: int) -> Event:
    return LookUpFailed("no route")


def test_failed_looks_back_off_from_one_second_to_a_minute() -> None:
    _, looks = search(unknown(), failing, BOUND_MS + 6 * MINUTE_MS)
    past = [at_ms for at_ms in looks if at_ms > BOUND_MS]
    waits = [later - sooner for sooner, later in pairwise(past)]
    assert waits == sorted(waits)
    assert waits[-1] == 60_000
    first = [later - sooner for sooner, later in pairwise(looks)][:4]
    assert first == [1_000, 2_000, 4_000, 8_000]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        pytest.param(failing, "no route", id="looks fail"),
        pytest.param(
            lambda at_ms: look(as_of_ms=at_ms, is_trusted=False), "no record", id="clock in doubt"
        ),
        pytest.param(
            lambda at_ms: look(record(7, status="PENDING"), as_of_ms=at_ms),
            "txId 7 pending",
            id="pending for ever",
        ),
    ],
)
def test_what_stays_open_for_a_quarter_of_an_hour_is_unresolved(
    event: Callable[[int], Event], why: str
) -> None:
    patience_ms = NOW_MS + 100 + 15 * MINUTE_MS
    before, _ = search(unknown(), event, patience_ms - 1)
    assert before.state is State.UNKNOWN
    after, _ = search(before, event, patience_ms + MINUTE_MS)
    assert (after.state, after.needs_person) == (State.UNRESOLVED, False)
    assert after.look_not_before_ms is not None
    assert why in after.evidence[-1].detail


@pytest.mark.parametrize(
    ("after_ms", "state"),
    [
        pytest.param(15 * MINUTE_MS - 1, State.UNKNOWN, id="a millisecond short"),
        pytest.param(15 * MINUTE_MS, State.UNRESOLVED, id="exactly"),
    ],
)
def test_a_quarter_of_an_hour_is_counted_from_the_loss(after_ms: int, state: State) -> None:
    at_ms = NOW_MS + 100 + after_ms
    assert advance(unknown(), failing(at_ms), POLICY, at_ms)[0].state is state


def unresolved(kind: Kind) -> Entry:
    at_ms = NOW_MS + 16 * MINUTE_MS
    stuck, _ = advance(unknown(kind), failing(at_ms), POLICY, at_ms)
    assert stuck.state is State.UNRESOLVED
    return stuck


@pytest.mark.parametrize(
    ("kind", "state"), [(Kind.BORROW, State.NOT_EXECUTED), (Kind.REPAY, State.QUEUED)]
)
def test_evidence_of_absence_still_finishes_what_is_unresolved(kind: Kind, state: State) -> None:
    at_ms = NOW_MS + 20 * MINUTE_MS
    now = live(unresolved(kind), (look(as_of_ms=at_ms), at_ms))
    assert now.state is State.UNRESOLVED
    assert live(now, (look(as_of_ms=at_ms + 2_000), at_ms + 2_000)).state is state


def test_what_is_unresolved_is_said_once_however_long_it_is_looked_at() -> None:
    stuck = unresolved(Kind.BORROW)
    after, looks = search(stuck, failing, NOW_MS + DAY_MS)
    assert len(looks) > 1_000
    assert after.evidence == stuck.evidence


@pytest.mark.parametrize("before", [unknown(), entry(State.ACCEPTED)], ids=["lost", "accepted"])
def test_time_in_which_nobody_looked_is_not_counted(before: Entry) -> None:
    back_ms = NOW_MS + DAY_MS
    now = live(before, (Started(), back_ms), (LookUpFailed("no route"), back_ms + 1_000))
    assert now.state is before.state


def test_a_look_that_can_prove_absence_is_no_reason_to_give_up() -> None:
    late_ms = NOW_MS + 60 * MINUTE_MS
    after, _ = advance(unknown(), look(as_of_ms=late_ms), POLICY, late_ms)
    assert after.state is State.UNKNOWN


# confirm = "record"


def accepted() -> Entry:
    return live(
        entry(), (Chosen(attempt()), NOW_MS), (Accepted(TRAN_ID), NOW_MS + 100), policy=BY_RECORD
    )


def test_an_accepted_one_has_its_id_and_is_not_finished() -> None:
    now = accepted()
    assert (now.state, now.tran_id, now.finished_at_ms) == (State.ACCEPTED, TRAN_ID, None)
    assert now.look_not_before_ms == NOW_MS + 600


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(look(), id="no record"),
        pytest.param(look(as_of_ms=NOW_MS + 9 * MINUTE_MS), id="no record, long after the bound"),
        pytest.param(look(record(TRAN_ID, status="PENDING")), id="pending"),
        pytest.param(look(record(TRAN_ID, status="NEW_STATUS")), id="a status not seen before"),
        pytest.param(look(record(TRAN_ID + 1)), id="an equal record of another id"),
        pytest.param(look(record(TRAN_ID + 1, status="FAILED")), id="another's failure"),
    ],
)
def test_an_accepted_one_waits_for_its_own_record(found: LookedUp) -> None:
    after, action = advance(accepted(), found, BY_RECORD, NOW_MS + 9 * MINUTE_MS)
    assert (after.state, after.tran_id, action) == (State.ACCEPTED, TRAN_ID, Settle())


def test_an_accepted_one_is_known_by_its_id_and_by_nothing_else() -> None:
    row = record(TRAN_ID, amount="99.9", timestamp_ms=NOW_MS + 90_000, origin="AUTO")
    assert advance(accepted(), look(row), BY_RECORD, NOW_MS + 700)[0].state is State.CONFIRMED


@pytest.mark.parametrize(
    ("after_ms", "state"),
    [
        pytest.param(10 * MINUTE_MS - 1, State.ACCEPTED, id="a millisecond short"),
        pytest.param(10 * MINUTE_MS, State.UNRESOLVED, id="exactly"),
    ],
)
def test_ten_minutes_without_a_record_leave_an_accepted_one_unresolved(
    after_ms: int, state: State
) -> None:
    at_ms = NOW_MS + 100 + after_ms
    after, _ = advance(accepted(), look(as_of_ms=at_ms), BY_RECORD, at_ms)
    assert (after.state, after.tran_id, after.needs_person) == (state, TRAN_ID, False)
    assert after.look_not_before_ms is not None


@pytest.mark.parametrize(
    ("after_ms", "state"),
    [
        pytest.param(10 * MINUTE_MS, State.ACCEPTED, id="ten minutes"),
        pytest.param(15 * MINUTE_MS, State.UNRESOLVED, id="fifteen minutes"),
    ],
)
def test_looks_that_fail_are_borne_longer_than_looks_that_find_nothing(
    after_ms: int, state: State
) -> None:
    at_ms = NOW_MS + 100 + after_ms
    assert advance(accepted(), failing(at_ms), BY_RECORD, at_ms)[0].state is state


def test_a_failed_record_behind_an_acknowledgement_is_a_rejection_with_its_id() -> None:
    failed = look(record(TRAN_ID, status="FAILED"))
    after, _ = advance(accepted(), failed, BY_RECORD, NOW_MS + 700)
    assert (after.state, after.tran_id) == (State.REJECTED, TRAN_ID)
    assert "FAILED" in after.evidence[-1].detail


# Who holds a transaction


@pytest.mark.parametrize(
    ("held", "matched"),
    [
        pytest.param(
            live(unknown(), (look(record(TRAN_ID)), NOW_MS + 700)), True, id="found by a look"
        ),
        pytest.param(
            live(entry(State.SENT), (Started(), NOW_MS + 5), (look(record(TRAN_ID)), NOW_MS + 700)),
            True,
            id="found after a restart",
        ),
        pytest.param(
            live(unknown(), (Resolved(State.CONFIRMED, TRAN_ID, "because"), BOUND_MS)),
            True,
            id="named by a person",
        ),
        pytest.param(
            live(entry(State.SENT), (Accepted(TRAN_ID), NOW_MS + 100)), False, id="answered"
        ),
        pytest.param(accepted(), False, id="answered, its record awaited"),
        pytest.param(
            live(accepted(), (look(record(TRAN_ID)), NOW_MS + 700), policy=BY_RECORD),
            False,
            id="answered, and its record seen",
        ),
        pytest.param(unknown(), False, id="holds none"),
        pytest.param(absent_twice(Kind.BORROW)[0], False, id="proven absent"),
    ],
)
def test_an_id_is_matched_unless_the_exchange_gave_it_in_a_reply(
    held: Entry, matched: bool
) -> None:
    assert was_matched(held) is matched


def test_an_answer_after_a_lost_attempt_is_an_answer() -> None:
    resent, _ = absent_twice(Kind.REPAY)
    answered = live(
        resent, (Chosen(attempt(number=2)), SECOND_MS), (Accepted(TRAN_ID), SECOND_MS + 90)
    )
    assert answered.state is State.CONFIRMED
    assert not was_matched(answered)


def test_losing_its_claim_sends_a_matched_entry_back_to_looking() -> None:
    matched = live(unknown(), (look(record(TRAN_ID)), NOW_MS + 700))
    after, action = advance(matched, ClaimLost("k9"), POLICY, NOW_MS + 5_000)
    assert (after.state, after.tran_id, after.finished_at_ms) == (State.UNKNOWN, None, None)
    assert (after.look_not_before_ms, after.looks) == (NOW_MS + 5_500, 0)
    assert "k9" in after.evidence[-1].detail
    assert action == Settle()


def test_the_record_that_was_lost_to_another_does_not_match_again() -> None:
    matched = live(unknown(), (look(record(TRAN_ID)), NOW_MS + 700))
    taken = frozenset({TRAN_ID})
    after = live(
        matched,
        (ClaimLost("k9"), NOW_MS + 5_000),
        (look(record(TRAN_ID), claimed=taken), BOUND_MS + 1),
        (look(record(TRAN_ID), claimed=taken, as_of_ms=SECOND_MS), SECOND_MS),
    )
    assert after.state is State.NOT_EXECUTED


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(
            live(entry(State.SENT), (Accepted(TRAN_ID), NOW_MS + 100)), id="confirmed by a reply"
        ),
        pytest.param(absent_twice(Kind.BORROW)[0], id="proven absent"),
    ],
)
def test_a_record_that_says_otherwise_is_kept_and_takes_nothing_back(told: Entry) -> None:
    after, action = advance(told, Contradicted("txId 7 says otherwise"), POLICY, NOW_MS + DAY_MS)
    assert (after.state, after.tran_id, after.finished_at_ms, action) == (
        told.state,
        told.tran_id,
        told.finished_at_ms,
        None,
    )
    assert (after.evidence[-1].source, after.evidence[-1].detail) == (
        "record",
        "txId 7 says otherwise",
    )
    assert after.version == told.version + 1


def test_a_refused_claim_names_the_holder_and_waits_for_a_person() -> None:
    after, _ = advance(entry(State.SENT), ClaimRefused(TRAN_ID, "k9"), POLICY, NOW_MS + 100)
    assert (after.state, after.needs_person, after.tran_id) == (State.UNRESOLVED, True, None)
    assert str(TRAN_ID) in after.evidence[-1].detail
    assert "k9" in after.evidence[-1].detail


# Persons


def test_a_persons_word_is_kept_as_evidence() -> None:
    after, _ = advance(
        entry(State.UNRESOLVED), Resolved(State.CONFIRMED, TRAN_ID, "the web page"), POLICY, NOW_MS
    )
    last = after.evidence[-1]
    assert (after.tran_id, last.source, last.detail) == (TRAN_ID, "operator", "the web page")


def test_a_person_may_decide_from_the_time_on_that_a_look_could() -> None:
    assert conclusive_from_ms(unknown(), POLICY, 0) == BOUND_MS


def test_a_person_may_overrule_an_acknowledged_id_whose_record_never_came() -> None:
    at_ms = NOW_MS + 11 * MINUTE_MS
    stuck, _ = advance(accepted(), look(as_of_ms=at_ms), BY_RECORD, at_ms)
    after, _ = advance(
        stuck, Resolved(State.NOT_EXECUTED, None, "support says so"), BY_RECORD, at_ms + 5
    )
    assert (after.state, after.tran_id) == (State.NOT_EXECUTED, None)
