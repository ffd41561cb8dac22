"""Bots written for the exchange, as the gateway meets them."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from scheduler import Limits, Scheduler
from scheduler.journal import Journal
from scheduler.sidecar.gateway import Gateway
from scheduler.sidecar.gateway.replies import Reply
from scheduler.sidecar.options import Client, SidecarOptions
from scheduler.simulator import Simulator
from scheduler.wire import HttpRequest

PATH = "/sapi/v1/margin/borrow-repay"
BOT = Client(name="bot-a", account="main", api_key="bot-a-key", secret="bot-a-secret")
OTHER = Client(name="bot-b", account="main", api_key="bot-b-key", secret="bot-b-secret")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a bot was answered."""

    status: int
    content: Any
    headers: dict[str, str]

    @property
    def code(self) -> int:
        code = self.content["code"]
        assert isinstance(code, int)
        return code

    @property
    def tran_id(self) -> int:
        assert self.status == 200, self
        tran_id = self.content["tranId"]
        assert isinstance(tran_id, int)
        return tran_id

    @property
    def key(self) -> str:
        return self.headers["X-Scheduler-Key"]

    @property
    def is_replayed(self) -> bool:
        return self.headers.get("X-Scheduler-Replayed") == "true"


@dataclass(slots=True)
class Bot:
    """Signs with HMAC and calls the gateway without a socket. Cancelling a call is leaving."""

    world: "World"
    api_key: str = BOT.api_key
    secret: str = BOT.secret or ""

    async def borrow(self, amount: str = "10", *, key: str | None = None, **changed: str) -> Heard:
        return await self.loan("BORROW", amount, key=key, **changed)

    async def repay(self, amount: str = "10", **changed: str) -> Heard:
        return await self.loan("REPAY", amount, **changed)

    async def loan(
        self, kind: str, amount: str, *, key: str | None = None, **changed: str
    ) -> Heard:
        asked = {"asset": "USDT", "isIsolated": "FALSE", "amount": amount, "type": kind, **changed}
        return await self.call("POST", PATH, asked, key=key)

    async def call(
        self,
        method: str,
        path: str,
        asked: dict[str, str] | None = None,
        *,
        key: str | None = None,
        in_body: bool = False,
    ) -> Heard:
        """A signed call, stamped now unless it says otherwise."""
        now_ms = str(self.world.sim.now_ms())
        query = self.signed({**(asked or {}), "timestamp": now_ms, **_given(asked, "timestamp")})
        headers = {"x-mbx-apikey": self.api_key}
        if key is not None:
            headers["x-scheduler-key"] = key
        if in_body:
            return await self.world.ask(method, path, "", headers, query.encode())
        return await self.world.ask(method, path, query, headers)

    def signed(self, asked: dict[str, str]) -> str:
        query = urlencode(asked, quote_via=quote)
        return f"{query}&signature={self.signature(query)}"

    def signature(self, payload: str) -> str:
        return hmac.digest(self.secret.encode(), payload.encode(), hashlib.sha256).hex()


@dataclass(slots=True)
class World:
    """A gateway, the scheduler behind it, and the simulated exchange behind that."""

    sim: Simulator
    scheduler: Scheduler
    gateway: Gateway
    unheard: list[Reply] = field(default_factory=list)
    """Answers that found nobody any more."""

    def bot(self, client: Client = BOT) -> Bot:
        return Bot(self, client.api_key, client.secret or "")

    async def ask(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        is_gone: bool = False,
    ) -> Heard:
        """Any call. `is_gone`: the connection breaks just as the answer is sent."""
        heard: list[Reply] = []

        async def deliver(reply: Reply) -> None:
            if is_gone:
                self.unheard.append(reply)
                raise ConnectionResetError
            heard.append(reply)

        call = HttpRequest(method=method, path=path, query=query, headers=headers or {}, body=body)
        await self.gateway.answer(call, deliver)
        (reply,) = heard
        content = orjson.loads(reply.body) if reply.body[:1] in {b"{", b"["} else reply.body
        return Heard(reply.status, content, dict(reply.headers))

    def booked(self) -> int:
        return len(self.sim.ledger.booked())


@asynccontextmanager
async def world(
    *,
    journal: str | Journal = "memory:",
    limits: Limits | None = None,
    clients: tuple[Client, ...] = (BOT, OTHER),
    sim: Simulator | None = None,
    account: dict[str, Any] | None = None,
    patience_ms: int = 8_000,
    adopt_s: float = 60.0,
    **options: Any,
) -> AsyncIterator[World]:
    """Everything that one test needs; `options` are the simulator's."""
    if sim is None:
        async with (
            Simulator(port=None, **options) as opened,
            world(
                journal=journal,
                limits=limits,
                clients=clients,
                sim=opened,
                account=account,
                patience_ms=patience_ms,
                adopt_s=adopt_s,
            ) as made,
        ):
            yield made
        return
    chosen = SidecarOptions(
        clients=clients, gateway_patience_ms=patience_ms, gateway_adopt_s=adopt_s
    )
    scheduler = Scheduler(
        [sim.account("main", **(account or {}))],
        journal=journal,
        transport=sim.transport,
        limits=limits,
    )
    async with scheduler:
        gateway = Gateway(scheduler, chosen)
        await gateway.start()
        try:
            yield World(sim, scheduler, gateway)
        finally:
            await gateway.aclose()


async def left(waiting: "asyncio.Task[Heard]") -> None:
    """The client closes its connection."""
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()


def wall_ms() -> int:
    return round(time.time() * 1_000)


def _given(asked: dict[str, str] | None, name: str) -> dict[str, str]:
    return {name: asked[name]} if asked and name in asked else {}
