"""Whoever uses a sidecar: bots written for the exchange, natives, strangers, and a person.

They speak to it in bytes over connections that things befall, leave before they are answered, and
ask again. What they asked and heard is noted for the judge.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import anyio
import orjson

from scheduler.signing import Signer, signer
from scheduler.simulator import Simulator

from ..pipes import End, Kind, Net
from ..sidecar.house import TOKEN, Answer, Asker
from .life import Story, undecided, until
from .sidecar_plan import NATIVE, OWNER, SPELLINGS, SidecarPlan, Want

HOST = "localhost:80"
LOAN = "/sapi/v1/margin/borrow-repay"
FORM = "application/x-www-form-urlencoded"
STAYS_S = 60.0
"""Longer than any answer may take."""
AGAIN_AFTER_S = 0.5
OFTEN = 20
"""After so many times callers ask less often: an address that is closed is so for minutes."""
RESOLVES_EVERY_S = 5.0
POLLS_MAX = 2_000
IDLE_MAX_S = 10.0
"""A connection that the sidecar may be about to close is not used again."""
SILENT = {Kind.BLACKHOLE, Kind.SLOW, Kind.LATE}
"""After these one end does not know in time what the other did."""

DONE = "done"
"""In the place of what a caller was told, for those that heard the outcome by asking for it."""
GAVE_UP = "gave up"
NOTHING = ""
"""It was told nothing that ends its wanting."""


@dataclass(slots=True)
class Asking:
    """One request and what was heard of it."""

    want: int
    """-1: nobody's, as a stranger's."""
    what: str
    began_s: float
    ended_s: float = 0.0
    answer: Answer | None = None
    """None: there was none, or it broke off."""
    is_struck: bool = False
    """Whether troubles befell its connection, or the sidecar ended."""
    is_silent: bool = False
    """Whether the sidecar may think that its client is still there, or is still to hear of it."""
    has_left: bool = False

    @property
    def content(self) -> Any:
        return None if self.answer is None else orjson.loads(self.answer.body)

    @property
    def tran_id(self) -> int | None:
        """What a bot was told."""
        if self.answer is None or self.answer.status != 200 or self.what != "loan":
            return None
        tran_id = self.content["tranId"]
        assert isinstance(tran_id, int)
        return tran_id


@dataclass(slots=True)
class SidecarStory(Story):
    """What was seen of one life of a sidecar."""

    plan: SidecarPlan
    askings: list[Asking] = field(default_factory=list)
    ends: dict[int, str] = field(default_factory=dict)
    """How each want ended: with what it was told, or by giving up."""
    sent_ids: set[int] = field(default_factory=set)
    """Transactions that were put on their way to a client."""
    stops_s: list[float] = field(default_factory=list)
    """When it was told to stop."""
    deaths_s: list[float] = field(default_factory=list)
    """When the sidecar ended, in whatever way."""

    def branches(self) -> Counter[str]:
        return Story.branches(self) + Counter(_branch(asking) for asking in self.askings)

    def heard(self) -> str:
        return repr([(a.want, a.what, a.ended_s, a.answer and a.answer.body) for a in self.askings])


class Callers:
    """All of one life."""

    def __init__(self, plan: SidecarPlan, story: SidecarStory, net: Net, simulator: Simulator):
        self._plan = plan
        self._story = story
        self._net = net
        self._simulator = simulator
        self._idle: defaultdict[str, list[tuple[float, Asker]]] = defaultdict(list)
        self._random = random.Random(f"callers:{plan.seed}")
        self._signers: dict[str, tuple[str, Signer]] = {
            client.name: (client.api_key, signer(client.secret or "")) for client in plan.clients
        }
        self._open: dict[End, None] = {}
        self._lives = 0

    def close(self) -> None:
        """Hang up everywhere."""
        for end in self._open:
            end.close()

    def begin(self) -> None:
        """A sidecar was started."""
        self._lives += 1

    async def attend(self) -> None:
        """Until everybody has what it wanted."""
        async with anyio.create_task_group() as callers:
            for number, want in enumerate(self._plan.wants):
                caller = self._native if want.client == NATIVE else self._bot
                callers.start_soon(caller, number, want)
            for at_s, who in self._plan.strangers:
                callers.start_soon(self._stranger, at_s, who)

    # Bots

    async def _bot(self, number: int, want: Want) -> None:
        await until(want.job.at_s)
        told = GAVE_UP
        for turn in range(want.tries):
            asking = await self._loan(number, want, turn)
            if told_by(asking) is not NOTHING:
                told = told_by(asking)
                break
            await anyio.sleep(_nth(want.pauses_s, turn, _again_after_s(turn)))
        self._story.ends[number] = told
        if want.asks_again and told is not GAVE_UP:
            await anyio.sleep(1)
            await self._loan(number, want, 99)

    async def _loan(self, number: int, want: Want, turn: int) -> Asking:
        job = want.job
        spelled = self._random.choice(SPELLINGS.get(job.amount, (job.amount,)))
        asked = {"asset": job.asset, "isIsolated": "FALSE", "amount": spelled, "type": job.kind}
        if job.symbol is not None:
            asked |= {"isIsolated": "TRUE", "symbol": job.symbol}
        headers: dict[str, str | None] = {"X-Scheduler-Key": want.key} if want.key else {}
        stays_s = _nth(want.stays_s, turn, None)
        api_key, payload = self._signed(want, asked)
        headers |= {"X-MBX-APIKEY": api_key, "Authorization": None}
        path, body = f"{LOAN}?{payload}", b""
        if want.is_in_form:
            path, body = LOAN, payload.encode()
            headers["Content-Type"] = FORM
        return await self._ask(number, "loan", "POST", path, body, headers, stays_s)

    def _signed(self, want: Want, asked: Mapping[str, str]) -> tuple[str, str]:
        api_key, by = self._signer(want)
        payload = urlencode({**asked, "timestamp": self._simulator.now_ms()})
        return api_key, f"{payload}&signature={by.sign(payload.encode())}"

    def _signer(self, want: Want) -> tuple[str, Signer]:
        name = want.client
        if name == OWNER:
            name = want.job.account
            if name not in self._signers:
                account = self._simulator.account(name, **self._plan.accounts[name])
                self._signers[name] = account.api_key, signer(account.secret)
        return self._signers[name]

    # Natives

    async def _native(self, number: int, want: Want) -> None:
        await until(want.job.at_s)
        async with anyio.create_task_group() as hands:
            if want.is_twofold:
                hands.start_soon(self._submitted, number, want)
            told = await self._submitted(number, want)
        if told is NOTHING and want.job.cancel_after_s is not None:
            await anyio.sleep(want.job.cancel_after_s)
            await self._ask(number, "cancel", "DELETE", f"/v1/submissions/{want.key}")
        self._story.ends[number] = told or await self._followed(number, want)
        if self._story.ends[number] == DONE and number % 5 == 0:
            await self._submit(number, want, "another", amount="11")

    async def _submitted(self, number: int, want: Want) -> str:
        """What ended it, or NOTHING once it is taken."""
        for turn in range(want.tries):
            stays_s = _nth(want.stays_s, turn, None)
            asking = await self._submit(number, want, "submit", stays_s=stays_s)
            match asking.answer:
                case Answer(status=200 | 202):
                    return NOTHING
                case Answer(status=400 | 409 | 429 as status):
                    return str(status)
            await anyio.sleep(_again_after_s(turn))
        return GAVE_UP

    async def _submit(
        self, number: int, want: Want, what: str, *, amount: str = "", stays_s: float | None = None
    ) -> Asking:
        job = want.job
        asked = {
            "account": job.account,
            "kind": job.kind,
            "asset": job.asset,
            "amount": amount or job.amount,
            "key": want.key,
            "symbol": job.symbol,
            "priority": job.priority,
            "send_within_ms": None if job.send_within is None else round(job.send_within * 1000),
        }
        path = f"/v1/submissions?wait={want.wait_s:g}" if want.wait_s else "/v1/submissions"
        body = orjson.dumps({name: value for name, value in asked.items() if value is not None})
        return await self._ask(number, what, "POST", path, body, {}, stays_s)

    async def _followed(self, number: int, want: Want) -> str:
        path = f"/v1/submissions/{want.key}?wait={10 + number % 3 * 20}"
        for _ in range(POLLS_MAX):
            asking = await self._ask(number, "show", "GET", path)
            if asking.answer is None or asking.answer.status >= 500:
                await anyio.sleep(AGAIN_AFTER_S)
            elif asking.answer.status != 200:
                return str(asking.answer.status)
            elif asking.content["is_final"]:
                return DONE
            else:  # what waits for a person is told at once, whoever would wait for it
                await anyio.sleep(1.0 if asking.content["state"] == "UNRESOLVED" else 0.01)
        return GAVE_UP

    # Others

    async def _stranger(self, at_s: float, who: str) -> None:
        """Asks for a loan that it has no right to; the amount is nobody else's."""
        await until(at_s)
        account = next(iter(self._plan.accounts))
        body = {"account": account, "kind": "BORROW", "asset": "USDT", "amount": "13", "key": "s"}
        native: dict[str, dict[str, str | None]] = {
            "no token": {"Authorization": None},
            "wrong token": {"Authorization": f"Bearer {TOKEN[:-1]}x"},
            "foreign host": {"Host": "example.com:80"},
            "foreign origin": {"Origin": "http://example.com"},
        }
        if who in native:
            await self._ask(-1, who, "POST", "/v1/submissions", orjson.dumps(body), native[who])
            return
        client = self._plan.clients[0]
        stamp = self._simulator.now_ms() - (100_000 if who == "stale" else 0)
        asked = {"asset": "USDT", "isIsolated": "FALSE", "amount": "13", "type": "BORROW"}
        payload = urlencode({**asked, "timestamp": stamp})
        by = self._signers["bot-b" if who == "signed by another" else client.name][1]
        signed = payload.replace("=13", "=1") if who == "changed after it was signed" else payload
        query = f"{payload}&signature={by.sign(signed.encode())}"
        key = "nobody's" if who == "unknown key" else client.api_key
        await self._ask(-1, who, "POST", f"{LOAN}?{query}", b"", {"X-MBX-APIKEY": key})

    async def resolve(self) -> None:
        """Do what the README tells a person to do, over the API."""
        while True:
            await anyio.sleep(RESOLVES_EVERY_S)
            for entry, state, tran_id in undecided(self._story, self._simulator):
                told: dict[str, Any] = {"as": state, "because": "the ledger"}
                if tran_id is not None:
                    told["tran_id"] = tran_id
                path = f"/v1/submissions/{entry.key}/resolve"
                await self._ask(-1, "resolve", "POST", path, orjson.dumps(told))

    # Asking

    async def _ask(
        self,
        number: int,
        what: str,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str | None] | None = None,
        stays_s: float | None = None,
    ) -> Asking:
        """One request on a connection that is idle, or on a new one, until it is answered, the
        connection breaks, or the client leaves."""
        loop = asyncio.get_running_loop()
        asking = Asking(number, what, loop.time())
        self._story.askings.append(asking)
        want = None if number < 0 else self._plan.wants[number]
        lives, who = self._lives, "" if want is None else want.client
        asker: Asker | None = None
        with anyio.move_on_after(STAYS_S if stays_s is None else stays_s) as staying:
            with suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                asker = await self._connection(who)
                self._open[_end(asker)] = None
                asking.answer = await asker.ask(method, path, body, headers)
        asking.ended_s = loop.time()
        asking.has_left = stays_s is not None and staying.cancelled_caught
        end = None if asker is None else _end(asker)
        asking.is_struck = end is None or bool(end.troubles) or lives != self._lives
        is_told = asking.answer is not None and asking.answer.status != 504
        if end is not None and not is_told:
            leaves_silently = want is not None and want.leaving == "silence"
            asking.is_silent = leaves_silently or not SILENT.isdisjoint(end.troubles)
        if end is not None and asker is not None:
            if asking.answer is not None and asking.answer.headers.get("connection") != "close":
                self._idle[who].append((asking.ended_s, asker))
            else:
                _leave(end, want)
                del self._open[end]
        return asking

    async def _connection(self, who: str) -> Asker:
        idle = self._idle[who]
        while idle:
            since_s, asker = idle.pop()
            is_fresh = asyncio.get_running_loop().time() - since_s < IDLE_MAX_S
            # A decent client uses none on which something came that it had not asked for.
            is_clean = not asker.reader.at_eof() and not asker.reader._buffer  # type: ignore[attr-defined]
            if is_fresh and is_clean and not _end(asker).is_closing():
                return asker
            asker.writer.close()
            del self._open[_end(asker)]
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await self._net.connect(lambda: protocol)
        writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
        return Asker(reader, writer, HOST, TOKEN)


def told_by(asking: Asking) -> str:
    """What ends a bot's wanting: that it was executed, or that it was not and will not be."""
    match asking.answer:
        case Answer(status=200):
            return "executed"
        case Answer(status=429):
            return "not executed"
        case Answer(status=400) if asking.content["code"] != -1021:
            return "refused"
    return NOTHING


def _branch(asking: Asking) -> str:
    """What came of a request, for telling whether rare things were reached."""
    if asking.answer is None:
        return f"{asking.what}: {'left' if asking.has_left else 'no answer'}"
    is_replayed = asking.answer.headers.get("x-scheduler-replayed") == "true"
    return f"{asking.what}: {asking.answer.status}{' replayed' * is_replayed}"


def _again_after_s(turn: int) -> float:
    return AGAIN_AFTER_S if turn < OFTEN else 10 * AGAIN_AFTER_S


def _leave(end: End, want: Want | None) -> None:
    leaving = "close" if want is None else want.leaving
    if leaving == "silence" and not end.is_closing():
        end.fall_silent()
    elif leaving == "abort":
        end.abort()
    else:
        end.close()


def _end(asker: Asker) -> End:
    end = asker.writer.transport
    assert isinstance(end, End)
    return end


def _nth(values: tuple[Any, ...], place: int, otherwise: Any) -> Any:
    return values[place] if place < len(values) else otherwise
