"""Short ways to make the values that tests are about; what a test does not name has a default."""

from decimal import Decimal

from hypothesis import HealthCheck, settings

from scheduler.model import (
    Attempt,
    Entry,
    Evidence,
    Kind,
    Outcome,
    Priority,
    State,
    Submission,
    Transaction,
)

NOW_MS = 1_800_000_000_000
"""When the attempts of these tests are minted. A whole minute, as it happens."""
W_MS = 5_000
DAY_MS = 86_400_000
ACCOUNT = "main"

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For properties: a machine that is busy with other things is no failure."""


def submission(
    key: str = "k1",
    *,
    account: str = ACCOUNT,
    kind: Kind = Kind.BORROW,
    asset: str = "USDT",
    requested: str = "100",
    symbol: str | None = None,
    priority: Priority = Priority.NORMAL,
    at_most: bool = False,
    submitted_at_ms: int = NOW_MS - 1_000,
    deadline_ms: int = NOW_MS + DAY_MS,
) -> Submission:
    return Submission(
        key=key,
        account=account,
        kind=kind,
        asset=asset,
        requested=requested,
        symbol=symbol,
        priority=priority,
        at_most=at_most,
        submitted_at_ms=submitted_at_ms,
        deadline_ms=deadline_ms,
    )


def attempt(
    *,
    number: int = 1,
    timestamp_ms: int = NOW_MS,
    recv_window_ms: int = W_MS,
    amount: str = "100",
    exclusion: str = ACCOUNT,
    body: str = "asset=USDT",
    outcome: Outcome = Outcome.IN_AIR,
    ended_at_ms: int | None = None,
) -> Attempt:
    return Attempt(
        number=number,
        timestamp_ms=timestamp_ms,
        recv_window_ms=recv_window_ms,
        amount=Decimal(amount),
        exclusion=exclusion,
        body=body,
        outcome=outcome,
        ended_at_ms=ended_at_ms,
    )


def entry(
    state: State = State.QUEUED,
    key: str = "k1",
    *,
    seq: int = 1,
    account: str = ACCOUNT,
    kind: Kind = Kind.BORROW,
    asset: str = "USDT",
    amount: str = "100",
    symbol: str | None = None,
    priority: Priority = Priority.NORMAL,
    deadline_ms: int = NOW_MS + DAY_MS,
    tried: Attempt | None = None,
    needs_person: bool = False,
    tran_id: int | None = None,
) -> Entry:
    """An entry as it looks in a state; from SENT on with an attempt that left at `NOW_MS`."""
    was_tried = state not in {State.QUEUED, State.EXPIRED, State.CANCELLED}
    if was_tried and tried is None:
        is_in_air = state is State.SENT
        is_lost = state in {State.UNKNOWN, State.UNRESOLVED, State.NOT_EXECUTED}
        answered = Outcome.LOST if is_lost else Outcome.ANSWERED
        tried = attempt(
            amount="100" if amount in {"all", "max"} else amount,
            exclusion=account,
            outcome=Outcome.IN_AIR if is_in_air else answered,
            ended_at_ms=None if is_in_air else NOW_MS + 100,
        )
    if state in {State.ACCEPTED, State.CONFIRMED} and tran_id is None:
        tran_id = 1_000 + seq
    is_searched = state in {State.ACCEPTED, State.UNKNOWN, State.UNRESOLVED}
    said = Evidence(at_ms=NOW_MS + 100, source="reply", detail=f"tranId {tran_id}")
    return Entry(
        submission=submission(
            key,
            account=account,
            kind=kind,
            asset=asset,
            requested=amount,
            symbol=symbol,
            priority=priority,
            deadline_ms=deadline_ms,
        ),
        seq=seq,
        version=1 if tried is None else 2,
        state=state,
        attempt=tried,
        attempts=0 if tried is None else 1,
        tran_id=tran_id,
        finished_at_ms=NOW_MS + 100 if state.is_final else None,
        searching_since_ms=NOW_MS + 100 if is_searched else None,
        look_not_before_ms=NOW_MS + 600 if is_searched and not needs_person else None,
        needs_person=needs_person,
        evidence=(said,) if tran_id is not None else (),
    )


def record(
    tran_id: int = 9_001,
    *,
    status: str = "CONFIRMED",
    timestamp_ms: int = NOW_MS + 150,
    amount: str = "100",
    kind: Kind = Kind.BORROW,
    asset: str = "USDT",
    symbol: str | None = None,
    origin: str = "MANUAL",
) -> Transaction:
    """A record of the exchange that fits `entry()`'s attempt."""
    return Transaction(
        tran_id=tran_id,
        kind=kind,
        origin=origin,
        asset=asset,
        symbol=symbol,
        amount=Decimal(amount),
        status=status,
        timestamp_ms=timestamp_ms,
    )
