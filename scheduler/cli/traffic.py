"""Traffic at an embedded simulator, so that there is something to see: `serve --demo-traffic`.

Borrows and repayments of a few accounts, drawn from a seed. Some are refused, now and then an
answer is lost, and now and then an asset runs out for a while. One account works in bursts while
orders occupy it, one is used by another program too, and one is paused.
"""

from random import Random

import anyio

from ..errors import Closed, SchedulerError
from ..scheduler import Scheduler
from ..simulator import Simulator

TRADERS = ("desk-1", "desk-2", "desk-3")
BURSTY, SHARED, PAUSED = "market-maker", "treasury", "reserve"
ACCOUNTS = (*TRADERS, BURSTY, SHARED, PAUSED)
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
BURST_EVERY_S = 25.0
BURST = 12
ORDER_MS = 1_500
"""How long somebody's order occupies the account."""
MIXED_UP_AFTER_S = 5.0
MIXED_UP_GAP_S = 0.3
PAUSED_REPAYMENTS = 3


async def run_traffic(scheduler: Scheduler, simulator: Simulator, seed: int = 0) -> None:
    """Goes on until it is cancelled or the scheduler closes. The accounts are `ACCOUNTS`."""
    async with anyio.create_task_group() as tasks:
        for account in ACCOUNTS:
            for asset in ASSETS:
                simulator.set_debt(account, asset, OWED)
        for account in TRADERS:
            tasks.start_soon(_trade, scheduler, simulator, account, seed)
        tasks.start_soon(_run_short, simulator)
        tasks.start_soon(_burst, scheduler, simulator)
        tasks.start_soon(_share, scheduler, simulator, seed)
        tasks.start_soon(_pause, scheduler)


async def _trade(
    scheduler: Scheduler,
    simulator: Simulator,
    account: str,
    seed: int,
    assets: tuple[str, ...] = ASSETS,
    fault_rate: float = FAULT_RATE,
) -> None:
    random = Random(f"{seed}:{account}")  # noqa: S311 - it has to repeat, not to be secret
    while True:
        await anyio.sleep(random.expovariate(1 / EVERY_S))
        if random.random() < fault_rate:
            simulator.fail_next(random.choice(FAULTS), account=account)
        kind, asset = random.choice(("BORROW", "REPAY")), random.choice(assets)
        amount = TOO_MUCH if random.random() < REFUSED_RATE else str(random.randint(1, 20))
        priority = "urgent" if random.random() < URGENT_RATE else "normal"
        if not await _submit(scheduler, account, kind, asset, amount, priority):
            return


async def _run_short(simulator: Simulator) -> None:
    while True:
        await anyio.sleep(SHORT_EVERY_S - SHORT_S)
        simulator.drain(ASSETS[-1])
        await anyio.sleep(SHORT_S)
        simulator.refill(ASSETS[-1], STOCK)


async def _burst(scheduler: Scheduler, simulator: Simulator) -> None:
    """Many at once while the exchange works at somebody's order, and then something urgent."""
    while True:
        await anyio.sleep(BURST_EVERY_S / 5)
        simulator.order(BURSTY, "BTC", "0.5", "auto_repay", occupies_ms=ORDER_MS)
        for number in range(BURST):
            kind = "REPAY" if number % 3 == 2 else "BORROW"
            if not await _submit(scheduler, BURSTY, kind, "USDT", str(5 + number)):
                return
        await anyio.sleep(ORDER_MS / 1_000)
        if not await _submit(scheduler, BURSTY, "REPAY", "USDT", "40", "urgent"):
            return
        await anyio.sleep(BURST_EVERY_S * 4 / 5)


async def _share(scheduler: Scheduler, simulator: Simulator, seed: int) -> None:
    """Another program borrows, and the answer to an equal loan is lost just then: only a person can
    tell which is whose. What comes after is of other assets, for that one waits."""
    await anyio.sleep(MIXED_UP_AFTER_S)
    mixed_up, *others = ASSETS
    simulator.foreign(SHARED, "BORROW", mixed_up, "250")
    await anyio.sleep(MIXED_UP_GAP_S)
    simulator.fail_next("lost_after", account=SHARED)
    if await _submit(scheduler, SHARED, "BORROW", mixed_up, "250"):
        await _trade(scheduler, simulator, SHARED, seed, tuple(others), fault_rate=0)


async def _pause(scheduler: Scheduler) -> None:
    try:
        await scheduler.pause(PAUSED)
    except SchedulerError:
        return
    for number in range(PAUSED_REPAYMENTS):
        if not await _submit(scheduler, PAUSED, "REPAY", "USDT", str(number + 1)):
            return


async def _submit(
    scheduler: Scheduler,
    account: str,
    kind: str,
    asset: str,
    amount: str,
    priority: str = "normal",
) -> bool:
    """Whether to go on. A full queue, say, is something to see too."""
    try:
        await scheduler.submit(account, kind, asset, amount, priority=priority)
    except Closed:
        return False
    except SchedulerError:
        pass
    return True
