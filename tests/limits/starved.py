"""A campaign about an asset that has run out: who waits for it, who must not, and what it costs."""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from scheduler import Entry
from scheduler.simulator import Simulator
from scheduler.simulator.ledger import Arrival, Transaction

from ..simulator.client import Client
from .world import World, attempts, final, live, opened

SCARCE = "BTC"
COMMON = "USDT"
PAIR = "BTCUSDT"
ACCOUNTS = tuple(f"a{number:02}" for number in range(20))
EVERY_S = 6.0
"""In which every account borrows the common asset once and repays each asset once."""
DRAINED_S = 30.0
PATIENCE_S = 3_000.0
INVENTORY = "/sapi/v1/margin/available-inventory"

Refills = Mapping[float, str]
"""When how much of the scarce asset comes back."""


@dataclass(frozen=True, slots=True)
class Job:
    """One submission, told apart in the ledger by its amount."""

    at_s: float
    account: str
    kind: str
    asset: str
    amount: str
    symbol: str | None = None


@dataclass(slots=True)
class Life:
    """What is left of a life to be judged."""

    sim: Simulator
    jobs: list[Job]
    refills: Refills
    entries: list[Entry] = field(default_factory=list)

    def refusals(self) -> list[Arrival]:
        """Borrows that the exchange had not enough for."""
        return [arrival for arrival in attempts(self.sim) if arrival.code == -3045]

    def refusals_by_refill(self) -> list[int]:
        """How many of them came before the first refill, and after each until the next."""
        bounds = [*sorted(self.refills), float("inf")]
        counts = [0] * len(bounds)
        for arrival in self.refusals():
            counts[next(n for n, bound in enumerate(bounds) if arrival.loop_s < bound)] += 1
        return counts

    def questions(self) -> list[Arrival]:
        """Inventory calls."""
        return [a for a in self.sim.ledger.arrivals if a.path == INVENTORY]

    def latencies_s(self, kind: str, asset: str) -> list[float]:
        """From submission until booked, shortest first."""
        asked_s = {_marks(job): job.at_s for job in self.jobs}
        booked = [t for t in self.sim.ledger.booked() if (t.kind, t.asset) == (kind, asset)]
        return sorted(t.finished_s - asked_s[_marks(t)] for t in booked)

    def weight(self) -> int:
        """What waiting has cost, over all accounts: refusals and inventory calls."""
        return sum(arrival.weight for arrival in (*self.refusals(), *self.questions()))

    def waited_s(self) -> float:
        """How long the scarce asset's borrows took, all together."""
        return sum(self.latencies_s("BORROW", SCARCE))

    def lent(self, *, isolated: bool = False) -> list[Transaction]:
        """The scarce asset's loans, in the order in which they were made."""
        return [
            t
            for t in self.sim.ledger.booked()
            if (t.kind, t.asset) == ("BORROW", SCARCE) and (t.symbol is not None) == isolated
        ]


def waiting_line(amounts: Sequence[str], at_s: float, spread_s: float) -> list[Job]:
    """Borrows of the scarce asset, one an account, submitted in this order."""
    return [
        Job(at_s + spread_s * number, account, "BORROW", SCARCE, amount)
        for number, (account, amount) in enumerate(zip(ACCOUNTS, amounts, strict=False))
    ]


def other_work(until_s: float) -> list[Job]:
    """What goes on besides: nothing of it needs the scarce asset's inventory."""
    draw = random.Random("other work")
    jobs: list[Job] = []
    for account in ACCOUNTS:
        for number in range(int(until_s / EVERY_S)):
            begins_s = number * EVERY_S
            for kind, asset in (("BORROW", COMMON), ("REPAY", COMMON), ("REPAY", SCARCE)):
                # So little that repayments of the scarce asset never feed its inventory.
                amount = f"0.{len(jobs) + 1:08}"
                at_s = begins_s + draw.uniform(0, EVERY_S)
                jobs.append(Job(at_s, account, kind, asset, amount))
    return jobs


def starve(
    line: Iterable[Job],
    refills: Refills,
    *,
    until_s: float = 0.0,
    is_drained: bool = True,
    is_isolated: bool = False,
    **exchange: Any,
) -> Life:
    """Live it until everything is final; `until_s` is how long there is other work to do.

    With `is_isolated` it is the isolated inventory that runs out and comes back.
    """
    sim = _exchange(**exchange)
    jobs = sorted([*line, *other_work(until_s)], key=lambda job: job.at_s)
    life = Life(sim, jobs, refills)

    async def main() -> None:
        async with sim, opened(sim, *ACCOUNTS) as world:
            began_s = world.now_s()
            if is_drained:
                _plan(sim, refills, is_isolated)
            keys = {job: next(world.keys) for job in jobs}
            await asyncio.gather(*(_submit(world, job, keys[job], began_s) for job in jobs))
            life.entries = await final(world, list(keys.values()))

    live(sim, main)
    return life


async def _submit(world: World, job: Job, key: str, began_s: float) -> None:
    await asyncio.sleep(began_s + job.at_s - world.now_s())
    await world.scheduler.submit(
        job.account,
        job.kind,
        job.asset,
        job.amount,
        symbol=job.symbol,
        key=key,
        send_within=PATIENCE_S,
    )


def plain_back_off(line: Iterable[Job], refills: Refills, **exchange: Any) -> Life:
    """The same borrows by clients that each try again after 1 s, 2 s, … up to 5 min."""
    sim, jobs = _exchange(**exchange), list(line)
    life = Life(sim, jobs, refills)

    async def insist(job: Job) -> None:
        client, wait_s = Client(sim, job.account), 1.0
        await asyncio.sleep(job.at_s)
        while True:
            said = await client.borrow(job.asset, job.amount)
            if said.status == 200:
                return
            assert said.code == -3045
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, 300.0)

    async def main() -> None:
        async with sim:
            _plan(sim, refills)
            await asyncio.gather(*(insist(job) for job in jobs))

    live(sim, main)
    return life


def _exchange(**exchange: Any) -> Simulator:
    sim = Simulator(**{"port": None, **exchange})
    for account in ACCOUNTS:
        for asset in (SCARCE, COMMON):
            sim.set_debt(account, asset, "1000000")
    return sim


def _plan(sim: Simulator, refills: Refills, is_isolated: bool = False) -> None:
    later = asyncio.get_running_loop().call_later
    later(DRAINED_S, partial(sim.drain, SCARCE, isolated=is_isolated))
    for at_s, amount in refills.items():
        later(at_s, partial(sim.refill, SCARCE, amount, isolated=is_isolated))


def _marks(what: Job | Transaction) -> tuple[str, str, str, Decimal]:
    """What tells one submission from all others."""
    return what.account, what.kind, what.asset, Decimal(what.amount)
