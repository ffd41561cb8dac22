"""Who is told of a change: those who wait for one submission, those who watch them all."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol, Self, TypeVarTuple
from weakref import ref

from .errors import Closed, EventsLost
from .model import FINAL, Alarm, Entry, State

BUFFER_MAX = 1_000
"""Changes a watcher may fall behind before it is told that it lost some."""
ALARMS_MAX = 200
"""Alarms kept for `status`."""

_SETTLED = FINAL | {State.UNRESOLVED}

_Args = TypeVarTuple("_Args")

_log = logging.getLogger("margin_scheduler")


class Observer(Protocol):
    """Whoever keeps count of everything that happens: called on the loop, at once and in order.

    Must not block. What it raises is logged and changes nothing.
    """

    def changed(self, before: State | None, entry: Entry) -> None:
        """An entry is durable in a new version; `before` is the state it left.

        None: it is new, or it was read back after the journal had failed, and what it went through
        meanwhile was not seen.
        """

    def alarmed(self, alarm: Alarm) -> None:
        """Something a person should know of happened."""

    def committed(self, seconds: float) -> None:
        """The journal made a write, which took its caller this long."""

    def record_shown(self, account: str, delay_ms: int) -> None:
        """A transaction's record was seen for the first time, at most this long after its reply.
        Measured now and then only."""


class Watchers:
    """Passes on each change once it is durable."""

    def __init__(self, on_change: Callable[[Entry], None] | None = None) -> None:
        self._on_change = on_change
        self._waiters: dict[str, list[asyncio.Future[Entry]]] = {}
        self._open: set[str] = set()
        # Weak, because whoever follows just stops; a plain set, because it is mostly empty and is
        # looked through at every change.
        self._feeds: set[ref[Feed]] = set()
        self._observers: list[Observer] = []
        self._is_closed = False
        self.alarms: deque[Alarm] = deque(maxlen=ALARMS_MAX)
        self.on_settled: Callable[[Entry], None] | None = None
        """Told last, for those who wait on other machines."""

    def changed(self, entry: Entry, before: State | None = None) -> None:
        """An entry is durable in a new version; `before` as for `Observer.changed`."""
        if _log.isEnabledFor(logging.INFO):
            _log_change(entry)
        key, is_over = entry.key, is_settled(entry)
        if not is_over:
            self._open.add(key)
        else:
            self._open.discard(key)
            for waiter in self._waiters.pop(key, ()):
                if not waiter.done():
                    waiter.set_result(entry)
        if self._on_change is not None:
            try:
                self._on_change(entry)
            except Exception:
                _log.exception("on_change failed for %s", key)
        for observer in tuple(self._observers):
            try:
                observer.changed(before, entry)
            except Exception:
                _log.exception("an observer failed")
        if self._feeds:
            self._publish(entry)
        if is_over and self.on_settled is not None:
            self.on_settled(entry)

    def alarmed(self, alarm: Alarm) -> None:
        """Something a person should know of happened."""
        extra = {"key": alarm.key, "account": alarm.account, "state": alarm.cause, "code": None}
        _log.error("%s", alarm.message, extra=extra)
        self.alarms.append(alarm)
        for observer in tuple(self._observers):
            _tell(observer.alarmed, alarm)
        self._publish(alarm)

    def committed(self, seconds: float) -> None:
        """The journal made a write."""
        for observer in tuple(self._observers):
            try:  # not by `_tell`: this comes with every write
                observer.committed(seconds)
            except Exception:
                _log.exception("an observer failed")

    def record_shown(self, account: str, delay_ms: int) -> None:
        """A transaction's record was seen."""
        for observer in tuple(self._observers):
            _tell(observer.record_shown, account, delay_ms)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tell `observer` everything from now on, until what is returned is called."""
        self._observers.append(observer)

        def stop() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return stop

    def wait_for(self, key: str) -> "asyncio.Future[Entry]":
        """Done with the entry once it is final or UNRESOLVED."""
        waiter: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        if self._is_closed:
            waiter.set_exception(Closed("the scheduler is closed"))
            waiter.exception()  # nobody may come to await it
        else:
            self._waiters.setdefault(key, []).append(waiter)
        return waiter

    def waited_for(self) -> list[str]:
        """The keys that somebody waits for."""
        return list(self._waiters)

    def is_open(self, key: str) -> bool:
        """Whether the last that was said of the entry is that it is not settled, so that whoever
        waits for it need not ask the journal first. False where nothing was said of it."""
        return key in self._open

    def forget(self, key: str, waiter: "asyncio.Future[Entry]") -> None:
        """Whoever waited has given up."""
        waiters = self._waiters.get(key, [])
        if waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[key]

    def follow(self, account: str | None) -> "Feed":
        """Every change from now on, of one account or of all."""
        feed = Feed(account, is_closed=self._is_closed)
        self._feeds.add(ref(feed, self._feeds.discard))
        return feed

    def close(self) -> None:
        """Nothing more will be said: whoever waits is woken with `Closed`."""
        self._is_closed = True
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(Closed("the scheduler closed; the submission is kept"))
                    waiter.exception()  # a waiter nobody awaits any more is no error
        self._waiters.clear()
        for feed in self._followers():
            feed.close()

    def _publish(self, event: Entry | Alarm) -> None:
        for feed in self._followers():
            feed.push(event)

    def _followers(self) -> "list[Feed]":
        return [feed for each in tuple(self._feeds) if (feed := each()) is not None]


class Feed:
    """Changes for one reader, as an async iterator that ends when the scheduler closes.

    Raises EventsLost where the reader fell so far behind that some were dropped, once it has read
    what was kept.
    """

    def __init__(self, account: str | None, *, is_closed: bool) -> None:
        self._account = account
        self._events: deque[Entry | Alarm] = deque()
        self._has_lost = False
        self._is_closed = is_closed
        self._wake = asyncio.Event()

    def push(self, event: Entry | Alarm) -> None:
        concerns_it = event.account is None or self._account in {None, event.account}
        if self._has_lost or not concerns_it:
            return
        if len(self._events) < BUFFER_MAX:
            self._events.append(event)
        else:
            self._has_lost = True
        self._wake.set()

    def close(self) -> None:
        self._is_closed = True
        self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry | Alarm:
        while not self._events:
            if self._has_lost:
                raise EventsLost(f"more than {BUFFER_MAX} changes were waiting to be read")
            if self._is_closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()


def _tell(told: Callable[[*_Args], None], *args: *_Args) -> None:
    try:
        told(*args)
    except Exception:
        _log.exception("an observer failed")


def _log_change(entry: Entry) -> None:
    _log.info(
        "%s %s",
        entry.key,
        entry.state,
        extra={
            "key": entry.key,
            "account": entry.account,
            "state": entry.state.value,
            "code": entry.code,
        },
    )


def is_settled(entry: Entry) -> bool:
    """Whether waiting longer is unlikely to help: it is final, or it needs somebody to look."""
    return entry.state in _SETTLED
