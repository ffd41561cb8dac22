"""Many writers, one transaction: what arrives while one batch is being committed is the next."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

BATCH_MAX = 512
"""Writes in one transaction: what bounds the time that a single commit takes."""

W = TypeVar("W")

Work = Callable[[], Any]
"""One caller's write, to be carried out inside the transaction."""

Outcome = tuple[Any, BaseException | None]
"""What a write returned, or why it alone, or all of its batch, was not made."""


class GroupCommit(Generic[W]):
    """Collects writes and has `commit` carry them out, a batch at a time.

    `commit` answers, some time later, with one outcome for each write. A write that was handed over
    is carried out, even if its caller no longer waits. What waits here is bounded by the number of
    callers: each waits for its own.
    """

    def __init__(self, commit: "Callable[[list[W]], asyncio.Future[list[Outcome]]]") -> None:
        self._commit = commit
        self._waiting: deque[tuple[W, asyncio.Future[Any]]] = deque()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def write(self, work: W) -> asyncio.Future[Any]:
        """The result that `work` will have had once it is durable, or its error."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((work, done))
        if self._is_idle.is_set():
            self._is_idle.clear()
            # Not now: others that are ready in this turn of the loop belong to the same batch.
            loop.call_soon(self._begin)
        return done

    async def wait_idle(self) -> None:
        """Until everything handed over is decided."""
        await self._is_idle.wait()

    def _begin(self) -> None:
        count = min(len(self._waiting), BATCH_MAX)
        batch = [self._waiting.popleft() for _ in range(count)]
        committed = self._commit([work for work, _ in batch])
        committed.add_done_callback(partial(self._end, [done for _, done in batch]))

    def _end(
        self, waiting: list[asyncio.Future[Any]], committed: asyncio.Future[list[Outcome]]
    ) -> None:
        try:
            outcomes = committed.result()
        except BaseException as bug:  # those who wait must not wait for ever
            outcomes = [(None, bug)] * len(waiting)
        for done, (result, error) in zip(waiting, outcomes, strict=True):
            if done.done():
                continue  # its caller was cancelled
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._begin)
        else:
            self._is_idle.set()
