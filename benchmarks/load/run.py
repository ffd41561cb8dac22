"""Sends what is due when it is due, and keeps count of what comes back."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from .histogram import Histogram
from .plan import Arrival
from .target import Target

FINAL = {"CONFIRMED", "REJECTED", "NOT_EXECUTED", "EXPIRED", "CANCELLED"}
OPEN_MAX = 20_000
"""Requests without an answer at which a run is given up: the sidecar is gone."""


@dataclass(slots=True)
class Seen:
    """What came back so far. Both latencies count from when a submission was due, so that one sent
    late because everything hung still shows the wait."""

    sent: int = 0
    accepted: Histogram = field(default_factory=Histogram)
    """Until it was durable."""
    finished: Histogram = field(default_factory=Histogram)
    """Until its outcome was known."""
    states: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """Not taken, by the problem's code."""
    failed: Counter[str] = field(default_factory=Counter)
    """No answer at all, by the error."""
    waiting: dict[str, float] = field(default_factory=dict)
    """When each that is not final yet was due, by key."""
    late_ms: float = 0.0
    """The most that anything was sent after it was due: what this generator itself adds."""
    none_waits: asyncio.Event = field(default_factory=asyncio.Event)

    def is_over(self, key: str) -> float | None:
        """Wait no longer for it; when it was due, or None if it was not waited for."""
        due_s = self.waiting.pop(key, None)
        if not self.waiting:
            self.none_waits.set()
        return due_s


async def load(
    target: Target,
    planned: Iterable[Arrival],
    *,
    drain_s: float,
    tick: Callable[[Seen, float], None],
    stop: asyncio.Event,
) -> Seen:
    """Carries a plan out and waits up to `drain_s` for the outcomes, or until `stop`: then what
    there is by then. Raises aiohttp.ClientError where the sidecar cannot be reached at all."""
    seen = Seen()
    sending: set[asyncio.Task[None]] = set()
    async with target.events() as changes:
        began_s = asyncio.get_running_loop().time()
        whole = asyncio.create_task(_carry_out(target, planned, began_s, drain_s, seen, sending))
        stopping = asyncio.create_task(stop.wait())
        ticking = asyncio.create_task(_tick(seen, began_s, tick))
        following = asyncio.create_task(_follow(changes, seen))
        try:
            await asyncio.wait({whole, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if whole.done():
                whole.result()
        finally:
            tasks = [whole, stopping, ticking, following, *sending]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if seen.waiting:
        seen.states["open"] = len(seen.waiting)
    return seen


async def _carry_out(
    target: Target,
    planned: Iterable[Arrival],
    began_s: float,
    drain_s: float,
    seen: Seen,
    sending: set[asyncio.Task[None]],
) -> None:
    loop = asyncio.get_running_loop()
    for arrival in planned:
        due_s = began_s + arrival.due_s
        if due_s > loop.time():
            await asyncio.sleep(due_s - loop.time())
        if len(sending) >= OPEN_MAX:
            seen.failed[f"given up with {OPEN_MAX:,} unanswered"] += 1
            break
        seen.sent += 1
        seen.late_ms = max(seen.late_ms, 1000 * (loop.time() - due_s))
        task = asyncio.create_task(_send(target, arrival, due_s, seen))
        sending.add(task)
        task.add_done_callback(sending.discard)
    with suppress(TimeoutError):
        async with asyncio.timeout(drain_s):
            await asyncio.gather(*sending)
            if seen.waiting:
                seen.none_waits.clear()
                await seen.none_waits.wait()
    await _ask_for_the_rest(target, seen)


async def _send(target: Target, arrival: Arrival, due_s: float, seen: Seen) -> None:
    loop, key = asyncio.get_running_loop(), arrival.body["key"]
    seen.waiting[key] = due_s
    try:
        status, answer = await target.submit(arrival.body)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        seen.is_over(key)
        seen.failed[type(error).__name__] += 1
        return
    if status in {200, 202}:
        seen.accepted.add(1000 * (loop.time() - due_s))
    else:
        seen.is_over(key)
        seen.refused[str(answer.get("code", status))] += 1


async def _follow(changes: AsyncIterator[dict[str, Any]], seen: Seen) -> None:
    async for entry in changes:
        if entry["state"] in FINAL:
            _note(seen, entry)


def _note(seen: Seen, entry: dict[str, Any]) -> None:
    due_s = seen.is_over(entry["key"])
    if due_s is not None:
        seen.finished.add(1000 * (asyncio.get_running_loop().time() - due_s))
        seen.states[entry["state"]] += 1


async def _ask_for_the_rest(target: Target, seen: Seen) -> None:
    """What the stream did not tell, because it was reset."""
    for key in list(seen.waiting):
        try:
            entry = await target.get(key)
        except (aiohttp.ClientError, TimeoutError):
            continue
        if entry["state"] in FINAL:
            _note(seen, entry)


async def _tick(seen: Seen, began_s: float, tick: Callable[[Seen, float], None]) -> None:
    while True:
        tick(seen, asyncio.get_running_loop().time() - began_s)
        await asyncio.sleep(0.5)
