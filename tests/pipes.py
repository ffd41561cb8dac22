"""Connections in memory, for real HTTP in virtual time: bytes travel, and troubles befall them.

A `Net` takes the place of sockets on the virtual loop: whoever calls `create_server` listens on it,
and `create_unix_connection` connects. `PipedTransport` is the production transport over it. A
second net in the same world is made with `has_sockets=False`, and used by `serve` and `connect`.

Both ends run in contexts of their own. What a client does belongs to the process it was called
from; what arrives at the server, and all it does then, belongs to the process that `serve` names,
or to nobody, so a client's death undoes nothing there. `Net.reap` closes what the dead left open,
as a kernel would.

A request that was written may still arrive after its connection was closed, and no later than 30 s
after that.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Protocol, TypeAlias

import aiohttp

from scheduler.transport import IDLE_MAX_S, AiohttpTransport, Unspoilt

from . import virtual_time

ARRIVES_WITHIN_S = 30.0
"""After a connection was closed nothing of it is on its way for longer."""
BOUNDARY_S = 5.0
"""The usual recvWindow. Times spread evenly never hit such a boundary, so some are drawn there."""

RESOLUTION_S = 1e-6
READ_EVERY_S = 0.000_1
DROPS = 6
DROP_MAX_S = 4.0
"""How a slow connection trickles. Sometimes all of it comes before the client gives up."""


class Kind(StrEnum):
    """What happens to a connection."""

    REFUSED = "refused"
    """It breaks, and for a while no other can be made."""
    BLACKHOLE = "blackhole"
    """Nothing passes any more, either way, and nobody is told."""
    RESET = "reset"
    """It breaks, and both ends are told."""
    HALF_CLOSE = "half-close"
    """The server's side is closed; what the client sends still arrives."""
    SLOW = "slow"
    """The rest trickles."""
    TRUNCATED = "truncated"
    """The rest is missing, and the connection ends in good order."""
    DUPLICATED = "duplicated"
    """The rest of the reply comes twice. (That requests are not duplicated on their way is what
    "one attempt is one request" rests on.)"""
    LATE = "late"
    """The rest comes later than anybody waits."""


class Place(StrEnum):
    """Where on the way of a request and its reply it happens."""

    CONNECT = "connect"
    REQUEST_HEAD = "request head"
    REQUEST_BODY = "request body"
    BEFORE_EXECUTION = "before execution"
    AFTER_EXECUTION = "after execution"
    REPLY_HEAD = "reply head"
    REPLY_BODY = "reply body"


@dataclass(frozen=True, slots=True)
class Trouble:
    """`share` is how much of the part that it strikes in has passed: 0 to 1."""

    kind: Kind
    place: Place
    share: float = 0.5

    def __str__(self) -> str:
        return f"{self.kind} at {self.place}"


class Troubles(Protocol):
    """Decides what befalls whom."""

    def on_connect(self) -> Trouble | None: ...
    def on_request(self, method: bytes, path: bytes) -> Trouble | None: ...


class NoTroubles:
    def on_connect(self) -> Trouble | None:
        return None

    def on_request(self, method: bytes, path: bytes) -> Trouble | None:
        return None


class Net:
    """The connections of one world."""

    def __init__(
        self,
        *,
        seed: object = 0,
        latency_ms: tuple[float, float] = (0.5, 1.5),
        troubles: Troubles | None = None,
        has_sockets: bool = True,
    ) -> None:
        """`has_sockets`: takes the place of sockets on the running loop. `latency_ms` is that of
        one way."""
        self.loop = asyncio.get_running_loop()
        self.random = random.Random(f"net:{seed}")
        self.troubles = troubles or NoTroubles()
        self.counts: Counter[str] = Counter()
        self.lines: dict[Line, None] = {}
        self.late_arrivals = 0
        """Bytes that reached the server after their client had closed the connection."""
        self._latency_s = latency_ms[0] / 1000, latency_ms[1] / 1000
        self._accept: Callable[[], asyncio.BaseProtocol] | None = None
        self.overheard: Callable[[bytes], None] = lambda data: None
        """Told what the server writes to a connection that it has not closed."""
        self._server: virtual_time.Process | None = None
        self._refuses_until_s = 0.0
        if has_sockets:
            loop: Any = self.loop
            loop.create_server = self._listen
            loop.create_unix_connection = self.connect

    def latency_s(self) -> float:
        return self.random.uniform(*self._latency_s)

    def refuse(self, for_s: float) -> None:
        """No connection can be made for so long."""
        self._refuses_until_s = max(self._refuses_until_s, self.loop.time() + for_s)

    def end_refusals(self) -> None:
        self._refuses_until_s = 0.0

    def close_idle(self) -> None:
        """The server closes every connection, as it does with those that were idle for long."""
        for line in list(self.lines):
            line.server.close()

    def reap(self) -> None:
        """Closes what dead processes left open; what they wrote before still arrives."""
        if self._server is not None and self._server.is_dead:
            self.stop_listening()
        for line in list(self.lines):
            for owner, end in ((line.owner, line.client), (line.server_owner, line.server)):
                if owner is not None and owner.is_dead:
                    line.is_abandoned(end, with_reset=self.random.random() < 0.5)

    def serve(
        self, accept: Callable[[], asyncio.BaseProtocol], process: virtual_time.Process
    ) -> None:
        """From now on connections are made to this process, by its protocol factory."""
        self._accept, self._server = accept, process

    def server_context(self) -> Context:
        """Where what arrives at the server happens. Empty unless a process is named, rather than a
        copy: nothing of the client leaks in."""
        return Context() if self._server is None else self._server.context()

    @property
    def server_process(self) -> virtual_time.Process | None:
        return self._server

    async def _listen(
        self, accept: Callable[[], asyncio.BaseProtocol], host: str, port: int, **_: object
    ) -> "_Listener":
        self._accept = accept
        return _Listener(self, (host, port or 80))

    def stop_listening(self) -> None:
        self._accept = None

    async def connect(
        self, factory: Callable[[], asyncio.BaseProtocol], *_: object, **__: object
    ) -> tuple["End", asyncio.BaseProtocol]:
        """A connection, once it stands. Raises OSError."""
        trouble = self.troubles.on_connect()
        if trouble is not None:
            self.counts[str(trouble)] += 1
        kind = None if trouble is None else trouble.kind
        if self._accept is None or self.loop.time() < self._refuses_until_s:
            kind = Kind.REFUSED
        await asyncio.sleep(2 * self.latency_s())
        match kind:
            case Kind.REFUSED:
                raise ConnectionRefusedError(111, "refused")
            case Kind.RESET:
                raise ConnectionResetError(104, "reset")
            case Kind.BLACKHOLE:
                await self.loop.create_future()
            case Kind.SLOW:
                await asyncio.sleep(self.random.choice((0.5, 4.9, 5.1, self.random.uniform(0, 6))))
            case Kind.LATE:  # stands at the server, and nobody here hears of it
                Line(self, asyncio.Protocol()).client.close()
                await self.loop.create_future()
            case Kind.DUPLICATED:
                Line(self, asyncio.Protocol()).client.close()
        if self._accept is None:  # since it was asked for
            raise ConnectionRefusedError(111, "refused")
        protocol = factory()
        line = Line(self, protocol)
        line.struck_by |= {kind} if kind else set()
        protocol.connection_made(line.client)
        if kind in {Kind.HALF_CLOSE, Kind.TRUNCATED}:
            line.down.push(EOF)
            line.down.is_cut = True
        return line.client, protocol

    def accept(self) -> asyncio.BaseProtocol | None:
        return None if self._accept is None else self._accept()


class _Listener:
    """What `create_server` gives, as far as aiohttp uses it."""

    def __init__(self, net: Net, address: tuple[str, int]) -> None:
        self._net = net
        self._address = address

    @property
    def sockets(self) -> list["_Listener"]:
        return [self]

    def getsockname(self) -> tuple[str, int]:
        return self._address

    def close(self) -> None:
        self._net.stop_listening()

    async def wait_closed(self) -> None:
        """There is nothing to wait for."""


class _Sign:
    """Something on a stream that is no bytes."""

    def __init__(self, name: str) -> None:
        self.name = name


OPEN = _Sign("open")
EOF = _Sign("eof")
RESET = _Sign("reset")

Item: TypeAlias = bytes | _Sign
Carry: TypeAlias = Callable[[bytes], None]


class Stream:
    """One direction of a connection: what is on its way to `receiver`, in order."""

    def __init__(self, net: Net, receiver: "End") -> None:
        self.is_cut = False
        """Nothing more gets onto it."""
        self._net = net
        self._receiver = receiver
        self._items: deque[tuple[float, Item]] = deque()
        self.last_s = 0.0
        self._free_s = 0.0

    def push(self, item: Item, delay_s: float | None = None) -> None:
        """Put something on its way; it does not overtake what is there already."""
        if self.is_cut:
            return
        delay_s = self._net.latency_s() if delay_s is None else delay_s
        self.last_s = max(self.last_s, self._net.loop.time() + delay_s)
        self._items.append((self.last_s, item))
        self._arrives_at(self.last_s)

    def hasten(self, until_s: float) -> None:
        """Whatever is on its way arrives by then."""
        if self._items and self._items[-1][0] > until_s:
            self._items = deque((min(due_s, until_s), item) for due_s, item in self._items)
            self.last_s = until_s
            self._arrives_at(until_s)

    def drop(self) -> None:
        """Nothing that is on its way arrives, nor anything after it."""
        self._items.clear()
        self.is_cut = True

    def _arrives_at(self, at_s: float) -> None:
        self._net.loop.call_at(at_s, self._arrive, context=self._receiver.context)

    def _arrive(self) -> None:
        """One item a turn of the receiver's loop, as sockets are read: aiohttp's server stumbles
        over a connection that is gone in the turn in which it came."""
        now_s = self._net.loop.time()
        # A loop calls up to the resolution of its clock too early, and not a second time.
        if self._items and self._items[0][0] <= now_s + RESOLUTION_S:
            if now_s < self._free_s:
                self._arrives_at(self._free_s)
                return
            self._free_s = now_s + READ_EVERY_S
            self._receiver.receive(self._items.popleft()[1])
            if self._items and self._items[0][0] <= self._free_s:
                self._arrives_at(self._free_s)


class End(asyncio.Transport):
    """One end of a connection, as the protocol on it sees it."""

    def __init__(
        self, line: "Line", protocol: asyncio.BaseProtocol | None, context: Context
    ) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.context = context
        self.is_lost = False
        self._line = line
        self._protocol: Any = protocol
        self._is_closing = False
        self._is_paused = False
        self._held: list[Item] = []

    # For the protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._is_closing:
            self._line.written(self, bytes(data))

    def close(self) -> None:
        self._close(with_reset=False)

    def abort(self) -> None:
        self._close(with_reset=True)

    def is_closing(self) -> bool:
        return self._is_closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        if self._held:
            loop = self._line.net.loop
            loop.call_soon(self._release, context=self.context)

    def is_reading(self) -> bool:
        return not (self._is_paused or self._is_closing)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Whatever is written is on its way at once."""

    def can_write_eof(self) -> bool:
        return self is self._line.server  # a client that ends its side leaves

    def write_eof(self) -> None:
        if not self._is_closing:
            self._line.is_over(self, with_reset=False)

    # For whoever holds the client's end

    @property
    def troubles(self) -> set[Kind]:
        """What befell this connection."""
        return self._line.struck_by

    # For the line

    def receive(self, item: Item) -> None:
        if self._is_paused and not self.is_lost:
            self._held.append(item)
        elif item is OPEN:
            self._open()
        elif isinstance(item, bytes):
            if self is self._line.server and self._line.client.is_closing():
                self._line.net.late_arrivals += 1
            if not self._is_closing:
                self._protocol.data_received(item)
        elif item is EOF:
            if not self._is_closing and not self._protocol.eof_received():
                self.close()
        else:
            self._is_closing = True
            self._lose(ConnectionResetError(104, "reset"))

    def vanish(self) -> None:
        """The process at this end is gone; nobody there is told."""
        self._is_closing = self.is_lost = True

    def fall_silent(self) -> None:
        """The machine at this end is gone: nobody anywhere is told."""
        self.vanish()
        self._line.up.is_cut = True
        self._line.down.drop()

    def _open(self) -> None:
        self._protocol = self._line.net.accept()
        if self._protocol is None:
            self.vanish()
            self._line.is_over(self, with_reset=True)
        else:
            self._protocol.connection_made(self)

    def _release(self) -> None:
        while self._held and not self._is_paused:
            self.receive(self._held.pop(0))

    def _close(self, *, with_reset: bool) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._line.is_over(self, with_reset=with_reset)
        self._line.net.loop.call_soon(self._lose, None, context=self.context)

    def _lose(self, error: Exception | None) -> None:
        if not self.is_lost:
            self.is_lost = True
            self._line.is_lost()
            if self._protocol is not None:
                self._protocol.connection_lost(error)


class Line:
    """One connection, from a client to the server."""

    def __init__(self, net: Net, protocol: asyncio.BaseProtocol) -> None:
        self.net = net
        self.owner = virtual_time._process.get()
        self.server_owner = net.server_process
        self.client = End(self, protocol, copy_context())
        self.server = End(self, None, net.server_context())
        self.struck_by: set[Kind] = set()
        self.up = Stream(net, self.server)
        self.down = Stream(net, self.client)
        self._trouble: Trouble | None = None
        self._requests = 0
        self._left: dict[Stream, int] = {}
        """Bytes that still pass before the trouble strikes."""
        self._carry: dict[Stream, Carry] = {}
        """How bytes go on after it did, if they do so in another way than usual."""
        net.lines[self] = None
        self.up.push(OPEN)

    def written(self, end: End, data: bytes) -> None:
        if end is self.client:
            if data.startswith((b"GET ", b"POST ", b"DELETE ")):
                self._begin(data)
            self._take(self.up, data)
        else:
            self.net.overheard(data)
            trouble = self._trouble
            if trouble is not None and self.down not in self._left and self.down not in self._carry:
                self._reply_begins(trouble, data)
            self._take(self.down, data)

    def is_over(self, end: End, *, with_reset: bool) -> None:
        """One end closes: what it wrote is still on its way."""
        sign = RESET if with_reset else EOF
        if end is self.server:
            self.down.push(sign)
            self.down.is_cut = True
            return
        now_s = self.net.loop.time()
        if self.up.is_cut:  # nothing gets through; the server's own patience ends some time
            self.up.is_cut = False
            self.up.push(RESET, ARRIVES_WITHIN_S)
        else:
            self.up.push(sign)
        self.up.hasten(now_s + ARRIVES_WITHIN_S)
        self.up.is_cut = True
        self.down.drop()

    def is_abandoned(self, end: End, *, with_reset: bool) -> None:
        """The process at this end died."""
        if not end.is_lost:
            end.vanish()
            self.is_over(end, with_reset=with_reset)
            self.is_lost()

    def is_lost(self) -> None:
        if self.client.is_lost and self.server.is_lost:
            self.net.lines.pop(self, None)

    # Troubles

    def _begin(self, data: bytes) -> None:
        """A new request: what is going to happen to it?"""
        self._requests += 1
        self._left.clear()
        self._carry.clear()
        method, path, _ = data.split(b" ", 2)
        self._trouble = trouble = self.net.troubles.on_request(method, path.partition(b"?")[0])
        if trouble is None:
            return
        self.net.counts[str(trouble)] += 1
        self.struck_by.add(trouble.kind)
        head, body = _lengths(data)
        match trouble.place:
            case Place.REQUEST_HEAD | Place.CONNECT:
                self._left[self.up] = int(trouble.share * head)
            case Place.REQUEST_BODY:
                self._left[self.up] = head + int(trouble.share * body)
            case Place.BEFORE_EXECUTION:
                # It is the request as a whole that is late, so its last byte is.
                is_timed = trouble.kind in {Kind.LATE, Kind.SLOW}
                self._left[self.up] = head + body - is_timed

    def _reply_begins(self, trouble: Trouble, data: bytes) -> None:
        head, body = _lengths(data)
        match trouble.place:
            case Place.AFTER_EXECUTION:
                self._left[self.down] = 0
            case Place.REPLY_HEAD:
                self._left[self.down] = int(trouble.share * head)
            case Place.REPLY_BODY:
                self._left[self.down] = head + int(trouble.share * body)
            case _:
                self._carry[self.down] = self.down.push

    def _take(self, stream: Stream, data: bytes) -> None:
        left = self._left.get(stream)
        if left is None:
            carry = self._carry.get(stream)
            if carry is None:
                stream.push(data)
            else:
                carry(data)
        elif len(data) < left:
            self._left[stream] = left - len(data)
            stream.push(data)
        else:
            del self._left[stream]
            if left:
                stream.push(data[:left])
            self._strike(stream, data[left:])

    def _strike(self, stream: Stream, rest: bytes) -> None:
        assert self._trouble is not None
        match self._trouble.kind:
            case Kind.REFUSED:
                self.net.refuse(self.net.random.choice((0.1, 1.0, 6.0)))
                self._break()
            case Kind.RESET:
                self._break()
            case Kind.BLACKHOLE:
                self.up.is_cut = self.down.is_cut = True
            case Kind.HALF_CLOSE:
                self.down.push(EOF)
                self.down.is_cut = True
                if stream is self.up and rest:
                    self.up.push(rest)
            case Kind.TRUNCATED:
                stream.push(EOF)
                stream.is_cut = True
            case Kind.DUPLICATED:
                self._duplicate(stream, rest)
            case Kind.SLOW:
                self._go_on(stream, rest, partial(self._trickle, stream))
            case Kind.LATE:
                self._go_on(stream, rest, partial(self._come_late, stream))

    def _break(self) -> None:
        for stream in (self.up, self.down):
            stream.push(RESET)
            stream.is_cut = True

    def _go_on(self, stream: Stream, rest: bytes, carry: Carry) -> None:
        self._carry[stream] = carry
        if rest:
            carry(rest)

    def _duplicate(self, stream: Stream, rest: bytes) -> None:
        if stream is self.down:
            self._go_on(stream, rest, self._twice)
            return
        if rest:
            stream.push(rest)
        self._carry[self.down] = self._twice

    def _twice(self, data: bytes) -> None:
        """In one piece, or the copy a little later: but not behind the next request, where no
        client could know it for a copy."""
        if self.net.random.random() < 0.5:
            self.down.push(data + data)
            return
        self.down.push(data)
        late_s = self.net.random.choice((0.001, 0.02, 0.5))
        copy = partial(self._copy_arrives, data, self._requests)
        self.net.loop.call_at(self.down.last_s + late_s, copy, context=self.client.context)

    def _copy_arrives(self, data: bytes, number: int) -> None:
        if number == self._requests and not self.down.is_cut:
            self.client.receive(data)

    def _trickle(self, stream: Stream, data: bytes) -> None:
        size = -(-len(data) // DROPS)
        delay_s = 0.0
        for start in range(0, len(data), size):
            delay_s += self.net.random.uniform(0, DROP_MAX_S)
            stream.push(data[start : start + size], delay_s)

    def _come_late(self, stream: Stream, data: bytes) -> None:
        dice = self.net.random
        delay_s = dice.choice(
            (
                dice.uniform(0, 45),
                BOUNDARY_S + dice.uniform(-0.1, 0.1),
                BOUNDARY_S + dice.choice((-0.001, 0.0, 0.001)),
                60.0,
            )
        )
        stream.push(data, delay_s)


class PipedTransport(AiohttpTransport):
    """The production transport, over a `Net` in the place of TCP."""

    def _connector(self) -> aiohttp.BaseConnector:
        return _Connector("/net", limit=0, keepalive_timeout=IDLE_MAX_S, force_close=False)


class _Connector(Unspoilt, aiohttp.UnixConnector):
    pass


def _lengths(data: bytes) -> tuple[int, int]:
    """Of a message's head and of its body, by its first bytes."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return len(data), 0
    for line in data[:end].lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return end + 4, int(line.partition(b":")[2])
    return end + 4, 0
