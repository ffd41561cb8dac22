"""What arrives when: drawn once, from a seed, before anything is sent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

RATE_MAX = 10_000.0
DURATION_MAX_S = 3_600.0
ASSETS = ("USDT", "BTC", "ETH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """The shares of what arrives."""

    accounts: Sequence[str]
    assets: Sequence[str] = ASSETS
    repay_share: float = 0.3
    urgent_share: float = 0.05
    amounts: tuple[int, int] = (1, 100)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One submission and when it is due, in seconds from the start."""

    due_s: float
    body: dict[str, Any]


def arrivals(mix: Mix, *, rate: float, duration_s: float, seed: int, run: str) -> Iterator[Arrival]:
    """A Poisson stream: `rate` a second on average, and independent of any answer.

    The same seed is the same stream; `run` goes into the keys, because a key that a sidecar has
    seen before is no new submission.
    """
    random, due_s, number = Random(seed), 0.0, 0
    while (due_s := due_s + random.expovariate(rate)) < duration_s:
        number += 1
        yield Arrival(due_s, _body(mix, random, f"load-{run}-{number}"))


def _body(mix: Mix, random: Random, key: str) -> dict[str, Any]:
    return {
        "key": key,
        "account": random.choice(mix.accounts),
        "kind": "REPAY" if random.random() < mix.repay_share else "BORROW",
        "asset": random.choice(mix.assets),
        "amount": str(random.randint(*mix.amounts)),
        "priority": "urgent" if random.random() < mix.urgent_share else "normal",
    }
