"""Many impatient clients that want equal loans, judged by the exchange's ledger."""

import asyncio
import random

import pytest

from scheduler.journal import Journal

from ..test_journal_failure import FailingJournal
from .bots import BOT, OTHER, World, world
from .test_gateway_trouble import SlowJournal

pytestmark = pytest.mark.anyio

CLIENTS = 8
ADOPT_S = 600.0
"""Longer than any pause of theirs."""


async def insistent(w: World, draws: random.Random) -> None:
    """Wants one loan, hangs up again and again, and repeats until it is told that it has it."""
    await asyncio.sleep(draws.uniform(0, 3))
    while True:
        asking = asyncio.create_task(w.bot(BOT).borrow())
        await asyncio.wait([asking], timeout=draws.choice([0.02, 0.1, 0.3, 1, 5, 30]))
        if not asking.done():
            asking.cancel()
            await asyncio.wait([asking])
        elif asking.result().status == 200:
            return
        await asyncio.sleep(draws.choice([0, 0.05, 1]))


@pytest.mark.parametrize("seed", range(12))
async def test_as_many_loans_as_clients_were_told(seed: int) -> None:
    draws = random.Random(seed)
    journals: list[str | Journal] = [
        "memory:",
        SlowJournal(),
        FailingJournal("add", 5, keeps=draws.random() < 0.5),
    ]
    journal = draws.choice(journals)
    async with world(
        seed=seed, journal=journal, adopt_s=ADOPT_S, patience_ms=draws.choice([300, 2_000, 8_000])
    ) as w:
        w.sim.fault_rates = {
            "lost_after": 0.05,
            "lost_before": 0.05,
            "503_after": 0.03,
            "503_before": 0.03,
            "never_left": 0.05,
            -3007: 0.1,
        }
        other = asyncio.create_task(w.bot(OTHER).borrow("77"))
        await asyncio.gather(*(insistent(w, random.Random(f"{seed}/{n}")) for n in range(CLIENTS)))
        await other
        await asyncio.sleep(ADOPT_S)
        assert len([t for t in w.sim.ledger.booked() if t.amount == 10]) == CLIENTS
