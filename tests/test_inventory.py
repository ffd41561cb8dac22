"""Which borrows of a starved asset may start."""

from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scheduler.inventory import InventoryGate, Pool, Refusal
from scheduler.model import Answer, Entry, Kind, State, revised
from scheduler.policy import Policy

from .build import NOW_MS, UNHURRIED, entry

POLICY = Policy(
    starved_wait_ms=1_000,
    starved_wait_max_ms=300_000,
    inventory_ask_wait_ms=1_000,
    inventory_ask_max_ms=15_000,
    inventory_fresh_ms=5_000,
    shortage_quiet_ms=60_000,
)
CROSS: Pool = ("USDT", False)
ISOLATED: Pool = ("USDT", True)


def borrow(
    seq: int,
    amount: str = "100",
    *,
    asset: str = "USDT",
    symbol: str | None = None,
    account: str = "",
    kind: Kind = Kind.BORROW,
) -> Entry:
    return entry(
        State.QUEUED,
        f"k{seq}",
        seq=seq,
        amount=amount,
        asset=asset,
        symbol=symbol,
        account=account or f"account{seq}",
        kind=kind,
    )


def short(amount: str = "100") -> InventoryGate:
    """A gate at which a cross borrow of USDT was refused at NOW_MS."""
    gate = InventoryGate(POLICY)
    gate.refused(borrow(0, amount), NOW_MS)
    return gate


def refuse_again(gate: InventoryGate, amount: str = "100") -> int:
    """Wait as long as the gate wants, go by an answer that says more than the one before, and be
    refused again; says when."""
    asked, shortage = borrow(0, amount), gate.shortages()[CROSS]
    now_ms = shortage.retry_at_ms
    gate.may_start(asked, now_ms)
    refill(gate, str((shortage.doubted or Decimal(amount)) + 1), now_ms)
    assert gate.may_start(asked, now_ms)
    gate.started(asked)
    gate.refused(asked, now_ms)
    return now_ms


def refill(gate: InventoryGate, available: str | None, now_ms: int) -> None:
    gate.answered(CROSS, None if available is None else Decimal(available), now_ms)


RETRY_MS = NOW_MS + 1_000


# Who is concerned


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(borrow(1, kind=Kind.REPAY), id="a repayment"),
        pytest.param(borrow(1, asset="BTC"), id="another asset"),
        pytest.param(borrow(1, symbol="BTCUSDT"), id="the isolated pool, where cross is short"),
        pytest.param(borrow(1, "99.99999999"), id="a hair less"),
        pytest.param(borrow(1, "max"), id="as much as there is"),
    ],
)
def test_a_shortage_lets_pass_whatever_it_does_not_concern(asked: Entry) -> None:
    assert short().may_start(asked, NOW_MS)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(borrow(1), id="the same amount, another account"),
        pytest.param(borrow(0), id="the one that was refused"),
        pytest.param(borrow(1, "100.00000001"), id="a hair more"),
        pytest.param(borrow(1, "1000000"), id="far more"),
    ],
)
@pytest.mark.parametrize("now_ms", [NOW_MS, RETRY_MS, RETRY_MS + 3_600_000])
def test_borrows_of_that_amount_and_more_wait_whoever_asks(asked: Entry, now_ms: int) -> None:
    gate = short()
    gate.may_start(borrow(5), NOW_MS)  # somebody waits, so the shortage is not forgotten
    assert not gate.may_start(asked, now_ms)


def test_one_that_takes_what_there_is_waits_once_it_was_refused_that() -> None:
    refused = Answer(code=-3045, name="INSUFFICIENT_INVENTORY", message="no")
    asked = revised(borrow(1, "max"), answer=refused)
    assert not short().may_start(asked, NOW_MS)


def test_without_a_shortage_everything_may_start() -> None:
    gate = InventoryGate(POLICY)
    assert gate.may_start(borrow(1), NOW_MS)
    assert gate.shortages() == {}
    assert not gate.is_short(borrow(1))


def test_pairs_share_the_isolated_pool() -> None:
    gate = InventoryGate(POLICY)
    gate.refused(borrow(0, symbol="BTCUSDT"), NOW_MS)
    assert not gate.may_start(borrow(1, symbol="ETHUSDT"), NOW_MS)
    assert gate.may_start(borrow(2), NOW_MS)
    assert list(gate.shortages()) == [ISOLATED]
    assert gate.is_short(borrow(1, symbol="ETHUSDT"))
    assert not gate.is_short(borrow(2))


def test_a_refusal_of_a_smaller_amount_lowers_the_bar_and_one_of_a_larger_does_not_raise_it() -> (
    None
):
    gate = short("100")
    gate.refused(borrow(1, "40"), NOW_MS)
    gate.refused(borrow(2, "70"), NOW_MS)
    assert not gate.may_start(borrow(3, "40"), NOW_MS)
    assert gate.may_start(borrow(4, "39"), NOW_MS)


# One at a time


def test_smaller_ones_try_one_at_a_time() -> None:
    gate = short()
    first, second = borrow(1, "10"), borrow(2, "5")
    assert gate.may_start(first, NOW_MS)
    gate.started(first)
    assert not gate.may_start(second, NOW_MS)
    gate.ended(first, was_lent=True)
    assert gate.may_start(second, NOW_MS)


@pytest.mark.parametrize("was_lent", [True, False], ids=["lent", "lost or refused otherwise"])
def test_however_a_try_ends_the_next_may_follow(was_lent: bool) -> None:
    gate = short()
    first = borrow(1, "10")
    gate.may_start(first, NOW_MS)
    gate.started(first)
    gate.ended(first, was_lent=was_lent)
    assert gate.may_start(borrow(2, "5"), NOW_MS)


def test_an_attempt_from_before_the_shortage_ends_nobody_elses_try() -> None:
    gate = short()
    earlier, trying = borrow(1, "200"), borrow(2, "10")
    assert gate.may_start(trying, NOW_MS)
    gate.started(trying)
    gate.refused(earlier, NOW_MS + 50)
    assert not gate.may_start(borrow(3, "5"), NOW_MS + 60)
    gate.ended(earlier, was_lent=True)
    assert not gate.may_start(borrow(3, "5"), NOW_MS + 60)
    gate.refused(trying, NOW_MS + 90)
    assert gate.may_start(borrow(3, "5"), NOW_MS + 100)


def test_one_that_was_in_the_air_when_the_asset_ran_short_is_over_like_any_other() -> None:
    gate = InventoryGate(POLICY)
    early = borrow(1)
    assert gate.may_start(early, NOW_MS)
    gate.started(early)
    gate.refused(borrow(2), NOW_MS)
    gate.ended(early, was_lent=True)
    assert gate.may_start(borrow(3, "5"), NOW_MS)


# Back-off and asking


@pytest.mark.parametrize(
    ("times", "wait_s"),
    [(1, 1), (2, 2), (3, 4), (8, 128), (9, 256), (10, 300), (30, 300)],
    ids=str,
)
def test_the_wait_doubles_from_a_second_to_five_minutes(times: int, wait_s: int) -> None:
    gate, now_ms = short(), NOW_MS
    for _ in range(times - 1):
        now_ms = refuse_again(gate)
    assert gate.shortages()[CROSS].retry_at_ms == now_ms + wait_s * 1_000


def test_refusals_of_what_was_in_the_air_together_are_one_shortage() -> None:
    gate = short()
    for seq in range(1, 20):
        gate.refused(borrow(seq, "100"), NOW_MS + seq)
    assert gate.shortages()[CROSS].retry_at_ms == NOW_MS + 19 + 1_000


def test_a_smaller_one_that_tries_in_vain_makes_nobody_wait_longer() -> None:
    gate = short()
    now_ms = refuse_again(gate)
    for amount in ("90", "80", "70"):
        small = borrow(1, amount)
        assert gate.may_start(small, now_ms)
        gate.started(small)
        gate.refused(small, now_ms)
    assert gate.shortages()[CROSS].retry_at_ms == now_ms + 2_000


def test_a_loan_starts_the_wait_over() -> None:
    gate, small = short(), borrow(1, "10")
    now_ms = [refuse_again(gate) for _ in range(4)][-1]
    gate.may_start(small, now_ms)
    gate.started(small)
    gate.ended(small, was_lent=True)
    gate.refused(borrow(2), now_ms + 100)
    assert gate.shortages()[CROSS].retry_at_ms == now_ms + 100 + 1_000


def test_nobody_is_asked_while_nobody_waits() -> None:
    gate = short()
    assert gate.due(RETRY_MS + 3_600_000) == []
    assert gate.asker(CROSS) is None


@pytest.mark.parametrize(
    ("now_ms", "is_due"),
    [
        pytest.param(NOW_MS, False, id="at once"),
        pytest.param(RETRY_MS - 1, False, id="a millisecond early"),
        pytest.param(RETRY_MS, True, id="when the wait is over"),
    ],
)
def test_the_inventory_is_asked_for_when_the_wait_is_over(now_ms: int, is_due: bool) -> None:
    gate = short()
    gate.may_start(borrow(1), NOW_MS)
    assert gate.due(now_ms) == ([CROSS] if is_due else [])


def test_the_first_in_line_asks() -> None:
    gate = short()
    for seq in (5, 3, 4):
        gate.may_start(borrow(seq), NOW_MS)
    assert gate.asker(CROSS) == "account3"
    assert gate.waiting_accounts() == {"account3", "account4", "account5"}
    gate.withdrawn(borrow(3))
    assert gate.asker(CROSS) == "account4"


def test_while_one_tries_nobody_asks() -> None:
    gate = short()
    gate.may_start(borrow(1), NOW_MS)
    small = borrow(2, "10")
    gate.may_start(small, NOW_MS)
    gate.started(small)
    assert gate.due(RETRY_MS) == []
    gate.ended(small, was_lent=False)
    assert gate.due(RETRY_MS) == [CROSS]


def test_asking_in_vain_backs_off_from_one_second_to_fifteen() -> None:
    gate, now_ms, waits = short(), RETRY_MS, list[int]()
    gate.may_start(borrow(1), NOW_MS)
    for _ in range(7):
        refill(gate, "0", now_ms)
        asked_ms = now_ms
        while not gate.due(now_ms):
            now_ms += 1
        waits.append(now_ms - asked_ms)
    assert waits == [1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]


def test_an_answer_that_comes_when_nothing_is_short_any_more_is_ignored() -> None:
    gate = short()
    gate.may_start(borrow(1), NOW_MS)
    assert gate.due(RETRY_MS) == [CROSS]
    gate.withdrawn(borrow(1))  # it expired while the exchange was asked
    late_ms = RETRY_MS + 3_600_000
    assert gate.may_start(borrow(2), late_ms)
    assert gate.shortages() == {}
    refill(gate, "5", late_ms)
    assert gate.asker(CROSS) is None
    assert gate.shortages() == {}


# What fits goes, in order


@pytest.mark.parametrize(
    ("available", "goes"),
    [
        pytest.param("99", [], id="too little for anyone"),
        pytest.param("100", [2], id="enough for the smallest"),
        pytest.param("150", [1], id="enough for the first"),
        pytest.param("250", [1, 2], id="enough for two"),
        pytest.param("450", [1, 2, 3], id="enough for all"),
    ],
)
def test_what_fits_goes_in_the_order_of_submission(available: str, goes: list[int]) -> None:
    gate = short("100")
    line = [borrow(3, "200"), borrow(1, "150"), borrow(2, "100")]
    for asked in line:
        assert not gate.may_start(asked, NOW_MS)
    refill(gate, available, RETRY_MS)
    went: list[int] = []
    while chosen := next((e for e in line if gate.may_start(e, RETRY_MS)), None):
        gate.started(chosen)
        assert not any(gate.may_start(e, RETRY_MS) for e in line if e is not chosen)
        gate.ended(chosen, was_lent=True)
        line.remove(chosen)
        went.append(chosen.seq)
    assert went == goes


@pytest.mark.parametrize(
    ("after_ms", "may"),
    [
        pytest.param(0, True, id="at once"),
        pytest.param(4_999, True, id="while it is fresh"),
        pytest.param(5_000, False, id="when it is old"),
    ],
)
def test_an_answer_sends_borrows_off_for_as_long_as_it_is_fresh(after_ms: int, may: bool) -> None:
    gate = short()
    gate.may_start(borrow(1), NOW_MS)
    refill(gate, "500", RETRY_MS)
    assert gate.may_start(borrow(1), RETRY_MS + after_ms) is may


def test_an_answer_counts_only_once_the_wait_is_over() -> None:
    gate = short()
    gate.may_start(borrow(1), NOW_MS)
    refill(gate, "500", RETRY_MS - 1)
    assert not gate.may_start(borrow(1), RETRY_MS - 1)
    assert gate.may_start(borrow(1), RETRY_MS)


def test_what_fits_and_has_not_gone_yet_is_not_asked_for_again() -> None:
    gate = short()
    gate.may_start(borrow(1), NOW_MS)
    refill(gate, "500", RETRY_MS)
    assert gate.due(RETRY_MS + 4_999) == []
    assert gate.due(RETRY_MS + 5_000) == [CROSS]


def test_a_refusal_after_an_answer_makes_everyone_wait_anew() -> None:
    gate = short()
    first, second = borrow(1), borrow(2)
    for asked in (first, second):
        gate.may_start(asked, NOW_MS)
    refill(gate, "500", RETRY_MS)
    assert gate.may_start(first, RETRY_MS)
    gate.started(first)
    gate.refused(first, RETRY_MS + 90)
    assert not gate.may_start(second, RETRY_MS + 100)
    assert gate.due(RETRY_MS + 90 + 1_999) == []
    assert gate.due(RETRY_MS + 90 + 2_000) == [CROSS]


def disbelieving(said: str = "150") -> tuple[InventoryGate, Entry, int]:
    """A gate after an answer that was enough and was not kept: with one in line, at that time."""
    gate, asked = short(), borrow(1)
    gate.may_start(asked, RETRY_MS)
    refill(gate, said, RETRY_MS)
    assert gate.may_start(asked, RETRY_MS)
    gate.started(asked)
    gate.refused(asked, RETRY_MS)
    return gate, asked, RETRY_MS


@pytest.mark.parametrize(
    ("answers", "may"),
    [
        pytest.param(["150"], False, id="the same again"),
        pytest.param(["120"], False, id="less, and still enough"),
        pytest.param(["151"], True, id="more"),
        pytest.param(["120", "130"], True, id="less, and then more: something came back"),
        pytest.param(["20", "90", "90"], False, id="more, and not enough"),
    ],
)
def test_after_an_answer_that_was_not_kept_only_more_is_believed(
    answers: list[str], may: bool
) -> None:
    gate, asked, now_ms = disbelieving()
    for number, said in enumerate(answers, 1):
        then_ms = now_ms + number * 10_000
        assert not gate.may_start(asked, then_ms)
        refill(gate, said, then_ms)
    assert gate.may_start(asked, then_ms) is may


@pytest.mark.parametrize(("after_ms", "may"), [(299_999, False), (300_000, True)], ids=str)
def test_after_five_minutes_the_same_answer_is_good_for_another_try(
    after_ms: int, may: bool
) -> None:
    gate, asked, now_ms = disbelieving()
    assert not gate.may_start(asked, now_ms)
    refill(gate, "150", now_ms + after_ms)
    assert gate.may_start(asked, now_ms + after_ms) is may


def test_a_loan_takes_the_doubt_away() -> None:
    gate, asked, now_ms = disbelieving()
    small = borrow(2, "10")
    assert gate.may_start(small, now_ms)
    gate.started(small)
    gate.ended(small, was_lent=True)
    assert not gate.may_start(asked, now_ms + 10_000)
    refill(gate, "150", now_ms + 10_000)
    assert gate.may_start(asked, now_ms + 10_000)


def test_a_try_without_an_answer_casts_no_doubt_on_one() -> None:
    gate, asked = short(), borrow(1)
    gate.may_start(asked, RETRY_MS)
    refill(gate, None, RETRY_MS)
    gate.started(asked)
    gate.refused(asked, RETRY_MS)
    assert not gate.may_start(asked, RETRY_MS + 10_000)
    refill(gate, "100", RETRY_MS + 10_000)
    assert gate.may_start(asked, RETRY_MS + 10_000)


def test_without_an_answer_the_smallest_in_line_tries() -> None:
    gate = short("10")
    large, small = borrow(1, "90"), borrow(2, "30")
    for asked in (large, small):
        gate.may_start(asked, NOW_MS)
    refill(gate, None, RETRY_MS)
    assert not gate.may_start(large, RETRY_MS)
    assert gate.may_start(small, RETRY_MS)


def test_without_an_answer_and_without_anyone_in_line_nothing_changes() -> None:
    gate = short()
    refill(gate, None, RETRY_MS)
    assert not gate.may_start(borrow(1), RETRY_MS)


def test_whoever_withdraws_makes_way_for_the_next() -> None:
    gate = short()
    for seq in (1, 2):
        gate.may_start(borrow(seq), NOW_MS)
    refill(gate, "100", RETRY_MS)
    assert not gate.may_start(borrow(2), RETRY_MS)
    gate.withdrawn(borrow(1))
    again = borrow(2)
    gate.may_start(again, RETRY_MS)
    assert gate.may_start(again, RETRY_MS)


def test_a_new_version_of_a_waiting_borrow_takes_its_place() -> None:
    gate = short()
    gate.may_start(borrow(1), NOW_MS)
    newer = revised(borrow(1), version=3)
    gate.may_start(newer, NOW_MS)
    refill(gate, "100", RETRY_MS)
    assert gate.may_start(newer, RETRY_MS)


# Being over


@pytest.mark.parametrize(
    ("after_ms", "may"),
    [
        pytest.param(59_999, False, id="not a moment early"),
        pytest.param(60_000, True, id="after a minute"),
    ],
)
def test_a_shortage_nobody_waits_for_is_forgotten_a_minute_after_the_wait(
    after_ms: int, may: bool
) -> None:
    gate = short()
    assert gate.may_start(borrow(1), RETRY_MS + after_ms) is may
    assert (gate.shortages() == {}) is may


def test_a_shortage_is_not_forgotten_while_the_wait_for_it_lasts() -> None:
    gate = short()
    for _ in range(8):
        now_ms = refuse_again(gate)
    asked, later_ms = borrow(1), now_ms + 256_000
    assert not gate.may_start(asked, now_ms)
    gate.withdrawn(asked)  # it comes back at once, as the queue has it
    assert not gate.may_start(asked, later_ms)
    assert gate.shortages()[CROSS].wait_ms == 256_000


def test_a_shortage_is_not_forgotten_while_one_tries() -> None:
    gate = short()
    small = borrow(1, "10")
    gate.may_start(small, NOW_MS)
    gate.started(small)
    assert not gate.may_start(borrow(2), RETRY_MS + 3_600_000)


def test_shortages_that_nobody_waits_for_are_let_go() -> None:
    gate = short()
    gate.forget(RETRY_MS + 59_999)
    assert gate.shortages().keys() == {CROSS}
    gate.forget(RETRY_MS + 60_000)
    assert gate.shortages() == {}


def test_one_that_somebody_waits_for_is_kept() -> None:
    gate = short()
    gate.may_start(borrow(1), NOW_MS)
    gate.forget(RETRY_MS + 3_600_000)
    assert gate.shortages().keys() == {CROSS}


# Between hosts


def refusal(amount: str = "100", wait_ms: int = 1_000, doubted: str | None = None) -> Refusal:
    return Refusal(
        pool=CROSS,
        amount=Decimal(amount),
        wait_ms=wait_ms,
        doubted=None if doubted is None else Decimal(doubted),
    )


def test_a_refusal_is_news_once_and_the_latest_of_a_pool() -> None:
    gate = short("100")
    gate.refused(borrow(1, "70"), NOW_MS)
    assert gate.news() == [refusal("70")]
    assert gate.news() == []


def test_news_say_how_long_nobody_should_go_and_which_answer_was_not_kept() -> None:
    gate = short()
    refuse_again(gate)
    refuse_again(gate)
    assert gate.news() == [refusal(wait_ms=4_000, doubted="102")]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(borrow(1), id="that amount"),
        pytest.param(borrow(1, "99"), id="a smaller one"),
        pytest.param(borrow(1, "101"), id="a larger one"),
        pytest.param(borrow(1, symbol="BTCUSDT"), id="the other pool"),
        pytest.param(borrow(1, kind=Kind.REPAY), id="a repayment"),
    ],
)
@pytest.mark.parametrize("after_ms", [0, 999, 1_000, 60_999, 61_000])
def test_what_another_was_refused_counts_as_if_it_had_been_refused_here(
    asked: Entry, after_ms: int
) -> None:
    here, there = short(), InventoryGate(POLICY)
    there.heard(refusal(), 300, NOW_MS + 300)
    for gate in (here, there):
        refill(gate, "1000", NOW_MS + after_ms)
    assert there.may_start(asked, NOW_MS + after_ms) == here.may_start(asked, NOW_MS + after_ms)
    assert there.due(NOW_MS + after_ms) == here.due(NOW_MS + after_ms)


def test_what_was_heard_lowers_what_is_known_and_lengthens_the_wait_but_never_the_reverse() -> None:
    gate = short("100")
    gate.heard(refusal("70", wait_ms=8_000), 0, NOW_MS)
    shortage = gate.shortages()[CROSS]
    assert (shortage.refused, shortage.retry_at_ms) == (Decimal(70), NOW_MS + 8_000)
    gate.heard(refusal("90", wait_ms=2_000), 0, NOW_MS)
    assert (shortage.refused, shortage.retry_at_ms) == (Decimal(70), NOW_MS + 8_000)


def test_an_answer_that_was_not_kept_elsewhere_is_not_believed_here() -> None:
    gate = InventoryGate(POLICY)
    gate.heard(refusal(doubted="500"), 0, NOW_MS)
    asked = borrow(1)
    assert not gate.may_start(asked, RETRY_MS)
    refill(gate, "500", RETRY_MS)
    assert not gate.may_start(asked, RETRY_MS)
    refill(gate, "501", RETRY_MS)
    assert gate.may_start(asked, RETRY_MS)


@pytest.mark.parametrize("age_ms", [61_000, 3_600_000])
def test_what_would_be_forgotten_by_now_is_not_taken_up(age_ms: int) -> None:
    gate = InventoryGate(POLICY)
    gate.heard(refusal(), age_ms, NOW_MS)
    assert gate.shortages() == {}


def test_nothing_that_is_heard_keeps_a_borrow_for_longer_than_the_longest_wait() -> None:
    gate = InventoryGate(POLICY)
    gate.heard(refusal(wait_ms=10**12), -(10**12), NOW_MS)
    assert gate.shortages()[CROSS].retry_at_ms == NOW_MS + POLICY.starved_wait_max_ms


def test_what_is_heard_while_a_borrow_is_on_its_way_does_not_stop_it() -> None:
    gate, asked = InventoryGate(POLICY), borrow(1)
    assert gate.may_start(asked, NOW_MS)
    gate.heard(refusal(), 0, NOW_MS)
    gate.started(asked)
    gate.ended(asked, was_lent=True)
    assert not gate.may_start(borrow(2), NOW_MS)


# Anything, in any order


class GateMachine(RuleBasedStateMachine):
    """One pool: borrows ask, start, end; the exchange answers; time passes."""

    @initialize()
    def begin(self) -> None:
        self.gate = InventoryGate(POLICY)
        self.now_ms = NOW_MS
        self.idle: dict[str, Entry] = {}
        self.in_air: dict[str, Entry] = {}
        self.waiting: dict[str, Entry] = {}
        self.trying: str | None = None
        self.bar: Decimal | None = None
        self.retry_ms = 0
        self.available: Decimal | None = None
        self.fresh_until_ms = 0
        self.seq = 0

    @rule(amount=st.integers(1, 5))
    def submit(self, amount: int) -> None:
        self.seq += 1
        self.idle[f"k{self.seq}"] = borrow(self.seq, str(amount))

    @rule(by_ms=st.sampled_from([0, 1, 100, 1_000, 2_000, 5_000, 60_000, 300_000]))
    def time_passes(self, by_ms: int) -> None:
        self.now_ms += by_ms

    @precondition(lambda self: self.idle)
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        asked = self.idle[data.draw(st.sampled_from(sorted(self.idle)))]
        amount = asked.amount
        assert amount is not None
        may = self.gate.may_start(asked, self.now_ms)
        if CROSS not in self.gate.shortages():
            assert may
            if self.bar is not None:  # it was forgotten just now
                assert not self.waiting
                assert self.trying is None
                assert self.now_ms >= self.retry_ms + POLICY.shortage_quiet_ms
                self.bar = self.available = None
            self.start(asked)
            return
        assert self.bar is not None
        self.waiting[asked.key] = asked
        fitting = [e for e in self.waiting.values() if self.fits(e)]
        goes_by_answer = (
            self.now_ms >= self.retry_ms
            and self.fits(asked)
            and asked.seq == min(e.seq for e in fitting)
        )
        assert may == (self.trying is None and (amount < self.bar or goes_by_answer))
        if may:
            self.trying = asked.key
            self.start(asked)

    def fits(self, entry_: Entry) -> bool:
        assert entry_.amount is not None
        return (
            self.available is not None
            and self.now_ms < self.fresh_until_ms
            and entry_.amount <= self.available
        )

    def start(self, asked: Entry) -> None:
        self.waiting.pop(asked.key, None)
        self.in_air[asked.key] = self.idle.pop(asked.key)
        self.gate.started(asked)

    @precondition(lambda self: self.in_air)
    @rule(data=st.data(), goes_again=st.booleans())
    def is_refused(self, data: st.DataObject, goes_again: bool) -> None:
        refused = self.land(data)
        assert refused.amount is not None
        self.gate.refused(refused, self.now_ms)
        self.bar = refused.amount if self.bar is None else min(self.bar, refused.amount)
        self.retry_ms = self.gate.shortages()[CROSS].retry_at_ms
        assert 1_000 <= self.retry_ms - self.now_ms <= 300_000
        self.available = None
        if goes_again:
            self.idle[refused.key] = refused

    @rule(
        amount=st.integers(1, 5),
        wait_ms=st.sampled_from([0, 1_000, 300_000, 10**9]),
        age_ms=st.sampled_from([-5, 0, 500, 50_000, 400_000]),
    )
    def another_was_refused(self, amount: int, wait_ms: int, age_ms: int) -> None:
        self.gate.heard(refusal(str(amount), wait_ms), age_ms, self.now_ms)
        retry_ms = self.now_ms - max(0, age_ms) + min(wait_ms, 300_000)
        if self.now_ms >= retry_ms + POLICY.shortage_quiet_ms:
            return
        self.bar = Decimal(amount) if self.bar is None else min(self.bar, Decimal(amount))
        self.retry_ms = max(self.retry_ms, retry_ms)
        self.available = None

    @precondition(lambda self: self.in_air)
    @rule(data=st.data(), was_lent=st.booleans())
    def is_over(self, data: st.DataObject, was_lent: bool) -> None:
        was_trying = self.trying
        ended = self.land(data)
        assert ended.amount is not None
        self.gate.ended(ended, was_lent=was_lent)
        if was_lent and was_trying == ended.key and self.available is not None:
            self.available -= ended.amount

    def land(self, data: st.DataObject) -> Entry:
        landed = self.in_air.pop(data.draw(st.sampled_from(sorted(self.in_air))))
        if self.trying == landed.key:
            self.trying = None
        return landed

    @precondition(lambda self: self.bar is not None)
    @rule(available=st.integers(0, 8) | st.none())
    def answer(self, available: int | None) -> None:
        self.gate.answered(CROSS, None if available is None else Decimal(available), self.now_ms)
        smallest = min((e.amount for e in self.waiting.values() if e.amount), default=None)
        self.available = smallest if available is None else Decimal(available)
        self.fresh_until_ms = self.now_ms + POLICY.inventory_fresh_ms

    @precondition(lambda self: self.idle)
    @rule(data=st.data(), is_cancelled=st.booleans())
    def withdraw(self, data: st.DataObject, is_cancelled: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.idle)))
        self.gate.withdrawn(self.idle[key])
        self.waiting.pop(key, None)
        if is_cancelled:
            del self.idle[key]

    @invariant()
    def the_gate_knows_who_waits(self) -> None:
        assert self.gate.waiting_accounts() == {e.account for e in self.waiting.values()}

    @invariant()
    def somebody_is_asked_or_trying_or_nobody_waits(self) -> None:
        later_ms = self.now_ms + 300_000 + 5_000
        if self.waiting and self.trying is None:
            assert self.gate.due(later_ms) == [CROSS]
        else:
            assert self.gate.due(later_ms) == []


TestGateMachine = GateMachine.TestCase
TestGateMachine.settings = settings(UNHURRIED, max_examples=60, stateful_step_count=40)
