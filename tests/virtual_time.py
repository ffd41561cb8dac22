"""An asyncio event loop in virtual time: waiting costs nothing and a run repeats exactly.

`run(main())` is all a scenario needs; `BACKEND` puts anyio's pytest plugin on the same loop (see
`conftest.py`). On this loop

* nothing waits: when no callback is ready, the clock jumps to the next timer;
* nothing hangs: no callback and no timer left is a `Deadlock`, callbacks without end while the
  clock stands still are a `Livelock`, and both say which task waits where;
* there are no threads: `run_in_executor` calls the function at once and tells its result later;
* there are no sockets: whoever wants bytes to travel brings a transport of their own;
* a `Process` can be killed as by `kill -9`: its code just stops, without any clean-up.

It reaches into asyncio's private parts (`_ready`, `_scheduled`, `_selector`, `Handle._context`),
because the order of callbacks is what it is about.
"""

import asyncio
import atexit
import gc
import heapq
import logging
import random
import threading
import warnings
from asyncio.base_events import BaseEventLoop
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from concurrent.futures import Executor
from contextlib import closing, suppress
from contextvars import Context, ContextVar, copy_context
from math import inf
from pathlib import PurePath
from typing import Any, TypeVar, TypeVarTuple
from weakref import WeakSet

from anyio._backends._asyncio import CancelScope

T = TypeVar("T")
Args = TypeVarTuple("Args")

# Code that waits for "a moment more" (aiolimiter does, for a float residue) would spin for ever if
# the clock stood still between two timers.
TURN_S = 1e-6
EXECUTOR_DELAY_MAX_S = 0.050
TURNS_MAX = 1_000
DAY_S = 86_400  # asyncio waits for no more than this at a time


class Deadlock(AssertionError):
    """Nothing can ever happen again: no callback is left, and no timer but those set to never."""


class Livelock(AssertionError):
    """The loop kept turning and no timer moved the clock: something polls instead of waiting."""


class ThreadEntered(AssertionError):
    """Another thread called into the loop: from there on a run no longer repeats."""


def run(main: Coroutine[Any, Any, T], *, seed: int = 0, turns_max: int = TURNS_MAX) -> T:
    """Runs `main` to its end on a new loop and returns its result.

    Tasks it leaves behind are cancelled. Exceptions that nobody was there to receive (of a
    callback, of a task nobody awaited) are raised as a group, unless `main` raised one of its own.
    """
    with closing(Loop(seed=seed, turns_max=turns_max)) as loop:
        try:
            result = loop.run_until_complete(main)
        finally:
            loop.cancel_leftovers()
        if loop.unhandled:
            raise ExceptionGroup("nobody received these", loop.unhandled)
        return result


class Loop(BaseEventLoop):
    """One world with one clock: `time()` starts at 0, and each turn takes a microsecond.

    `seed` decides the executor's delays. More than `turns_max` turns in a row without a timer
    moving the clock are a `Livelock`; a turn runs all that was ready when it began, however much.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _asyncgens: "WeakSet[AsyncGenerator[Any, Any]]"
    _thread_id: int | None

    def __init__(self, *, seed: int = 0, turns_max: int = TURNS_MAX) -> None:
        super().__init__()
        self.unhandled: list[Exception] = []
        self.births = 0
        self.deaths = 0
        self.freezes = 0
        self._selector = _Selector(self, turns_max)
        self._random = random.Random(seed)
        self._free_at: dict[Executor, float] = {}
        self.set_exception_handler(_collect)

    def time(self) -> float:
        return self._selector.now

    def tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks alive, oldest first; those of killed processes are not."""
        return sorted(asyncio.all_tasks(self), key=hash)

    def cancel_leftovers(self) -> None:
        """Cancels whatever still runs, oldest first, and waits until it has ended."""
        leftovers = self.tasks()
        for task in leftovers:
            task.cancel()
        if leftovers:
            self.run_until_complete(asyncio.wait(leftovers))
        for task in leftovers:
            if not task.cancelled() and isinstance(error := task.exception(), Exception):
                self.unhandled.append(error)
        self.run_until_complete(self.shutdown_asyncgens())

    def create_task(
        self, coro: Any, *, name: Any = None, context: Context | None = None, **options: Any
    ) -> asyncio.Task[Any]:
        return _Task(coro, loop=self, name=name, context=context, **options)

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Args], T],
        *args: *Args,
    ) -> asyncio.Future[T]:
        """Calls `func` here and now; its result is known up to 50 ms later.

        So an effect can be there while its cause does not know yet, which is when a crash hurts. An
        executor named explicitly is taken for a single thread: its results come in order.
        """
        future: asyncio.Future[T] = self.create_future()
        if _is_dead(_process.get()):
            return future
        delay = self._random.uniform(0, EXECUTOR_DELAY_MAX_S)
        known_at = self.time() + delay
        if executor is not None:
            known_at = max(self.time(), self._free_at.get(executor, 0)) + delay
            self._free_at[executor] = known_at
        try:
            result = func(*args)
        except Exception as error:
            self.call_at(known_at, _settle, future, future.set_exception, error)
        else:
            self.call_at(known_at, _settle, future, future.set_result, result)
        return future

    def call_at(
        self,
        when: float,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = super().call_at(when, callback, *args, context=context)
        if self.deaths and _is_dead(_owner(timer)):
            timer.cancel()
        return timer

    # Where `call_soon` and `call_soon_threadsafe` meet.
    def _call_soon(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> asyncio.Handle:
        handle: asyncio.Handle = super()._call_soon(callback, args, context)  # type: ignore[misc]
        owner = _owner(handle) if self.deaths or self.freezes else None
        if _is_dead(owner):
            handle.cancel()
        elif owner is not None and owner.is_frozen:
            owner.hold(handle)
        return handle

    # The last thing `call_soon_threadsafe` does; in the loop's own thread that is harmless.
    def _write_to_self(self) -> None:
        if self._thread_id not in {None, threading.get_ident()}:
            self._selector.intruder = threading.current_thread().name
            raise ThreadEntered(f"thread {self._selector.intruder!r} called into the simulation")

    def _process_events(self, event_list: Iterable[object]) -> None:
        """There is no I/O."""

    def _asyncgen_firstiter_hook(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._asyncgens.add(generator)
        if (process := _process.get()) is not None:
            process.generators.add(generator)


class Process:
    """What dies together: the tasks and callbacks that come from `spawn`, and from those in turn.

    `kill` is `kill -9`. Callbacks that are due and timers that are set are dropped, and later so is
    whatever would wake one of its tasks (the answer of a server that lives on). No `finally`, no
    `__aexit__` and no `except` of it runs any more.

    What it set going elsewhere goes on. So a server wants a `Process` of its own and takes its work
    by `spawn`; were its coroutine awaited by the client, a client's death would undo the work.
    A killed task never ends: whoever awaits it waits for ever.
    """

    def __init__(self, name: str, *, loop: Loop | None = None) -> None:
        """`loop` is needed only where none is running."""
        running = loop or asyncio.get_running_loop()
        assert isinstance(running, Loop), "only a virtual loop can drop what a process left behind"
        self.name = name
        self.is_dead = False
        self.is_frozen = False
        self.loop = running
        self.generators: WeakSet[AsyncGenerator[Any, Any]] = WeakSet()
        self._remains: list[asyncio.Task[Any] | AsyncGenerator[Any, Any]] = []
        self._held: list[tuple[Callable[..., object], tuple[Any, ...], Context]] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._context = copy_context()
        self._context.run(_process.set, self)

    def __repr__(self) -> str:
        return f"<Process {self.name!r}{', dead' if self.is_dead else ''}>"

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Starts a task that belongs to this process, whoever calls."""
        if self.is_dead:
            coro.close()
            raise AssertionError(f"{self!r} cannot start anything")
        return self.loop.create_task(coro, name=name, context=self.context())

    def context(self) -> Context:
        """One in which whatever runs belongs to this process."""
        return self._context.copy()

    def kill(self) -> None:
        """Stops the process; a step of its own that is under way gets to its next `await`."""
        if self.is_frozen:
            self.thaw()
        self.is_dead = True
        self.loop.deaths += 1
        for task in self.loop.tasks():
            if _owner_of_task(task) is self:
                self.keep(task)
        self._remains += self.generators
        self.loop._asyncgens -= self.generators
        # Last: a handle may have been all that held its task.
        for handle in (*self.loop._ready, *self.loop._scheduled):
            if _owner(handle) is self:
                handle.cancel()
        _graveyard.append(self)

    def freeze(self) -> None:
        """Stops the process in its tracks, as SIGSTOP does, until `thaw`; time goes on without it.

        A step of its own that is under way gets to its next `await`.
        """
        self.is_frozen = True
        self.loop.freezes += 1
        for handle in list(self.loop._ready):
            if _owner(handle) is self and not handle.cancelled():
                self.hold(handle)
        mine = [timer for timer in self.loop._scheduled if _owner(timer) is self]
        if mine:
            self.loop._scheduled = [t for t in self.loop._scheduled if _owner(t) is not self]
            heapq.heapify(self.loop._scheduled)
            self._timers += mine

    def hold(self, handle: asyncio.Handle) -> None:
        """Puts a callback off until the process is thawed."""
        held: Any = handle
        self._held.append((held._callback, held._args, held._context))
        handle.cancel()

    def thaw(self) -> None:
        """Lets it go on: with what was ready, and with timers that should have gone off."""
        self.is_frozen = False
        self.loop.freezes -= 1
        held, self._held = self._held, []
        timers, self._timers = self._timers, []
        for callback, arguments, context in held:
            self.loop.call_soon(callback, *arguments, context=context)
        for timer in timers:
            heapq.heappush(self.loop._scheduled, timer)

    async def die(self) -> None:
        """Kills the process from within, on the spot: this neither returns nor raises."""
        assert _process.get() is self, f"{self!r} can only die by its own hand"
        self.kill()
        await self.loop.create_future()

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Strikes a task off asyncio's books and holds on to it.

        A coroutine that nobody holds is closed, and that would run its `finally` after all.
        """
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        asyncio.tasks._unregister_task(task)
        self._remains.append(task)

    def bury(self) -> None:
        """Lets go of what was kept. Clean-up runs now, where none of its errors are seen."""
        for left in self._remains:
            if isinstance(left, asyncio.Task):
                _close(left.get_coro())
        self._remains.clear()


@atexit.register
def bury() -> None:
    """Frees the memory of killed processes whose loops are closed.

    That runs their `finally` at last, so it is for when nobody looks any more at what they had in
    hand. Only long campaigns need it.
    """
    over = [process for process in _graveyard if process.loop.is_closed()]
    _graveyard[:] = [process for process in _graveyard if not process.loop.is_closed()]
    heard = logging.root.manager.disable
    logging.disable()  # a record would keep the frames of the dead, and with them what they left
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for process in over:
                process.bury()
            gc.collect()  # while warnings of unclosed things are still ignored
    finally:
        logging.disable(heard)


BACKEND: tuple[str, dict[str, Any]] = ("asyncio", {"loop_factory": Loop})
"""What a fixture `anyio_backend` returns to have its tests in virtual time."""

_process: ContextVar[Process | None] = ContextVar("process", default=None)
_graveyard: list[Process] = []


class _Selector:
    """Waits by moving the clock; there is nothing else to wait for."""

    def __init__(self, loop: Loop, turns_max: int) -> None:
        self.now = 0.0
        self.intruder: str | None = None
        self._loop = loop
        self._turns = 0
        self._turns_max = turns_max

    def select(self, timeout: float | None) -> tuple[()]:
        if self.intruder:
            name, self.intruder = self.intruder, None
            raise ThreadEntered(f"thread {name!r} called into the simulation")
        if timeout is None or (timeout >= DAY_S and self._loop._scheduled[0].when() == inf):
            raise Deadlock(_report("nothing can ever happen again", self._loop))
        self._turns = 0 if timeout > TURN_S else self._turns + 1
        if self._turns > self._turns_max:
            self._turns = 0
            raise Livelock(_report("the loop turns and the clock stands still", self._loop))
        self.now += timeout + TURN_S
        return ()


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number on the loop, not its address.

    asyncio and anyio keep tasks in sets and cancel them in the set's order: with the usual hash,
    the order of events would depend on where the memory allocator put things.
    """

    __slots__ = ("number", "process")

    def __init__(
        self, coro: Any, *, loop: Loop, name: Any, context: Context | None, **options: Any
    ) -> None:
        loop.births += 1
        self.number = loop.births
        self.process = _process.get() if context is None else context.get(_process)
        name = name or f"Task-{self.number}"
        super().__init__(coro, loop=loop, name=name, context=context, **options)
        if self.process is not None and self.process.is_dead:
            self.process.keep(self)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


def _hash_of_host(scope: Any) -> int:
    """anyio keeps the scopes of a group's tasks in a set, too, each while its task is inside."""
    return hash(scope._host_task)


CancelScope.__hash__ = _hash_of_host  # type: ignore[method-assign, assignment]


def _collect(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    assert isinstance(loop, Loop)
    error = context.get("exception")
    if not isinstance(error, Exception):
        error = RuntimeError(context["message"])
    loop.unhandled.append(error)


def running_process() -> Process | None:
    """The process whose code is running, if it is of one."""
    return _process.get()


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], value: object) -> None:
    if not future.done():
        settle(value)


def _owner(handle: Any) -> Process | None:
    owner: Process | None = handle._context.get(_process)
    return owner


def _owner_of_task(task: Any) -> Process | None:
    if isinstance(task, _Task):
        return task.process
    # From 3.12 on aiohttp makes tasks past `create_task`, and from 3.12 on a task can be asked.
    owner: Process | None = task.get_context().get(_process)
    return owner


def _is_dead(process: Process | None) -> bool:
    return process is not None and process.is_dead


def _close(coro: Any) -> None:
    for _ in range(100):  # a clean-up that awaits has to be closed again at each `await`
        with suppress(BaseException):
            coro.close()
        if coro.cr_frame is None:
            return


def _report(what: str, loop: Loop) -> str:
    waiting = [f"  {task.get_name()}: {_place(task)}" for task in loop.tasks()]
    return "\n".join([f"{what}, at {loop.time():.6f} s; these tasks are left:", *waiting])


def _place(task: asyncio.Task[Any]) -> str:
    """Where a task stands: the coroutines it is in, each with its line."""
    places = []
    coro: Any = task.get_coro()
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "ag_frame", None)
        if frame is not None:
            file = PurePath(frame.f_code.co_filename).name
            places.append(f"{frame.f_code.co_qualname} ({file}:{frame.f_lineno})")
        coro = getattr(coro, "cr_await", None) or getattr(coro, "ag_await", None)
    return " > ".join(places)
