"""Asks the exchange what it can lend while an asset is short, and tells those who wait."""

import asyncio
from collections.abc import Callable

import anyio

from .clock import Clock
from .inventory import InventoryGate, Pool, Refusal
from .worker import Worker

POLL_S = 0.25
"""How often the gate is looked at while an asset is short."""


class Gatekeeper:
    """Acts for the inventory gate of one scheduler."""

    def __init__(
        self,
        gate: InventoryGate,
        clock: Clock,
        worker_of: Callable[[str], Worker | None],
        tell: Callable[[Refusal], None],
    ) -> None:
        """`tell` has others hear of a refusal; it must not block."""
        self._gate = gate
        self._tell = tell
        self._clock = clock
        self._worker_of = worker_of
        self._has_changed = asyncio.Event()

    def changed(self) -> None:
        """A borrow of a starved asset was lent or refused: others may be free to go."""
        self._has_changed.set()
        for refusal in self._gate.news():
            self._tell(refusal)
        for account in self._gate.waiting_accounts():
            if (worker := self._worker_of(account)) is not None:
                worker.poke()

    def heard(self, refusal: Refusal, age_ms: int) -> None:
        """Another scheduler was refused, so long ago."""
        self._gate.heard(refusal, age_ms, self._clock.now_ms())
        self.changed()

    async def run(self) -> None:
        """Ask whenever asking is due, for ever."""
        while True:
            self._gate.forget(self._clock.now_ms())
            if not self._gate.shortages():
                self._has_changed.clear()
                await self._has_changed.wait()
            async with anyio.create_task_group() as asking:  # an answer may take its time
                for pool in self._gate.due(self._clock.now_ms()):
                    asking.start_soon(self._ask, pool)
            await anyio.sleep(POLL_S)

    async def _ask(self, pool: Pool) -> None:
        asker = self._gate.asker(pool)
        worker = None if asker is None else self._worker_of(asker)
        if worker is None:
            return
        asset, is_isolated = pool
        available = await worker.exchange.inventory(asset, is_isolated=is_isolated)
        self._gate.answered(pool, available, self._clock.now_ms())
        self.changed()
