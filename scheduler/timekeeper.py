"""Keeps the clock set by the exchange's."""

import logging
from collections.abc import Callable

from anyio import sleep

from . import binance
from .clock import Clock, loop_s
from .reader import READ_ERRORS, Reader

PERIOD_S = 30.0
"""Between two samples of the exchange's time."""
RETRY_S = 1.0

_log = logging.getLogger("margin_scheduler")


class Timekeeper:
    """Samples the exchange's time, at intervals and whenever somebody needs it fresh."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    async def read(self) -> None:
        """Ask once. Raises one of READ_ERRORS if no usable answer came, or if nothing may be sent
        now: then it says for how long."""
        asked_at_s = loop_s()
        reply = await self._reader.read_now(binance.TIME, binance.time_request)
        self._clock.sample(binance.server_time_ms(reply), asked_at_s)

    async def sample(self) -> bool:
        """The same; False instead of an error."""
        try:
            await self.read()
        except READ_ERRORS as error:
            _log.debug("no exchange time: %s", error)
            return False
        return True

    async def run(self, is_set: Callable[[], None]) -> None:
        """Ask again and again; `is_set` is called once the clock is set."""
        is_told = False
        while True:
            is_sampled = await self.sample()
            if self._clock.is_set and not is_told:  # by this sample, or by one that a look took
                is_told = True
                is_set()
            await sleep(PERIOD_S if is_sampled else RETRY_S)
