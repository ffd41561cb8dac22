"""The minute's weight: never too much by any way of counting, and no longer a wait than needed."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.ledger import MARGIN_MS, MINUTE_MS, UNANSWERED_MS, Charge, Ledger, limited_until_ms
from scheduler.policy import Limits

from .build import UNHURRIED

REQUEST = 1_500
LIMIT = 180_000
WHOLE_MS = MINUTE_MS + MARGIN_MS
MINUTE_START_MS = 1_800_000_000_000
"""A whole minute of the exchange's clock."""


def ledger(slots: int = 120, *, reserve: int = 0) -> Ledger:
    return Ledger(
        Limits(
            uid_weight_per_minute=slots * REQUEST, request_weight=REQUEST, urgent_reserve=reserve
        )
    )


def spend(on: Ledger, count: int, now_ms: int = 0, *, is_urgent: bool = False) -> None:
    """Attempts that are answered at once."""
    for _ in range(count):
        on.end(on.start(is_urgent=is_urgent), now_ms)


def observe(on: Ledger, used: int, now_ms: int, charge: Charge | None = None) -> None:
    """A reply's header; where it is not that of `charge`, of one that weighed nothing."""
    if charge is None:
        charge = Charge(0, False, started_ms=now_ms)
    on.learn(charge, now_ms, used=used, is_sure=False, exchange_ms=MINUTE_START_MS + now_ms)


def fits(on: Ledger, now_ms: int, *, is_urgent: bool = False) -> bool:
    return on.wait_ms(now_ms, is_urgent=is_urgent) == 0


# What fits


def test_a_minute_has_120_requests() -> None:
    book = Ledger(Limits(urgent_reserve=0))
    spend(book, 119)
    assert fits(book, 0)
    spend(book, 1)
    assert not fits(book, 0)
    assert book.own(0) == LIMIT


@pytest.mark.parametrize(
    ("normal", "urgent", "normal_fits", "urgent_fits"),
    [
        pytest.param(0, 0, True, True, id="nothing spent"),
        pytest.param(113, 0, True, True, id="one normal slot left"),
        pytest.param(114, 0, False, True, id="only the reserve left"),
        pytest.param(114, 5, False, True, id="the last of the reserve"),
        pytest.param(114, 6, False, False, id="all of it"),
        pytest.param(0, 6, True, True, id="the reserve is a share of urgent ones, not a debt"),
        pytest.param(113, 6, True, True, id="normal ones keep their share"),
        pytest.param(100, 20, False, False, id="urgent ones may take everything"),
        pytest.param(0, 120, False, False, id="urgent ones have taken everything"),
        pytest.param(0, 119, True, True, id="what is left goes to whoever comes"),
    ],
)
def test_a_reserve_is_kept_for_urgent_requests(
    normal: int, urgent: int, normal_fits: bool, urgent_fits: bool
) -> None:
    book = ledger(reserve=6)
    spend(book, normal)
    spend(book, urgent, is_urgent=True)
    assert fits(book, 0) is normal_fits
    assert fits(book, 0, is_urgent=True) is urgent_fits


# How long it counts


@pytest.mark.parametrize(
    ("now_ms", "counts"),
    [
        pytest.param(1_000, True, id="at once"),
        pytest.param(1_000 + MINUTE_MS, True, id="a minute after the answer"),
        pytest.param(1_000 + WHOLE_MS - 1, True, id="still within the margin"),
        pytest.param(1_000 + WHOLE_MS, False, id="past the margin"),
    ],
)
def test_an_answered_attempt_counts_until_a_minute_after_its_answer(
    now_ms: int, counts: bool
) -> None:
    book = ledger()
    book.end(book.start(is_urgent=False), 1_000)
    assert (book.own(now_ms) == REQUEST) is counts


def test_an_attempt_in_the_air_counts_for_as_long_as_it_is() -> None:
    book = ledger()
    book.start(is_urgent=False)
    assert book.own(3_600_000) == REQUEST


@pytest.mark.parametrize(
    ("closed_ms", "fence_ms", "until_ms"),
    [
        pytest.param(500, 5_000, 5_000, id="closed before the fence"),
        pytest.param(15_000, 5_000, 15_000, id="closed after the fence"),
        pytest.param(5_000, 5_000, 5_000, id="both at once"),
    ],
)
def test_a_lost_attempt_counts_while_it_may_still_arrive_and_a_minute_more(
    closed_ms: int, fence_ms: int, until_ms: int
) -> None:
    book = ledger()
    book.lose(book.start(is_urgent=False), closed_ms, fence_ms)
    last_ms = until_ms + UNANSWERED_MS + WHOLE_MS
    assert (book.own(last_ms - 1), book.own(last_ms)) == (REQUEST, 0)


def test_an_attempt_that_never_left_costs_nothing() -> None:
    book = ledger(1)
    charge = book.start(is_urgent=False)
    assert not fits(book, 0)
    book.drop(charge)
    assert fits(book, 0)
    assert book.own(0) == 0


def test_the_attempts_of_an_earlier_process_count_until_they_are_said_to() -> None:
    book = ledger(2, reserve=1)
    book.restore(5_000, is_urgent=False)
    book.restore(9_000, is_urgent=True)
    assert book.own(4_999) == 2 * REQUEST
    assert not fits(book, 4_999)
    assert (book.own(5_000), fits(book, 5_000)) == (REQUEST, True)
    assert book.own(9_000) == 0


# How long to wait


def test_the_wait_is_until_the_oldest_attempt_counts_no_more() -> None:
    book = ledger(2)
    spend(book, 1, 0)
    spend(book, 1, 10_000)
    assert book.wait_ms(20_000, is_urgent=False) == WHOLE_MS - 20_000
    assert fits(book, WHOLE_MS)


def test_while_everything_is_in_the_air_there_is_no_time_to_name() -> None:
    book = ledger(1)
    book.start(is_urgent=False)
    assert 1 <= book.wait_ms(0, is_urgent=False) <= MINUTE_MS


# Others


@pytest.mark.parametrize(
    ("used", "foreign"),
    [
        pytest.param(0, 0, id="a fresh minute"),
        pytest.param(3 * REQUEST, 0, id="just our own"),
        pytest.param(2 * REQUEST, 0, id="less than our own"),
        pytest.param(4 * REQUEST, REQUEST, id="one of another's"),
        pytest.param(3 * REQUEST + 1, 1, id="a little"),
    ],
)
def test_what_a_reply_says_beyond_our_own_was_spent_by_others(used: int, foreign: int) -> None:
    book = ledger()
    spend(book, 3)
    observe(book, used, 0)
    assert book.foreign(0) == foreign


def test_what_ended_while_a_request_was_under_way_is_not_taken_for_others() -> None:
    book = ledger()
    spend(book, 3, 0)
    charge = book.start(is_urgent=False)  # the exchange may count it now, with the three before it
    book.end(charge, WHOLE_MS)
    observe(book, 4 * REQUEST, WHOLE_MS, charge)
    assert (book.own(WHOLE_MS), book.foreign(WHOLE_MS)) == (REQUEST, 0)


def test_others_are_remembered_at_their_most_for_a_minute() -> None:
    book = ledger()
    observe(book, 5_000, 0)
    observe(book, 9_000, 10_000)
    observe(book, 2_000, 20_000)
    seen = [book.foreign(now_ms) for now_ms in (20_000, 69_999, 70_000, 79_999, 80_000)]
    assert seen == [9_000, 9_000, 2_000, 2_000, 0]


@UNHURRIED
@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, LIMIT)), min_size=1, max_size=30))
def test_others_count_as_the_most_that_any_reply_of_the_last_minute_showed(
    replies: list[tuple[int, int]],
) -> None:
    book, now_ms = ledger(), 0
    seen: list[tuple[int, int]] = []
    for wait_ms, used in replies:
        now_ms += wait_ms
        observe(book, used, now_ms)
        seen.append((now_ms, used))
        recent = [weight for at_ms, weight in seen if at_ms > now_ms - MINUTE_MS]
        assert book.foreign(now_ms) == max(recent)


def test_what_others_spend_is_not_ours_to_spend() -> None:
    book = ledger(10)
    observe(book, 4 * REQUEST, 0)
    spend(book, 6)
    assert not fits(book, 0)
    assert fits(book, MINUTE_MS)


def test_what_others_spend_comes_out_of_the_reserve_first() -> None:
    book = ledger(10, reserve=2)
    observe(book, 2 * REQUEST, 0)
    spend(book, 7)
    assert fits(book, 0)
    spend(book, 1)
    assert not fits(book, 0)
    assert not fits(book, 0, is_urgent=True)


@pytest.mark.parametrize(
    ("normal", "urgent", "used", "left"),
    [
        pytest.param(0, 0, 0, 8, id="all but the reserve"),
        pytest.param(3, 0, 0, 5, id="less what was spent"),
        pytest.param(3, 2, 0, 5, id="urgent ones spent the reserve"),
        pytest.param(3, 4, 0, 3, id="urgent ones spent more than the reserve"),
        pytest.param(0, 0, 5, 5, id="others spent more than the reserve"),
        pytest.param(8, 2, 0, 0, id="nothing"),
        pytest.param(0, 10, 14, 0, id="less than nothing is nothing"),
    ],
)
def test_what_is_left_is_what_normal_ones_may_still_use(
    normal: int, urgent: int, used: int, left: int
) -> None:
    book = ledger(10, reserve=2)
    observe(book, used * REQUEST, 0)
    spend(book, normal)
    spend(book, urgent, is_urgent=True)
    assert book.left(0) == left * REQUEST


# Being refused for weight


def test_after_a_refusal_nothing_starts_before_its_time_urgent_or_not() -> None:
    book = ledger()
    book.block(5_000)
    assert book.wait_ms(2_000, is_urgent=False) == 3_000
    assert book.wait_ms(2_000, is_urgent=True) == 3_000
    assert fits(book, 5_000)


def test_a_shorter_refusal_does_not_shorten_a_longer_one() -> None:
    book = ledger()
    book.block(5_000)
    book.block(3_000)
    assert book.blocked_until_ms() == 5_000


def test_refusals_in_a_row_are_counted_until_one_gets_through() -> None:
    book = ledger()
    counts = [book.blocks_in_a_row]
    for _ in range(3):
        book.block(5_000)
        counts.append(book.blocks_in_a_row)
    book.went_through()
    assert [*counts, book.blocks_in_a_row] == [0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    ("into_minute_ms", "in_a_row", "wait_ms"),
    [
        pytest.param(0, 0, 60_000, id="the minute has just begun"),
        pytest.param(20_000, 0, 40_000, id="to the end of the minute"),
        pytest.param(55_000, 0, 5_000, id="five seconds before the end"),
        pytest.param(59_999, 0, 5_000, id="at least five seconds"),
        pytest.param(20_000, 1, 80_000, id="twice as long the second time"),
        pytest.param(20_000, 2, 160_000, id="and again"),
        pytest.param(20_000, 4, 640_000, id="sixteen times"),
        pytest.param(20_000, 40, 640_000, id="never more than that"),
    ],
)
@pytest.mark.parametrize("retry_after_ms", [None, 0], ids=["not said", "said to be nothing"])
def test_a_refusal_that_does_not_say_for_how_long_lasts_to_the_end_of_the_minute(
    into_minute_ms: int, in_a_row: int, wait_ms: int, retry_after_ms: int | None
) -> None:
    now_ms = MINUTE_START_MS + into_minute_ms
    assert limited_until_ms(retry_after_ms, now_ms, in_a_row) == now_ms + wait_ms


@pytest.mark.parametrize(
    ("retry_after_ms", "in_a_row", "wait_ms"),
    [
        pytest.param(1_000, 0, 2_000, id="a second"),
        pytest.param(3 * 86_400_000, 0, 3 * 86_400_000 + 1_000, id="three days"),
        pytest.param(1_000, 1, 5_000, id="at least five where that was not enough"),
        pytest.param(7_000, 1, 8_000, id="longer than that anyway"),
        pytest.param(7_000, 2, 10_000, id="twice as long the next time"),
        pytest.param(7_000, 9, 80_000, id="never more than sixteen times"),
        pytest.param(3 * 86_400_000, 9, 3 * 86_400_000 + 1_000, id="three days are three days"),
    ],
)
def test_a_refusal_that_says_for_how_long_lasts_that_long_and_a_second(
    retry_after_ms: int, in_a_row: int, wait_ms: int
) -> None:
    now_ms = MINUTE_START_MS + 20_000
    assert limited_until_ms(retry_after_ms, now_ms, in_a_row) == now_ms + wait_ms


def taken_for_rolling() -> Ledger:
    """With one attempt a second for as long as it takes, up to 300 s, and nobody else."""
    book = ledger()
    for now_ms in range(0, 300_000, 1_000):
        charge = book.start(is_urgent=False)
        charge.started_ms = now_ms
        book.end(charge, now_ms)
        book.learn(
            charge, now_ms, used=book.own(now_ms), is_sure=True, exchange_ms=MINUTE_MS + now_ms
        )
    return book


def test_it_is_known_when_there_is_room_only_where_the_window_is_known_to_roll() -> None:
    assert ledger().room_ms(0) is None
    assert taken_for_rolling().room_ms(299_000) == 0


def test_there_is_room_once_enough_of_our_own_counts_no_more() -> None:
    book, now_ms = taken_for_rolling(), 299_000
    observe(book, LIMIT + 4 * REQUEST, now_ms)
    # Five have to go; those of 239 s on are still counted, one a second.
    assert book.room_ms(now_ms) == 239_000 + 4_000 + WHOLE_MS - now_ms
    observe(book, 1_000 * REQUEST, now_ms)
    assert book.room_ms(now_ms) == MINUTE_MS  # more than all of ours


def test_where_it_rolls_what_others_spent_is_free_with_the_reply_that_no_longer_counts_it() -> None:
    book, now_ms = taken_for_rolling(), 299_000
    observe(book, book.own(now_ms) + 60 * REQUEST, now_ms)
    observe(book, book.own(now_ms + 500) + REQUEST, now_ms + 500)
    assert book.foreign(now_ms + 500) == REQUEST


def refuse(on: Ledger, now_ms: int, used: int | None) -> None:
    charge = on.start(is_urgent=False)
    charge.started_ms = now_ms
    on.end(charge, now_ms)
    on.learn(charge, now_ms, used=used, is_sure=False, exchange_ms=MINUTE_START_MS + now_ms)
    on.refused(charge, now_ms, is_counted=used is not None)


@pytest.mark.parametrize("is_counted", [True, False])
def test_for_a_minute_after_a_refusal_room_is_left_for_what_others_may_spend(
    is_counted: bool,
) -> None:
    book, now_ms = ledger(), 1_000
    spend(book, 60)
    refuse(book, now_ms, 121 * REQUEST if is_counted else None)
    foreign = book.foreign(now_ms)
    least = 60 if is_counted else 0
    assert foreign >= (least + 24) * REQUEST  # a fifth of the minute as long as they are not known
    assert book.foreign(now_ms + MINUTE_MS) <= foreign - 24 * REQUEST


def test_what_is_urgent_does_not_wait_for_what_others_may_spend() -> None:
    book, now_ms = ledger(), 1_000
    spend(book, 50)
    refuse(book, now_ms, 90 * REQUEST)  # 39 are others'
    spend(book, 20, now_ms)
    assert (fits(book, now_ms), fits(book, now_ms, is_urgent=True)) == (False, True)
    spend(book, 10, now_ms)
    assert not fits(book, now_ms, is_urgent=True)


def taken_for_fixed(own: int, now_ms: int) -> Ledger:
    """With so many attempts in the minute before, and one in this one that shows it."""
    book = ledger()
    for number in range(own + 1):
        at_ms = number - own - 5_000 if number < own else now_ms
        charge = book.start(is_urgent=False)
        charge.started_ms = at_ms
        book.end(charge, at_ms)
        used = (number + 1 if number < own else 1) * REQUEST
        book.learn(charge, at_ms, used=used, is_sure=True, exchange_ms=MINUTE_START_MS + at_ms)
    return book


def test_where_it_is_fixed_nothing_is_free_before_the_minute_ends() -> None:
    book, now_ms = taken_for_fixed(100, 1_000), 2_000
    observe(book, 80 * REQUEST, now_ms)
    # Ours of the minute before are still charged: it is they that leave room for 19 only.
    assert book.own(now_ms) + book.foreign(now_ms) == 101 * REQUEST
    expired_ms = WHOLE_MS - 5_000  # and then what is counted leaves room for 40
    assert book.own(expired_ms) + book.foreign(expired_ms) == 80 * REQUEST
    assert book.foreign(MINUTE_MS) == 0


def test_where_it_is_fixed_what_came_with_a_refusal_is_free_with_the_next_minute() -> None:
    book, now_ms = taken_for_fixed(100, 1_000), 30_000
    refuse(book, now_ms, None)
    observe(book, 22 * REQUEST, now_ms + 5_000)  # two of them are ours
    before, after = book.foreign(MINUTE_MS - 1), book.foreign(MINUTE_MS)
    assert before - after == 20 * REQUEST


@pytest.mark.parametrize(
    ("retry_after_ms", "wait_ms"),
    [
        pytest.param(7_000, 7_000, id="as long as it says"),
        pytest.param(None, 9_000, id="until there is room where it does not"),
    ],
)
def test_where_the_ledger_knows_when_there_is_room_a_refusal_needs_no_second_on_top(
    retry_after_ms: int | None, wait_ms: int
) -> None:
    now_ms = MINUTE_START_MS + 20_000
    assert limited_until_ms(retry_after_ms, now_ms, 0, 9_000) == now_ms + wait_ms


@pytest.mark.parametrize(
    ("room_ms", "in_a_row", "wait_ms"),
    [
        pytest.param(12_000, 0, 12_000, id="until there is room"),
        pytest.param(0, 0, 5_000, id="at least 5 s"),
        pytest.param(0, 2, 20_000, id="twice as long with each in a row"),
    ],
)
def test_a_refusal_lasts_until_there_is_room_where_that_is_known(
    room_ms: int, in_a_row: int, wait_ms: int
) -> None:
    now_ms = 20_000
    assert limited_until_ms(None, now_ms, in_a_row, room_ms) == now_ms + wait_ms
    assert limited_until_ms(50_000, now_ms, 0, room_ms) == now_ms + 50_000


# Never too much, however the exchange counts


@dataclass
class Flight:
    """One attempt, and the earliest and latest moment at which the exchange may count it."""

    charge: Charge
    started_ms: int
    latest_ms: int | None = None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "start", "start", "answer", "lose", "drop", "restart"]),
        st.sampled_from([0, 1, 50, 100, 500, 5_000, 29_999, 60_000, 60_029]),
        st.floats(0, 1),
        st.booleans(),
    ),
    max_size=120,
)
SLOTS = 8


@settings(UNHURRIED, max_examples=200)
@given(STEPS)
def test_in_no_sixty_seconds_can_more_arrive_than_the_limit_allows(
    steps: list[tuple[str, int, float, bool]],
) -> None:
    book, now_ms = ledger(SLOTS, reserve=2), 0
    flying: list[Flight] = []
    arrivals: list[tuple[int, bool]] = []

    def arrive(flight: Flight, latest_ms: int, share: float, is_urgent: bool) -> None:
        span_ms = latest_ms - flight.started_ms
        arrivals.append((flight.started_ms + round(span_ms * share), is_urgent))

    for step, wait_ms, share, is_urgent in steps:
        now_ms += wait_ms
        if step == "start":
            if fits(book, now_ms, is_urgent=is_urgent):
                flying.append(Flight(book.start(is_urgent=is_urgent), now_ms))
        elif flying:
            flight = flying.pop(round(share * (len(flying) - 1)))
            match step:
                case "answer":
                    book.end(flight.charge, now_ms)
                    arrive(flight, now_ms, share, flight.charge.is_urgent)
                case "lose":
                    fence_ms = flight.started_ms + 5_000
                    book.lose(flight.charge, now_ms, fence_ms)
                    latest_ms = max(now_ms, fence_ms) + UNANSWERED_MS
                    arrive(flight, latest_ms, share, flight.charge.is_urgent)
                case "drop":
                    book.drop(flight.charge)
                case "restart":
                    book.drop(flight.charge)
                    book.restore(now_ms + WHOLE_MS, is_urgent=flight.charge.is_urgent)
                    arrive(flight, now_ms, share, flight.charge.is_urgent)
    arrivals += [(flight.started_ms, flight.charge.is_urgent) for flight in flying]
    for from_ms, _ in arrivals:
        minute = [urgent for at_ms, urgent in arrivals if from_ms <= at_ms < from_ms + MINUTE_MS]
        assert len(minute) <= SLOTS
        assert minute.count(False) <= SLOTS - 2


@settings(UNHURRIED, max_examples=50)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=20), st.integers(0, 100))
def test_nearly_all_of_the_budget_is_used_while_there_is_work(
    answers_ms: list[int], gap_ms: int
) -> None:
    """Attempts one after the other, each answered after a while, for five minutes."""
    book, now_ms, starts = ledger(20), 0, list[int]()
    while now_ms < 5 * MINUTE_MS:
        wait_ms = book.wait_ms(now_ms, is_urgent=False)
        if wait_ms:
            now_ms += wait_ms
            continue
        charge = book.start(is_urgent=False)
        starts.append(now_ms)
        now_ms += answers_ms[len(starts) % len(answers_ms)] + gap_ms
        book.end(charge, now_ms)
    for first_ms, last_ms in pairwise(starts[20::20]):
        assert last_ms - first_ms <= WHOLE_MS + 2 * max(answers_ms) + gap_ms


# Quotes


def start_by_trying(book: Ledger, now_ms: int, ahead: int, gap_ms: int, *, is_urgent: bool) -> int:
    """When the request would really start: each one as soon as it fits, answered at once."""
    for number in range(ahead + 1):
        while not fits(book, now_ms, is_urgent=is_urgent):
            now_ms += book.wait_ms(now_ms, is_urgent=is_urgent)
        if number < ahead:
            book.end(book.start(is_urgent=is_urgent), now_ms)
            now_ms += gap_ms
    return now_ms


PAST = st.lists(
    st.tuples(
        st.sampled_from(["answered", "lost", "observed", "blocked"]),
        st.integers(-50_000, -1),
        st.booleans(),
        st.integers(0, 9),
    ),
    max_size=12,
)


def remembered(past: list[tuple[str, int, bool, int]], slots: int, reserve: int) -> Ledger:
    """A ledger at time 0 with a past; what others spent is told by a reply's header."""
    book = ledger(slots, reserve=reserve)
    for what, at_ms, is_urgent, number in sorted(past, key=lambda step: step[1]):
        match what:
            case "answered":
                if fits(book, at_ms, is_urgent=is_urgent):
                    book.end(book.start(is_urgent=is_urgent), at_ms)
            case "lost":
                if fits(book, at_ms, is_urgent=is_urgent):
                    book.lose(book.start(is_urgent=is_urgent), at_ms, at_ms + 5_000)
            case "observed":
                observe(book, book.own(at_ms) + number * REQUEST, at_ms)
            case "blocked":
                book.block(at_ms + number * 10_000)
    return book


@settings(UNHURRIED, max_examples=300)
@given(PAST, st.integers(0, 40), st.sampled_from([0, 100, 500]), st.booleans())
def test_a_quote_is_never_later_than_the_request_could_really_start(
    past: list[tuple[str, int, bool, int]], ahead: int, gap_ms: int, is_urgent: bool
) -> None:
    quoted_ms = remembered(past, 10, 2).starts_at_ms(0, ahead, gap_ms, is_urgent=is_urgent)
    really_ms = start_by_trying(remembered(past, 10, 2), 0, ahead, gap_ms, is_urgent=is_urgent)
    assert 0 <= quoted_ms <= really_ms


@settings(UNHURRIED, max_examples=200)
@given(
    st.lists(st.integers(-50_000, -1), max_size=10),
    st.integers(0, 60),
    st.sampled_from([0, 100]),
    st.booleans(),
)
def test_where_nothing_is_uncertain_a_quote_is_exact_but_for_the_margins(
    answered: list[int], ahead: int, gap_ms: int, is_urgent: bool
) -> None:
    past = [("answered", at_ms, is_urgent, 0) for at_ms in answered]
    book, tried = remembered(past, 10, 2), remembered(past, 10, 2)
    quoted_ms = book.starts_at_ms(0, ahead, gap_ms, is_urgent=is_urgent)
    really_ms = start_by_trying(tried, 0, ahead, gap_ms, is_urgent=is_urgent)
    rounds = ahead // (10 if is_urgent else 8)
    assert really_ms - quoted_ms <= rounds * MARGIN_MS + 10 * gap_ms


@pytest.mark.parametrize(
    ("ahead", "starts_at_ms"),
    [
        pytest.param(0, 0, id="nobody ahead"),
        pytest.param(1, 100, id="one ahead: a gap"),
        pytest.param(9, 900, id="the last of the minute"),
        pytest.param(10, 60_000, id="the first of the next"),
        pytest.param(25, 120_500, id="two minutes on"),
    ],
)
def test_a_quote_from_a_fresh_ledger_can_be_worked_out_by_hand(
    ahead: int, starts_at_ms: int
) -> None:
    assert ledger(10).starts_at_ms(0, ahead, 100, is_urgent=False) == starts_at_ms


def test_the_reserve_is_not_quoted_to_normal_ones() -> None:
    book = ledger(10, reserve=2)
    spend(book, 8)
    assert book.starts_at_ms(10_000, 0, 100, is_urgent=False) == WHOLE_MS
    assert book.starts_at_ms(10_000, 0, 100, is_urgent=True) == 10_000


def test_a_quote_waits_out_a_refusal() -> None:
    book = ledger()
    book.block(7_000)
    assert book.starts_at_ms(0, 3, 100, is_urgent=False) == 7_000


def test_an_attempt_in_the_air_may_be_over_at_any_moment() -> None:
    book = ledger(2)
    book.lose(book.start(is_urgent=False), 0, 5_000)
    book.start(is_urgent=False)
    assert book.starts_at_ms(0, 0, 0, is_urgent=False) <= MINUTE_MS


@pytest.mark.parametrize(
    ("ahead", "starts_at_ms"),
    [
        pytest.param(0, 0, id="the one that still fits"),
        pytest.param(1, MINUTE_MS, id="the first that does not"),
        pytest.param(9, MINUTE_MS, id="what others spent once is not assumed for ever"),
    ],
)
def test_a_quote_waits_out_what_others_spent(ahead: int, starts_at_ms: int) -> None:
    book = ledger(10)
    observe(book, 9 * REQUEST, 0)
    assert book.starts_at_ms(0, ahead, 100, is_urgent=False) == starts_at_ms
