"""Who is told of a change: those who wait for one submission, those who watch them all."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from .errors import Closed, EventsLost
from .model import Alarm, Entry, State

BUFFER_MAX = 1_000
"""Changes a watcher may fall behind before it is told that it lost some."""
ALARMS_MAX = 200
"""Alarms kept for `status`."""

_log = logging.getLogger("margin_scheduler")


class Watchers:
    """Passes on each change once it is durable."""

    def __init__(self, on_change: Callable[[Entry], None] | None = None) -> None:
        self._on_change = on_change
        self._waiters: dict[str, list[asyncio.Future[Entry]]] = {}
        self._streams: set[MemoryObjectSendStream[Entry | Alarm]] = set()
        self._lost: set[MemoryObjectSendStream[Entry | Alarm]] = set()
        self._is_closed = False
        self.alarms: deque[Alarm] = deque(maxlen=ALARMS_MAX)

    def changed(self, entry: Entry) -> None:
        """An entry is durable in a new version."""
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
        if is_settled(entry):
            for waiter in self._waiters.pop(entry.key, ()):
                if not waiter.done():
                    waiter.set_result(entry)
        if self._on_change is not None:
            try:
                self._on_change(entry)
            except Exception:
                _log.exception("on_change failed for %s", entry.key)
        self._publish(entry)

    def alarmed(self, alarm: Alarm) -> None:
        """Something a person should know of happened."""
        extra = {"key": alarm.key, "account": alarm.account, "state": alarm.cause, "code": None}
        _log.error("%s", alarm.message, extra=extra)
        self.alarms.append(alarm)
        self._publish(alarm)

    def wait_for(self, key: str) -> "asyncio.Future[Entry]":
        """Done with the entry once it is final or UNRESOLVED."""
        waiter: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        if self._is_closed:
            waiter.set_exception(Closed("the scheduler is closed"))
            waiter.exception()  # nobody may come to await it
        else:
            self._waiters.setdefault(key, []).append(waiter)
        return waiter

    def forget(self, key: str, waiter: "asyncio.Future[Entry]") -> None:
        """Whoever waited has given up."""
        waiters = self._waiters.get(key, [])
        if waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[key]

    def follow(self, account: str | None) -> AsyncIterator[Entry | Alarm]:
        """Every change from now on. Raises EventsLost once the reader has fallen too far behind."""
        send, receive = anyio.create_memory_object_stream[Entry | Alarm](BUFFER_MAX)
        self._streams.add(send)
        return self._read(account, send, receive)

    async def _read(
        self,
        account: str | None,
        send: MemoryObjectSendStream[Entry | Alarm],
        receive: MemoryObjectReceiveStream[Entry | Alarm],
    ) -> AsyncIterator[Entry | Alarm]:
        try:
            async with receive:
                async for event in receive:
                    if account is None or event.account == account:
                        yield event
            if send in self._lost:
                raise EventsLost(f"more than {BUFFER_MAX} changes were waiting to be read")
        finally:
            self._streams.discard(send)
            self._lost.discard(send)
            send.close()

    def close(self) -> None:
        """Nothing more will be said: whoever waits is woken with `Closed`."""
        self._is_closed = True
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(Closed("the scheduler closed; the submission is kept"))
                    waiter.exception()  # a waiter nobody awaits any more is no error
        self._waiters.clear()
        for stream in self._streams:
            stream.close()

    def _publish(self, event: Entry | Alarm) -> None:
        for stream in list(self._streams):
            try:
                stream.send_nowait(event)
            except anyio.WouldBlock:
                self._lost.add(stream)
                self._streams.discard(stream)
                stream.close()
            except anyio.BrokenResourceError:  # its reader has gone
                self._streams.discard(stream)


def is_settled(entry: Entry) -> bool:
    """Whether waiting longer is unlikely to help: it is final, or it needs somebody to look."""
    return entry.is_final or entry.state is State.UNRESOLVED
