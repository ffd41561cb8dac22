"""What really happened, by the exchange's own ledger, beside what the client was told."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import aiohttp

from ..failed import Failed
from .burst import OWED, Burst, Order
from .progress import Progress
from .stage import Venue
from .told import Told

LEDGER_PATH = "/simulator/ledger?arrivals"
LOANS_PATH = "/sapi/v1/margin/borrow-repay"
SETTLE_TIMEOUT_S = 5.0
POLL_S = 0.05

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long an account took, and the sum of the processing times that were drawn for it."""

    elapsed_s: float
    ideal_s: float

    @property
    def ratio(self) -> float:
        return self.elapsed_s / self.ideal_s if self.ideal_s else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One client's run. The first four are what it was told, the rest is what the ledger says."""

    requests: int
    confirmed: int
    refused: Mapping[str, int]
    """By code, as text."""
    unanswered: int

    elapsed_s: float
    ideal_s: float
    """Of the busiest account."""
    lanes: Mapping[str, Pace]
    sent: int
    """Calls that reached the exchange."""
    busy: int
    """Of these, answered with -3007."""
    limited: int
    """Of these, answered with 429."""
    banned: int
    """Of these, answered with 418."""
    weight: int
    booked: int
    repeated: int
    """Transactions beyond the first of one request."""
    unknown: int
    """Transactions whose id the client was never told."""
    problems: tuple[str, ...]
    """Whatever is not exactly one transaction a request, under the id that was told."""

    @property
    def weight_each(self) -> float | None:
        return self.weight / self.confirmed if self.confirmed else None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"weight_each": self.weight_each}


async def judge(
    venue: Venue, burst: Burst, told: Mapping[Order, Told], progress: Progress
) -> Verdict:
    """Waits until nothing is being processed any more, and compares."""
    ledger = await _settled_ledger(venue.base_url)
    booked = [row for row in ledger["transactions"] if row["status"] == "CONFIRMED"]
    calls = [
        row for row in ledger["arrivals"] if row["method"] == "POST" and row["path"] == LOANS_PATH
    ]
    ids = {answer.tran_id for answer in told.values()}
    accounts = ledger["statistics"]["accounts"]
    lanes = {
        name: Pace(lane.finished_s or 0.0, accounts[name]["processing_ms"] / 1000)
        for name, lane in progress.lanes.items()
        if name in accounts
    }
    return Verdict(
        requests=burst.size,
        confirmed=sum(answer.tran_id is not None for answer in told.values()),
        refused=dict(Counter(str(answer.code) for answer in told.values() if answer.code)),
        unanswered=sum(answer == Told() for answer in told.values()),
        elapsed_s=max((lane.finished_s or 0.0 for lane in progress.lanes.values()), default=0.0),
        ideal_s=max((pace.ideal_s for pace in lanes.values()), default=0.0),
        lanes=lanes,
        sent=len(calls),
        busy=sum(row["code"] == -3007 for row in calls),
        limited=sum(row["status"] == 429 for row in calls),
        banned=sum(row["status"] == 418 for row in calls),
        weight=sum(row["weight"] for row in calls),
        booked=len(booked),
        repeated=len(booked) - len({_order(row) for row in booked}),
        unknown=sum(row["tran_id"] not in ids for row in booked),
        problems=tuple(_problems(burst, told, booked, accounts)),
    )


def _problems(
    burst: Burst, told: Mapping[Order, Told], booked: list[Row], accounts: Mapping[str, Row]
) -> Iterator[str]:
    ids: defaultdict[Order, list[int]] = defaultdict(list)
    for row in booked:
        ids[_order(row)].append(row["tran_id"])
    for order, answer in told.items():
        found = ids.pop(order, [])
        if found != [answer.tran_id]:
            what = f"{order.account} {order.kind} {order.amount} {order.asset}"
            yield f"{what}: told {answer.tran_id or answer.code or 'nothing'}, booked {found}"
    for order, found in ids.items():
        yield f"nobody asked for {order}: booked {found}"
    for name, orders in burst.orders.items():
        debts = accounts.get(name, {}).get("debts", OWED)
        for asset, owed in OWED.items():
            due = Decimal(owed) + sum(order.change for order in orders if order.asset == asset)
            if Decimal(debts.get(asset, 0)) != due:
                yield f"{name} should owe {due} {asset} and owes {debts.get(asset, 0)}"


async def _settled_ledger(base_url: str) -> dict[str, Any]:
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(SETTLE_TIMEOUT_S):
            while True:
                async with session.get(base_url + LEDGER_PATH) as response:
                    ledger: dict[str, Any] = await response.json()
                if all(row["status"] != "PENDING" for row in ledger["transactions"]):
                    return ledger
                await asyncio.sleep(POLL_S)
    except (aiohttp.ClientError, TimeoutError) as error:
        why = type(error).__name__
        raise Failed(f"the simulated exchange shows no final ledger: {why}", exit_code=1) from None


def _order(row: Row) -> Order:
    return Order(row["account"], row["kind"], row["asset"], Decimal(row["amount"]))
