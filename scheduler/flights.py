"""Attempts in the air: tasks of a task group in all but the price.

A task that a group starts costs twice as much as a plain one, and every attempt is one. What a
group promises is kept all the same: a flight that dies takes the group with it, and none outlives
`end`, which the group has to wait for.
"""

import asyncio
from collections.abc import Coroutine

from anyio import CancelScope
from anyio.abc import TaskGroup

AGAIN_S = 0.1


class Flights:
    """One account's."""

    def __init__(self, group: TaskGroup) -> None:
        """To the group belongs a task that calls `end` before it ends itself."""
        self._group = group
        self._flying: set[asyncio.Task[None]] = set()

    def start(self, flight: Coroutine[None, None, None], name: str) -> None:
        """Begins it in the next turn of the loop."""
        task = asyncio.get_running_loop().create_task(flight, name=name)
        self._flying.add(task)
        task.add_done_callback(self._over)

    def die(self, defect: BaseException) -> None:
        """Take the group down, as a flight that dies does."""
        self._group.start_soon(_die, defect)

    async def end(self) -> None:
        """Cancel what is in the air and wait until it is over."""
        with CancelScope(shield=True):
            while self._flying:
                for task in self._flying:
                    task.cancel()
                # One that holds a cancellation back is told again, as a group would.
                await asyncio.wait(tuple(self._flying), timeout=AGAIN_S)

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._flying.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.die(error)


async def _die(error: BaseException) -> None:
    raise error
