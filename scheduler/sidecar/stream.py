"""Changes and alarms as server-sent events that a reader can take up again where it stopped.

The latest ones are kept in a ring. An event's id is a number that counts up from where this process
happened to begin, far from where any other did: an id of an earlier process is none of ours, and
its reader is told to read everything anew.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator

from ..model import Alarm, Entry, State
from .bodies import alarm_body, encode, entry_body

RING_MAX = 2_000
"""Events kept for readers that come back."""
READERS_MAX = 64
COMMENT_S = 15.0
"""Without an event for this long a comment shows that the connection stands."""
RETRY_MS = 2_000
"""How long a reader is to wait before it comes back."""
BATCH_MAX = 200
"""Events written at once."""


class Kept:
    """One event in the ring; its frame is made when the first reader wants it."""

    __slots__ = ("_frame", "event", "number")

    def __init__(self, number: int, event: Entry | Alarm) -> None:
        self.number = number
        self.event = event
        self._frame: bytes | None = None

    def frame(self) -> bytes:
        if self._frame is None:
            event = self.event
            if isinstance(event, Entry):
                name, data = b"entry", encode(entry_body(event))
            else:
                name, data = b"alarm", encode(alarm_body(event))
            self._frame = b"event: %b\nid: %d\ndata: %b\n\n" % (name, self.number, data)
        return self._frame


class Stream:
    """One a sidecar. An `Observer` of the scheduler."""

    def __init__(self) -> None:
        # Room for 2^20 events a process before two could come to overlap, which even then takes one
        # chance in 2^42.
        self._latest = secrets.randbits(42) << 20
        self._ring: deque[Kept] = deque(maxlen=RING_MAX)
        self._readers: set[asyncio.Event] = set()
        self._is_closed = False

    # What the scheduler says

    def changed(self, before: State | None, entry: Entry) -> None:
        self._keep(entry)

    def alarmed(self, alarm: Alarm) -> None:
        self._keep(alarm)

    def committed(self, seconds: float) -> None:
        """Nothing to tell."""

    def record_shown(self, account: str, delay_ms: int) -> None:
        """Nothing to tell."""

    def _keep(self, event: Entry | Alarm) -> None:
        self._latest += 1
        self._ring.append(Kept(self._latest, event))
        for reader in self._readers:
            reader.set()

    def close(self) -> None:
        """Readers get what there is, and end."""
        self._is_closed = True
        for reader in self._readers:
            reader.set()

    # What a reader gets

    @property
    def is_full(self) -> bool:
        """Whether there are as many readers as there may be."""
        return len(self._readers) >= READERS_MAX

    async def read(self, account: str | None, last_id: str | None) -> AsyncGenerator[bytes, None]:
        """Bytes for one reader, until `close`: what came after `last_id`, or from now on."""
        wake = asyncio.Event()
        self._readers.add(wake)
        try:
            seen = self._latest if last_id is None else self._seen(last_id)
            yield b"retry: %d\n\n" % RETRY_MS + (b"" if seen is None else _id_alone(seen))
            while True:
                wake.clear()
                if seen is None or seen < self._oldest():
                    seen = self._latest
                    yield b"event: reset\nid: %d\ndata: {}\n\n" % seen
                chunk, seen = self._after(seen, account)
                if chunk:
                    yield chunk
                elif self._is_closed:
                    return
                elif seen == self._latest and not await _is_set(wake):
                    yield b": still here\n" + _id_alone(seen)
        finally:
            self._readers.discard(wake)

    def _seen(self, last_id: str) -> int | None:
        """Up to where a reader that comes back has read; None: that cannot be told."""
        if not (last_id.isascii() and last_id.isdecimal() and len(last_id) <= 20):
            return None
        return seen if self._oldest() <= (seen := int(last_id)) <= self._latest else None

    def _oldest(self) -> int:
        """The least that a reader must have seen to have missed nothing."""
        return self._ring[0].number - 1 if self._ring else self._latest

    def _after(self, seen: int, account: str | None) -> tuple[bytes, int]:
        """The next frames of the account, and up to where that has led."""
        start = seen - self._oldest()
        until = min(start + BATCH_MAX, len(self._ring))
        frames = []
        for index in range(start, until):
            kept = self._ring[index]
            if account is None or kept.event.account in {None, account}:
                frames.append(kept.frame())
        return b"".join(frames), seen + until - start


def _id_alone(seen: int) -> bytes:
    """Sets where a reader resumes that was shown nothing lately; no event is made of it."""
    return b"id: %d\n\n" % seen


async def _is_set(wake: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(COMMENT_S):
            await wake.wait()
    except TimeoutError:
        return False
    return True
