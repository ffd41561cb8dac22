"""What both clients are asked to do, and the exchanges they do it at: the same for a seed."""

from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle
from random import Random
from typing import Literal

STEPS = {"USDT": Decimal("0.1"), "ETH": Decimal("0.0001"), "BTC": Decimal("0.00001")}
"""The assets, with what one amount differs from the next by."""
OWED = {"USDT": "1000000", "ETH": "1000", "BTC": "100"}
"""What each account owes at the start: enough for every repayment, in whatever order they go."""

LOST_ANSWERS = ("lost_after", "1007_after", "503_after")
"""Faults of the simulator in which a request is executed and its answer is lost."""


@dataclass(frozen=True, slots=True)
class Order:
    """One borrow or repayment. No two of an account are alike, so the ledger tells them apart."""

    account: str
    kind: Literal["BORROW", "REPAY"]
    asset: str
    amount: Decimal

    @property
    def change(self) -> Decimal:
        """What it does to the debt."""
        return self.amount if self.kind == "BORROW" else -self.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """All of it, account by account."""

    seed: int
    orders: dict[str, list[Order]]
    lost_answers: dict[str, str]
    """By account, how the answer to its first request is lost. The last account's is not."""

    @property
    def accounts(self) -> list[str]:
        return list(self.orders)

    @property
    def size(self) -> int:
        return sum(len(orders) for orders in self.orders.values())


def make_burst(seed: int, accounts: int, requests: int) -> Burst:
    """`requests` for each account, three borrows to two repayments."""
    names = [f"account-{number}" for number in range(1, accounts + 1)]
    # The last account shows the pace that nothing disturbs; if there is but one, it has to do.
    unlucky = names[:-1] or names
    return Burst(
        seed=seed,
        orders={name: _orders(Random(f"{seed}:{name}"), name, requests) for name in names},  # noqa: S311
        lost_answers=dict(zip(unlucky, cycle(LOST_ANSWERS), strict=False)),
    )


def _orders(random: Random, account: str, requests: int) -> list[Order]:
    orders = []
    for number in range(requests):
        kind: Literal["BORROW", "REPAY"] = "BORROW" if random.random() < 0.6 else "REPAY"
        asset = random.choice(list(STEPS))
        orders.append(Order(account, kind, asset, STEPS[asset] * (1_000 + number)))
    return orders
