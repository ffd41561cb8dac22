"""The same burst through the scheduler, with its journal in a file."""

import asyncio
import tempfile
from pathlib import Path

from ... import Entry, NotConfirmed, Scheduler, State
from .burst import Burst, Order
from .progress import Progress, Stage
from .stage import Venue
from .told import Told

TIMEOUT_S = 25.0
"""For the whole burst; it is only there so that a defect cannot make the demo hang."""

STAGES = {
    State.QUEUED: Stage.QUEUED,
    State.SENT: Stage.IN_AIR,
    State.ACCEPTED: Stage.LOOKING,
    State.UNKNOWN: Stage.LOOKING,
    State.UNRESOLVED: Stage.LOST,
    State.CONFIRMED: Stage.CONFIRMED,
    State.REJECTED: Stage.REFUSED,
    State.NOT_EXECUTED: Stage.REFUSED,
    State.EXPIRED: Stage.REFUSED,
    State.CANCELLED: Stage.REFUSED,
}


async def run(venue: Venue, burst: Burst, progress: Progress) -> dict[Order, Told]:
    """Everything at once, as the naive client does it. Gives what the callers were told."""

    def changed(entry: Entry) -> None:
        progress.move(entry.account, entry.key, STAGES[entry.state])

    orders = [order for orders in burst.orders.values() for order in orders]
    with tempfile.TemporaryDirectory(prefix="margin-scheduler-") as folder:
        async with Scheduler(
            venue.accounts.values(),
            base_url=venue.base_url,
            journal=f"sqlite:///{Path(folder, 'demo.db').as_posix()}",
            on_change=changed,
        ) as scheduler:
            progress.start()
            told = await asyncio.gather(*(_carry_out(scheduler, order) for order in orders))
    return dict(zip(orders, told, strict=True))


async def _carry_out(scheduler: Scheduler, order: Order) -> Told:
    call = scheduler.borrow if order.kind == "BORROW" else scheduler.repay
    try:
        entry = await call(order.account, order.asset, order.amount, timeout=TIMEOUT_S)
    except NotConfirmed as error:
        return Told(code=error.entry.code)
    return Told(tran_id=entry.tran_id)
