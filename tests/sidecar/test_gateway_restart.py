"""A sidecar that starts again has lost its clients: what they asked for is cared for."""

import asyncio

import pytest

from scheduler import Scheduler, State
from scheduler.journal.memory import MemoryJournal
from scheduler.sidecar.gateway import Gateway
from scheduler.sidecar.options import SidecarOptions
from scheduler.simulator import Simulator

from ..virtual_time import Process
from .bots import BOT, World, world

pytestmark = pytest.mark.anyio


async def live(sim: Simulator, journal: MemoryJournal, amounts: list[str]) -> None:
    """A first life of a sidecar, until it is killed."""
    scheduler = Scheduler([sim.account("main")], journal=journal, transport=sim.transport)
    await scheduler.start()
    gateway = Gateway(scheduler, SidecarOptions(clients=(BOT,)))
    w = World(sim, scheduler, gateway)
    await asyncio.gather(*(w.bot().borrow(amount) for amount in amounts))


async def test_after_kill_the_repeat_of_what_was_in_the_air_is_one_loan() -> None:
    async with Simulator(port=None) as sim:
        journal = MemoryJournal()
        process = Process("sidecar")
        process.spawn(live(sim, journal, ["1", "2", "3"]))
        await asyncio.sleep(0.05)  # the first is in the air, the others are queued
        process.kill()
        await asyncio.sleep(0.2)
        async with world(sim=sim, journal=journal) as w:
            heard = await w.bot().borrow("1")
            assert heard.is_replayed
            assert heard.tran_id == sim.ledger.booked()[0].tran_id
            await asyncio.sleep(20)
            assert [t.amount for t in sim.ledger.booked()] == [1]
            assert len(await w.scheduler.list(state=State.CANCELLED)) == 2


async def test_what_is_decided_before_the_gateway_is_back_can_be_taken_over_too() -> None:
    async with Simulator(port=None) as sim:
        journal = MemoryJournal()
        process = Process("sidecar")
        process.spawn(live(sim, journal, ["1"]))
        await asyncio.sleep(0.05)
        process.kill()
        await asyncio.sleep(0.2)
        scheduler = Scheduler([sim.account("main")], journal=journal, transport=sim.transport)
        async with scheduler:
            [entry] = await scheduler.list()
            assert (await scheduler.wait(entry.key)).state is State.CONFIRMED
            gateway = Gateway(scheduler, SidecarOptions(clients=(BOT,)))
            await gateway.start()
            w = World(sim, scheduler, gateway)
            heard = await w.bot().borrow("1")
            assert (heard.is_replayed, heard.tran_id) == (True, sim.ledger.booked()[0].tran_id)
            assert not (await w.bot().borrow("1")).is_replayed
            await gateway.aclose()
            again = Gateway(scheduler, SidecarOptions(clients=(BOT,)))
            await again.start()
            assert not (await World(sim, scheduler, again).bot().borrow("1")).is_replayed
            await again.aclose()
            assert w.booked() == 3


async def test_a_key_like_the_gateways_own_with_an_amount_in_a_word_is_left_alone() -> None:
    async with Simulator(port=None) as sim, world(sim=sim) as w:
        await w.scheduler.pause("main")
        key = "bot-a:gw-0123456789abcdef01234567"
        await w.scheduler.submit("main", "REPAY", "USDT", "all", key=key)
        w.gateway._desk._recovery = None
        await w.gateway.start()
        await asyncio.sleep(5)
        assert (await w.scheduler.get(key)).state is State.QUEUED
        await w.scheduler.resume("main")
        assert (await w.bot().borrow("1")).status == 200


async def test_what_others_submitted_is_left_alone() -> None:
    async with Simulator(port=None) as sim, world(sim=sim) as w:
        await w.scheduler.pause("main")
        for key in ("bot-a:order-1", "native", "bot-c:gw-0123456789abcdef01234567"):
            await w.scheduler.submit("main", "BORROW", "USDT", "1", key=key)
        w.gateway._desk._recovery = None
        await w.gateway.start()
        await asyncio.sleep(5)
        assert len(await w.scheduler.list(state=State.QUEUED)) == 3
