"""Traffic at an embedded simulator, so that there is something to see: `serve --demo-traffic`.

A trickle of borrows and repayments of a few accounts, drawn from a seed. Some are refused, now and
then an answer is lost, and now and then an asset runs out for a while.
"""

from random import Random

import anyio

from ..errors import Closed, SchedulerError
from ..scheduler import Scheduler
from ..simulator import Simulator

ACCOUNTS = ("desk-1", "desk-2", "desk-3")
ASSETS = ("USDT", "BTC", "ETH")
OWED = "1000"
"""Of each asset at first, so that there is something to repay."""
EVERY_S = 2.0
"""Between two submissions of one account, on average."""
FAULTS = ("lost_after", "lost_before", "503_after", "-3007")
FAULT_RATE = 0.05
REFUSED_RATE = 0.05
TOO_MUCH = "999999999999"
URGENT_RATE = 0.1
SHORT_EVERY_S = 90.0
SHORT_S = 20.0
STOCK = "1000000000"


async def run_traffic(scheduler: Scheduler, simulator: Simulator, seed: int = 0) -> None:
    """Goes on until it is cancelled or the scheduler closes. The accounts are `ACCOUNTS`."""
    async with anyio.create_task_group() as tasks:
        for account in ACCOUNTS:
            for asset in ASSETS:
                simulator.set_debt(account, asset, OWED)
            random = Random(f"{seed}:{account}")  # noqa: S311 - it has to repeat, not to be secret
            tasks.start_soon(_trade, scheduler, simulator, account, random)
        tasks.start_soon(_run_short, simulator)


async def _trade(scheduler: Scheduler, simulator: Simulator, account: str, random: Random) -> None:
    while True:
        await anyio.sleep(random.expovariate(1 / EVERY_S))
        if random.random() < FAULT_RATE:
            simulator.fail_next(random.choice(FAULTS), account=account)
        kind, asset = random.choice(("BORROW", "REPAY")), random.choice(ASSETS)
        amount = TOO_MUCH if random.random() < REFUSED_RATE else str(random.randint(1, 20))
        priority = "urgent" if random.random() < URGENT_RATE else "normal"
        try:
            await scheduler.submit(account, kind, asset, amount, priority=priority)
        except Closed:
            return
        except SchedulerError:
            continue  # its queue is full, say: that too is something to see


async def _run_short(simulator: Simulator) -> None:
    while True:
        await anyio.sleep(SHORT_EVERY_S - SHORT_S)
        simulator.drain(ASSETS[-1])
        await anyio.sleep(SHORT_S)
        simulator.refill(ASSETS[-1], STOCK)
