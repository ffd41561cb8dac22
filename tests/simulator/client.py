"""A plain client of the exchange, made for these tests and sharing no code with the scheduler."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from scheduler.simulator import SimulatedAccount, Simulator
from scheduler.simulator.network import Transport
from scheduler.wire import HttpReply, HttpRequest

LOANS = "/sapi/v1/margin/borrow-repay"


@dataclass(frozen=True)
class Said:
    """A reply, read."""

    status: int
    json: Any
    headers: dict[str, str]

    @property
    def code(self) -> int:
        assert "code" in self.json, self.json
        return int(self.json["code"])

    @property
    def tran_id(self) -> int:
        assert self.status == 200, self.json
        return int(self.json["tranId"])


class Client:
    """Signs with HMAC, sends once, and says what came back."""

    def __init__(
        self, sim: Simulator, account: SimulatedAccount | str = "main", address: str | None = None
    ) -> None:
        self.sim = sim
        self.account = sim.account(account) if isinstance(account, str) else account
        self.transport: Transport = sim.transport_from(address) if address else sim.transport

    def loan(self, kind: str, asset: str, amount: str, /, **more: Any) -> HttpRequest:
        parameters = {"asset": asset, "isIsolated": "FALSE", "amount": amount, "type": kind}
        if "symbol" in more:
            parameters["isIsolated"] = "TRUE"
        return self.signed("POST", LOANS, **(parameters | more))

    def signed(self, method: str, path: str, **parameters: Any) -> HttpRequest:
        stamped = {"timestamp": self.sim.now_ms(), **parameters}
        payload = urlencode({k: v for k, v in stamped.items() if v is not None})
        signature = sign(self.account.secret, payload)
        return self.raw(method, path, f"{payload}&signature={signature}")

    def raw(self, method: str, path: str, payload: str) -> HttpRequest:
        headers = {"X-MBX-APIKEY": self.account.api_key}
        if method == "GET":
            return HttpRequest(method=method, path=path, query=payload, headers=headers)
        return HttpRequest(method=method, path=path, body=payload.encode(), headers=headers)

    async def send(self, request: HttpRequest) -> Said:
        return read(await self.transport.send(request))

    async def borrow(self, asset: str = "USDT", amount: str = "10", **more: Any) -> Said:
        return await self.send(self.loan("BORROW", asset, amount, **more))

    async def repay(self, asset: str = "USDT", amount: str = "10", **more: Any) -> Said:
        return await self.send(self.loan("REPAY", asset, amount, **more))

    async def get(self, path: str, **parameters: Any) -> Said:
        return await self.send(self.signed("GET", path, **parameters))

    async def records(self, kind: str = "BORROW", **parameters: Any) -> list[dict[str, Any]]:
        said = await self.get(LOANS, type=kind, **({"startTime": 0} | parameters))
        assert said.status == 200, said.json
        rows: list[dict[str, Any]] = said.json["rows"]
        return rows


def read(reply: HttpReply) -> Said:
    return Said(reply.status, orjson.loads(reply.body), dict(reply.headers))


def sign(secret: str, payload: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
