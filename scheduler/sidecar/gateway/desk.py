"""Where clients wait for their borrow or repayment, and what is done when they leave.

Everything rests on one thing: from the moment a submission may exist until its client was told the
outcome, it is either held by somebody who waits (`Stay`) or in the orphanage, and it changes hands
without an `await` in between.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from anyio import move_on_after, sleep

from ...clock import loop_s
from ...errors import (
    Closed,
    JournalUnavailable,
    NotCancellable,
    SchedulerError,
    UnknownKey,
)
from ...model import Entry, State
from ...scheduler import Scheduler
from .adoption import Orphan, Orphanage, Wish
from .outcomes import is_void
from .recovery import left_behind, new_keys
from .stay import Request, Stay

LANDING_MAX_S = 1.5
LANDING_SHARE = 0.2
"""What is in the air when the patience is over may still land: a fifth of the patience longer, and
no more than a second and a half, so that a client that allows for the patience gets the answer."""
OVERTIME_S = 1.0
"""A submission's own deadline is so much later than the patience: it stops what nobody could take
back, also after a restart."""
TAKE_BACK_RETRY_S = 0.5
TAKE_BACK_TRIES = 20
CLOSING_S = 5.0
TAKEN_BACK_S = 1.0
"""All at once and in one commit, so this is for a journal in trouble."""

_log = logging.getLogger("margin_scheduler")


class Desk:
    """One a gateway."""

    def __init__(self, scheduler: Scheduler, adopt_s: float) -> None:
        self._scheduler = scheduler
        self._orphans = Orphanage(adopt_s)
        # The scheduler goes on with these at once: some may be decided before they are looked for.
        self._found_unfinished = scheduler.take_found_unfinished()
        self._holders: Counter[str] = Counter()
        self._orders = count()
        self._keys = new_keys()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._taking_back: dict[str, asyncio.Task[Entry | None]] = {}
        """What was in hand when the sidecar began to stop."""
        self._recovery: asyncio.Task[None] | None = None
        self._is_recovered = False
        self.is_draining = False

    # A client's stay

    @contextmanager
    def stay(self, request: Request) -> Iterator[Stay]:
        """The client is here inside this block. However it is left, the submission is cared for."""
        stay = Stay(request=request, patience_ends_s=loop_s() + request.caller.patience_s)
        try:
            yield stay
        finally:
            if stay.key is not None:
                self._ended(stay, stay.key)

    async def outcome(self, stay: Stay, clients: frozenset[str]) -> Entry:
        """The submission once it is over, or as it stands when the patience is.

        `clients` are the names whose submissions of an earlier process are looked for. Raises what
        `Scheduler.accept` raises.
        """
        await self.recover(clients)
        if stay.request.key is not None:
            await self._place(stay, stay.request.key)
            return await self._followed(stay)
        while (orphan := self._orphans.take(stay.request.wish)) is not None:
            entry = await self._taken_over(stay, orphan)
            if entry is not None:
                return entry
        await self._place(stay, next(self._keys))
        return await self._followed(stay)

    async def _taken_over(self, stay: Stay, orphan: Orphan) -> Entry | None:
        """The outcome of an orphan; None if it came to nothing, and there is time for another."""
        self._hold(stay, orphan.key, orphan.order)
        stay.pending = orphan.releasing
        await asyncio.wait([orphan.releasing], timeout=stay.left_s)
        if not orphan.releasing.done():
            raise JournalUnavailable("journal: it takes longer than the client's patience")
        stay.pending = None
        try:
            entry = await self._scheduler.get(orphan.key)
        except UnknownKey:  # the journal failed when it was asked for, and has nothing of it
            self._drop(stay, orphan.key)
            return None
        if not is_void(entry):
            _log.info(
                "%s is taken over by an equal request",
                entry.key,
                extra={
                    "key": entry.key,
                    "account": entry.account,
                    "state": "taken_over",
                    "code": None,
                },
            )
            entry = await self._followed(stay)
        if is_void(entry) and stay.left_s > 0:
            self._drop(stay, orphan.key)
            return None
        stay.is_replayed = True
        return entry

    async def _place(self, stay: Stay, own_key: str) -> None:
        """Make it a submission."""
        caller, loan = stay.request.caller, stay.request.loan
        if self.is_draining:
            raise Closed("the sidecar is shutting down")
        key = f"{caller.name}:{own_key}"
        asked = self._scheduler.checked(
            caller.account,
            loan.kind,
            loan.asset,
            loan.amount,
            symbol=loan.symbol,
            key=key,
            send_within=stay.left_s + OVERTIME_S,
        )
        orphan = self._orphans.take_key(key)
        self._hold(stay, key, next(self._orders) if orphan is None else orphan.order)
        if orphan is not None:
            stay.pending = orphan.releasing
            await asyncio.wait([orphan.releasing], timeout=stay.left_s)
        stay.pending = self._start(self._scheduler.accept(asked))
        try:
            _, stay.is_replayed = await asyncio.shield(stay.pending)
        except JournalUnavailable:  # it may have been kept, and then it will run
            raise
        except SchedulerError:
            self._drop(stay, key)
            raise
        if self.is_draining:  # since it was asked for
            await self._take_back(key)

    async def _followed(self, stay: Stay) -> Entry:
        assert stay.key is not None
        landing_s = min(LANDING_MAX_S, LANDING_SHARE * stay.request.caller.patience_s)
        try:
            entry = await self._waited(stay.key, stay.left_s)
            if entry.is_final or entry.state is State.UNRESOLVED:
                return entry
            return await self._waited(stay.key, landing_s)
        except Closed:  # perhaps after it was taken back, and before this could see it
            taken_back = self._taken_back(stay.key)
            if taken_back is None:
                raise
            return taken_back

    async def _waited(self, key: str, timeout_s: float) -> Entry:
        """As it stands after that time; if nothing was sent, and nobody else waits, taken back."""
        entry = await self._scheduler.wait(key, timeout=timeout_s)
        if entry.state is State.QUEUED and self._holders[key] == 1:
            try:
                return await self._scheduler.cancel(key)
            except NotCancellable as error:
                return error.entry
        return entry

    # Changing hands; nothing in these awaits

    def _hold(self, stay: Stay, key: str, order: int) -> None:
        assert stay.key is None
        stay.key, stay.order = key, order
        self._holders[key] += 1

    def _drop(self, stay: Stay, key: str) -> None:
        """Nothing of it was executed and nothing will be."""
        self._let_go(key)
        stay.key = None
        stay.pending = None

    def _let_go(self, key: str) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._holders[key]

    def _ended(self, stay: Stay, key: str) -> None:
        self._let_go(key)
        if stay.is_told or key in self._holders:
            return
        is_made_up = stay.request.key is None
        self._leave(key, stay.request.wish if is_made_up else None, stay.order, stay.pending)

    def _leave(
        self,
        key: str,
        wish: Wish | None,
        order: int,
        pending: "asyncio.Task[Any] | None" = None,
    ) -> None:
        releasing = self._start(self._release(key, pending))
        self._orphans.put(Orphan(key=key, wish=wish, order=order, releasing=releasing))

    # What nobody waits for

    async def _release(
        self,
        key: str,
        pending: "asyncio.Task[Any] | None" = None,
        seen: Entry | None = None,
    ) -> None:
        """Take it back if it is not sent; what came to nothing is no orphan any more. `seen`: as it
        has just come back to its queue."""
        if pending is not None:
            await asyncio.wait([pending])
        for _ in range(TAKE_BACK_TRIES):
            try:
                if seen is None:
                    entry = await self._scheduler.cancel(key)
                else:
                    entry, seen = await self._scheduler.take_back(seen), None
            except NotCancellable as error:
                entry, seen = error.entry, None
            except (UnknownKey, Closed):
                break
            except JournalUnavailable:
                await sleep(TAKE_BACK_RETRY_S)
                continue
            if is_void(entry):
                break
            if entry.state is not State.QUEUED:
                return
            await sleep(TAKE_BACK_RETRY_S)  # just being sent, or being read back
        else:
            return
        orphan = self._orphans.get(key)
        if orphan is not None and orphan.releasing is asyncio.current_task():
            self._orphans.take_key(key)

    def changed(self, before: State | None, entry: Entry) -> None:
        """An orphan that was in the air and came back to its queue is taken back after all."""
        if entry.state is not State.QUEUED or before in {None, State.QUEUED}:
            return
        orphan = self._orphans.get(entry.key)
        if orphan is not None and orphan.releasing.done():
            orphan.releasing = self._start(self._release(entry.key, seen=entry))

    # Life

    async def recover(self, clients: frozenset[str]) -> None:
        """Once: whatever an earlier process left unfinished has lost its client. Raises
        JournalUnavailable, and may then be called again."""
        if self._is_recovered:
            return
        if self._recovery is None:
            self._recovery = self._start(self._recover(clients))
        recovery = self._recovery
        try:
            await asyncio.shield(recovery)
        except SchedulerError:
            if self._recovery is recovery:
                self._recovery = None
            raise

    async def _recover(self, clients: frozenset[str]) -> None:
        for entry, wish in await left_behind(self._scheduler, clients, self._found_unfinished):
            self._leave(entry.key, wish, next(self._orders))
        self._found_unfinished = ()
        self._is_recovered = True

    def drain(self) -> None:
        """Take nothing new; what has not been sent is taken back now, and its client told."""
        self.is_draining = True
        for key in self._holders:
            if key not in self._taking_back:
                self._taking_back[key] = self._start(self._take_back(key))

    async def drained(self) -> None:
        """Wait until what was not sent is taken back, as far as the journal does that in time."""
        if self._taking_back:
            await asyncio.wait(self._taking_back.values(), timeout=TAKEN_BACK_S)

    async def _take_back(self, key: str) -> Entry | None:
        with suppress(SchedulerError):
            return await self._scheduler.cancel(key)
        return None

    def _taken_back(self, key: str) -> Entry | None:
        taking_back = self._taking_back.get(key)
        if taking_back is None or not taking_back.done() or taking_back.cancelled():
            return None
        return taking_back.result()

    async def aclose(self) -> None:
        """End what is under way, within a bound."""
        with move_on_after(CLOSING_S):
            while self._tasks:
                await asyncio.wait(tuple(self._tasks))
        for task in tuple(self._tasks):
            task.cancel()

    def _start(self, coro: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = asyncio.create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        # Whoever awaits it is told as well; this is for those whose client has left.
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SchedulerError):
            _log.error("a defect at the gateway", exc_info=error)
