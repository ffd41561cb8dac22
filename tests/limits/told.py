"""One submission and what the exchange says to it: what its caller sees, and what that costs."""

import asyncio
from dataclasses import dataclass

from scheduler import AccountStopped, NotConfirmed, State
from scheduler.simulator import Simulator

from .world import World, attempts, live, opened

MAIN = "main"
ALWAYS = 1_000_000
"""More often than anybody asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one submission."""

    state: State
    raised: str | None
    """The exception that whoever waited got; None if it was CONFIRMED."""
    code: int | None
    name: str | None
    message: str | None
    attempts: int
    """Borrows or repayments that arrived."""
    weight: int
    """What the exchange charged the account, for other calls too."""
    booked: int
    took_s: float
    """From submitting until the caller was told."""
    is_stopped: bool
    """Whether the account takes nothing more."""
    alarms: frozenset[str]


def told(
    fault: str | int | None,
    *,
    kind: str = "BORROW",
    amount: str = "1",
    debt: str = "1000",
    send_within: float = 600.0,
    times: int = 1,
    status: int | None = None,
    **exchange: object,
) -> Outcome:
    """Submit one request whose first `times` attempts suffer the fault, and wait for the end."""
    sim = Simulator(**{"port": None, **exchange})

    async def life() -> Outcome:
        async with sim, opened(sim, MAIN) as world:
            sim.set_debt(MAIN, "USDT", debt)
            if fault is not None:
                sim.fail_next(fault, times=times, status=status)
            return await _told(world, kind, amount, send_within)

    return live(sim, life)


async def _told(world: World, kind: str, amount: str, send_within: float) -> Outcome:
    sim, scheduler = world.sim, world.scheduler
    call = scheduler.borrow if kind == "BORROW" else scheduler.repay
    began_s, raised = world.now_s(), None
    try:
        entry = await call(MAIN, "USDT", amount, key="only", send_within=send_within)
    except NotConfirmed as error:
        entry, raised = error.entry, type(error).__name__
    took_s = world.now_s() - began_s
    arrived = [a for a in sim.ledger.arrivals if a.account == MAIN]
    await asyncio.sleep(0.1)  # an alarm may come a moment after its caller was told
    return Outcome(
        state=entry.state,
        raised=raised,
        code=entry.code,
        name=entry.name,
        message=entry.message,
        attempts=len(attempts(sim, MAIN)),
        weight=sum(a.weight for a in arrived if a.budget == "uid"),
        booked=len(sim.ledger.booked(MAIN)),
        took_s=took_s,
        is_stopped=await _is_stopped(world),
        alarms=frozenset(alarm.cause for alarm in world.alarms),
    )


async def _is_stopped(world: World) -> bool:
    world.sim.clear_faults()
    try:
        await world.scheduler.borrow(MAIN, "USDT", "2")
    except AccountStopped:
        return True
    return False
