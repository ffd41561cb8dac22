"""The simulated exchanges, in a process of their own: who judges is not who is judged."""

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from ...simulator import SimulatedAccount, Simulator
from ..failed import Failed
from .burst import OWED, Burst

READY_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Venue:
    """One exchange, and the accounts on it."""

    base_url: str
    accounts: dict[str, SimulatedAccount]


@contextmanager
def exchanges(burst: Burst, count: int) -> Iterator[Sequence[Venue]]:
    """So many exchanges that are exactly alike, with the burst's accounts, until it is left."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, burst, count), daemon=True)
    # Ctrl-C reaches both processes. The other one ends when this one is done, so it ignores it,
    # from its very first moment.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    theirs.close()
    try:
        yield _ready(ours)
    finally:
        # The other side takes the end of the pipe for the end of the play, and sees it even if
        # this process is killed.
        ours.close()
        process.join(STOP_TIMEOUT_S)
        if process.is_alive():
            process.kill()


def _ready(ours: "Connection[None, Sequence[Venue]]") -> Sequence[Venue]:
    try:
        if ours.poll(READY_TIMEOUT_S):
            return ours.recv()
    except EOFError:
        pass
    raise Failed("the simulated exchange did not start", exit_code=1)


# In the other process


def _run(theirs: "Connection[Sequence[Venue], None]", burst: Burst, count: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows, where it is not inherited
    # The first process has gone: nobody is there to be told.
    with suppress(EOFError, OSError):
        asyncio.run(_serve(theirs, burst, count))


async def _serve(theirs: "Connection[Sequence[Venue], None]", burst: Burst, count: int) -> None:
    async with AsyncExitStack() as stack:
        venues = []
        for _ in range(count):
            simulator = Simulator(
                seed=burst.seed, epoch_ms=time.time_ns() // 1_000_000, interest="none"
            )
            await stack.enter_async_context(simulator)
            venues.append(_furnish(simulator, burst))
        theirs.send(venues)
        # Never sends anything: this is the wait for the end of the pipe.
        await asyncio.to_thread(theirs.recv)


def _furnish(simulator: Simulator, burst: Burst) -> Venue:
    accounts = {}
    for name in burst.accounts:
        accounts[name] = simulator.account(name)
        for asset, amount in OWED.items():
            simulator.set_debt(name, asset, amount)
    for name, fault in burst.lost_answers.items():
        simulator.fail_next(fault, account=name)
    return Venue(simulator.base_url, accounts)
