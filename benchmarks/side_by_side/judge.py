"""Holds what a client was told against what the exchange really did."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .told import Says, Told
from .work import Ask, Work

MINUTE_S = 60.0
SLOTS = 120
"""Borrow/repay calls that a minute's weight has room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One client at one work."""

    client: str
    work: str
    asked: int
    confirmed: int
    """Told CONFIRMED, and in the ledger under the id that was told."""
    refused: Mapping[str, int]
    """What callers were told instead, by code."""
    unknown: int
    """Callers left without an answer that settles it."""
    took_s: float
    ideal_s: float
    """The exchange cannot be worked faster; see `ideal_s`."""
    of_ideal: float | None
    """None unless all was confirmed: whoever gives up is soon done."""
    attempts: int
    """Borrow requests that reached the exchange."""
    exchange_refusals: Mapping[str, int]
    weight_each: float | None
    """Weight of the borrow call's budget spent for each confirmed borrow."""
    limited: int
    """Requests answered with 429."""
    banned: int
    """Requests answered with 418: sent on while the address was banned."""
    not_known: int
    """Loans in the ledger that no caller was told of: money owed that nobody knows about."""
    doubled: int
    """Loans that were booked again for one ask."""
    wrong: int
    """Callers told that it did not happen, or under an id that is not in the ledger, wrongly."""
    cpu_ms_each: float
    """The client's own processor time for each ask, without the sidecar's."""


def score(
    client: str,
    work: Work,
    told: Iterable[Told],
    ledger: Mapping[str, Any],
    *,
    took_s: float,
    cpu_s: float,
) -> Score:
    told = list(told)
    booked = [t for t in ledger["transactions"] if t["status"] == "CONFIRMED"]
    tries = [a for a in ledger["arrivals"] if _is_try(a)]
    by_ask = Counter(_ask_of(t) for t in booked)
    ids = {t["tran_id"]: _ask_of(t) for t in booked}
    right = {t.tran_id for ask, t in _said(work, told, Says.CONFIRMED) if ids.get(t.tran_id) == ask}
    refused = _said(work, told, Says.REFUSED)
    false_no = sum(by_ask[ask] > 0 for ask, _ in refused)
    false_yes = sum(t.says is Says.CONFIRMED for t in told) - len(right)
    ideal = ideal_s(work, ledger)
    return Score(
        client=client,
        work=work.name,
        asked=len(work.asks),
        confirmed=len(right),
        refused=dict(Counter(str(t.code) for _, t in refused).most_common()),
        unknown=sum(t.says is Says.UNKNOWN for t in told),
        took_s=round(took_s, 3),
        ideal_s=round(ideal, 3),
        of_ideal=round(took_s / ideal, 4) if len(right) == len(work.asks) else None,
        attempts=len(tries),
        exchange_refusals=dict(
            Counter(_refusal(a) for a in tries if a["status"] not in {200, None}).most_common()
        ),
        weight_each=round(sum(a["weight"] for a in tries) / len(right), 1) if right else None,
        limited=sum(a["status"] == 429 for a in ledger["arrivals"]),
        banned=sum(a["status"] == 418 for a in ledger["arrivals"]),
        not_known=len(ids.keys() - right),
        doubled=sum(count - 1 for count in by_ask.values()),
        wrong=false_no + false_yes,
        cpu_ms_each=round(1000 * cpu_s / len(work.asks), 3),
    )


def ideal_s(work: Work, ledger: Mapping[str, Any]) -> float:
    """No client can be faster: an account's requests run one after the other, and any 60 s have
    room for 120 of them. Of a starved asset, nothing can be had before it comes back."""
    drawn = {
        account: ledger["statistics"]["accounts"].get(account, {}).get("processing_ms", 0.0) / 1000
        for account in work.accounts
    }
    ideal = 0.0
    for account, processing_s in drawn.items():
        asks = sum(ask.account == account for ask in work.asks)
        rounds = (asks - 1) // SLOTS
        rest = (asks - rounds * SLOTS) / asks
        ideal = max(ideal, rounds * MINUTE_S + processing_s * rest)
    if work.refills:
        at_s, asset, _ = work.refills[-1]
        starved = sum(ask.asset == asset for ask in work.asks) / len(work.asks)
        ideal = max(ideal, at_s + max(drawn.values()) * starved)
    return ideal


def _said(work: Work, told: list[Told], says: Says) -> list[tuple[tuple[str, ...], Told]]:
    pairs = zip(work.asks, told, strict=True)
    return [(_key(ask), t) for ask, t in pairs if t.says is says]


def _key(ask: Ask) -> tuple[str, ...]:
    return ask.account, ask.asset, f"{float(ask.amount):.3f}"


def _ask_of(transaction: Mapping[str, Any]) -> tuple[str, ...]:
    amount = f"{float(transaction['amount']):.3f}"
    return transaction["account"], transaction["asset"], amount


def _is_try(arrival: Mapping[str, Any]) -> bool:
    path = "/sapi/v1/margin/borrow-repay"
    return bool(arrival["method"] == "POST" and arrival["path"] == path)


def _refusal(arrival: Mapping[str, Any]) -> str:
    return str(arrival["code"] if arrival["code"] is not None else arrival["status"])
