"""Pauses everything while the exchange says that it is being worked on.

It is asked when there is reason to: a request was answered by a failure of the exchange's own, an
account could not be looked at, or somebody wants borrows checked beforehand. During maintenance
borrows and repayments are answered by codes that leave their outcome open, and every one of those
has to be looked up for half a minute; so none is sent.
"""

import logging
from collections.abc import Awaitable, Callable

import anyio

from .clock import Clock
from .reader import READ_ERRORS

AGAIN_S = 15.0
"""Between two questions while it lasts, and the least between two suspicions."""
WATCH_S = 60.0
"""Between two questions while somebody has borrows checked."""
WATCHED_MS = 10 * 60_000
"""How long after such a borrow that goes on."""
BELIEVED_MS = 5 * 60_000
"""Where the exchange does not even answer this question any more, what it said last holds for this
long; then requests are what finds out."""

_log = logging.getLogger("margin_scheduler")


class Maintenance:
    """One a scheduler."""

    def __init__(
        self,
        clock: Clock,
        ask: Callable[[], Awaitable[bool]],
        changed: Callable[[bool], None],
    ) -> None:
        """`ask` asks the exchange; `changed` is told when it begins and when it is over."""
        self._clock = clock
        self._ask = ask
        self._changed = changed
        self._wake = anyio.Event()
        self._watched_until_ms = 0
        self._said_at_ms = 0
        self.is_on = False

    def suspect(self) -> None:
        """Something failed at the exchange itself."""
        self._wake.set()

    def watch(self) -> None:
        """Somebody wants to know before sending."""
        self._watched_until_ms = self._clock.now_ms() + WATCHED_MS
        self._wake.set()

    async def run(self) -> None:
        """Ask whenever there is reason to, for ever."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await self._look()
            await anyio.sleep(AGAIN_S)
            if not self.is_on and self._clock.now_ms() < self._watched_until_ms:
                with anyio.move_on_after(WATCH_S - AGAIN_S):
                    await self._wake.wait()
                self._wake.set()
            elif self.is_on:
                self._wake.set()

    async def _look(self) -> None:
        now_ms = self._clock.now_ms()
        try:
            is_on = await self._ask()
        except READ_ERRORS as error:
            _log.info("the exchange does not say whether it is being worked on: %s", error)
            is_on = self.is_on and now_ms - self._said_at_ms < BELIEVED_MS
        else:
            self._said_at_ms = now_ms
        if is_on is not self.is_on:
            self.is_on = is_on
            self._changed(is_on)
