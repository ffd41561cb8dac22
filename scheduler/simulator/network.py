"""The way to the exchange without sockets: a transport for clients in the same process."""

import asyncio
from functools import partial

from ..wire import ConnectFailed, HttpReply, HttpRequest, ReplyLost
from .clock import Clock
from .exchange import Exchange
from .faults import Answer, Delivery, Fault
from .options import Options
from .seeds import Seeds

_BROKEN = (Delivery.CUT, Delivery.TRUNCATED)


class Network:
    """Everything between the clients in this process and the exchange."""

    def __init__(self, options: Options, clock: Clock, seeds: Seeds, exchange: Exchange) -> None:
        self._options = options
        self._clock = clock
        self._seeds = seeds
        self._exchange = exchange
        # A dict for its order: sets of futures iterate by address, and no two runs would be alike.
        self._waiting: dict[asyncio.Future[HttpReply], None] = {}
        self.is_down = False

    def close(self) -> None:
        """Cuts whatever is still waiting for a reply."""
        for waiting in list(self._waiting):
            _fail(waiting, "the simulator was closed")

    async def send(self, request: HttpRequest, address: str) -> HttpReply:
        affliction = self._exchange.afflict(request)
        if self.is_down or (affliction is not None and affliction.fault is Fault.NEVER_LEFT):
            raise ConnectFailed("simulated: connection refused")
        out_ms, back_ms = self._latencies()
        waiting: asyncio.Future[HttpReply] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = None
        deliver = partial(self._deliver, waiting, back_ms)
        self._exchange.receive(request, address, affliction, out_ms, deliver)
        # The only timer that is the client's own: it dies with the client.
        timer = asyncio.get_running_loop().call_later(
            self._options.timeout_s, _fail, waiting, "simulated: no reply in time"
        )
        try:
            return await waiting
        finally:
            timer.cancel()
            self._waiting.pop(waiting, None)

    def _latencies(self) -> tuple[float, float]:
        round_trip_ms = self._seeds.between("network", self._options.round_trip_ms)
        out_ms = self._seeds.of("network").random() * round_trip_ms
        return out_ms, round_trip_ms - out_ms

    def _deliver(self, waiting: asyncio.Future[HttpReply], back_ms: float, answer: Answer) -> None:
        self._clock.call_later(back_ms + answer.delay_ms, self._hand_over, waiting, answer)

    def _hand_over(self, waiting: asyncio.Future[HttpReply], answer: Answer) -> None:
        # Not left to the client, who may be dead.
        self._waiting.pop(waiting, None)
        if answer.delivery in _BROKEN:
            _fail(waiting, "simulated: connection reset")
        elif not waiting.done():
            waiting.set_result(answer.reply)


class Transport:
    """One machine's way to the exchange; every address has its own IP budget."""

    def __init__(self, network: Network, address: str) -> None:
        self.address = address
        self._network = network

    async def send(self, request: HttpRequest) -> HttpReply:
        """The reply, or `ConnectFailed` if nothing left, or `ReplyLost` if that is not known."""
        return await self._network.send(request, self.address)

    async def aclose(self) -> None:
        """Nothing to close: the exchange outlives its clients, and another may use the same way."""


def _fail(waiting: asyncio.Future[HttpReply], why: str) -> None:
    if not waiting.done():
        waiting.set_exception(ReplyLost(why))
        # Counts as asked for: a client that died never asks, and asyncio would complain about it.
        waiting.exception()
