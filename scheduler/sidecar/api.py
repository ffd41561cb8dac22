"""The native API: every call reads, asks the scheduler, and answers with what it said."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import NoReturn

import msgspec
from aiohttp import hdrs, web

from ..errors import CannotStartInTime, Closed, InvalidRequest, UnknownAccount, UnknownKey
from ..model import Entry, Kind, State
from ..request import Options
from ..scheduler import Scheduler
from ..watch import is_settled
from . import bodies
from .metrics import Metrics
from .openapi import document
from .problems import DRAINING, NOT_JSON, NOT_READY, SERVER, Problem, problem_of
from .stream import Stream

WAITS_MAX = 256
ASK_AGAIN_S = "1"
"""Requests that wait for an outcome at once; more are answered with what there is."""
KEY_MAX = 200
"""No key is longer, whoever made it."""
ACCOUNTS_AT_ONCE = 20

WAITS_FULL = Problem(
    status=503,
    code="too_many_waiting",
    detail="too many requests wait for an outcome",
    retry_after_s=5,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = {"Content-Type": "application/json", "Cache-Control": "no-store", "Server": SERVER}

STREAMS_FULL = Problem(
    status=503,
    code="too_many_readers",
    detail="too many readers follow the events",
    retry_after_s=5,
)


class Api:
    """Serves one scheduler."""

    def __init__(self, scheduler: Scheduler, metrics: Metrics) -> None:
        self._scheduler = scheduler
        self._metrics = metrics
        self._stream = Stream()
        self._stop_observing = scheduler.observe(self._stream)
        self._waits: set[asyncio.Timeout] = set()
        self._is_draining = False
        self._document: bytes | None = None

    def routes(self) -> list[web.RouteDef]:
        """Every path of the API but the dashboard's."""
        one, account = "/v1/submissions/{key}", "/v1/accounts/{account}"
        return [
            web.post("/v1/submissions", self._submit),
            _get("/v1/submissions", self._list),
            _get(one, self._show),
            web.delete(one, self._cancel),
            web.post(f"{one}/resolve", self._resolve),
            _get(f"{one}/history", self._history),
            _get("/v1/accounts", self._accounts),
            _get(account, self._account),
            web.post(f"{account}/pause", self._pause),
            web.post(f"{account}/resume", self._resume),
            _get(f"{account}/debt", self._debt),
            _get(f"{account}/max-borrowable", self._max_borrowable),
            web.post(f"{account}/settle-debt", self._settle_debt),
            _get("/v1/assets/{asset}", self._asset),
            _get("/v1/events", self._events),
            _get("/healthz", self._health),
            _get("/readyz", self._ready),
            _get("/metrics", self._expose),
            _get("/openapi.json", self._describe),
        ]

    def drain(self) -> None:
        """Take nothing new, and let nobody wait any longer."""
        self._is_draining = True
        for wait in tuple(self._waits):
            if not wait.expired():
                wait.reschedule(0)  # which is over
        self._stream.close()

    def close(self) -> None:
        """Look at the scheduler no more."""
        self._stop_observing()

    # Submissions

    async def _submit(self, request: web.Request) -> web.Response:
        if self._is_draining:
            return DRAINING.response(request.path)
        wait_s = _wait_s(_query(request, "wait"))
        body = await request.read()
        if (problem := _type_problem(request, body)) is not None:
            return problem.response(request.path)
        asked = bodies.read_submission(body)
        kind = Kind.BORROW if isinstance(asked, bodies.Borrow) else Kind.REPAY
        entry, was_there = await self._scheduler.accept(
            self._scheduler.checked(
                asked.account, kind, asked.asset, asked.amount, **_options(asked)
            )
        )
        headers = {**JSON, "Location": f"/v1/submissions/{entry.key}"}
        entry = await self._settled(entry, wait_s, headers)
        is_known = was_there or (wait_s > 0 and entry.is_final)
        told = bodies.entry_body(entry, replayed=True if was_there else msgspec.UNSET)
        return web.Response(
            status=200 if is_known else 202, body=bodies.encode(told), headers=headers
        )

    async def _show(self, request: web.Request) -> web.Response:
        wait_s = _wait_s(_query(request, "wait"))
        headers = dict(JSON)
        entry = await self._settled(await self._scheduler.get(_key(request)), wait_s, headers)
        return web.Response(body=bodies.encode(bodies.entry_body(entry)), headers=headers)

    async def _settled(self, entry: Entry, wait_s: float, headers: dict[str, str]) -> Entry:
        """The entry once it is settled, or as it stands when the time is up or we drain. Where too
        many wait already it is answered at once, and `headers` say when to ask again: whoever asked
        to wait would else do so without a pause."""
        if is_settled(entry) or wait_s == 0 or self._is_draining:
            return entry
        if len(self._waits) >= WAITS_MAX:
            headers["Retry-After"] = ASK_AGAIN_S
            return entry
        with suppress(TimeoutError):
            async with self._wait(wait_s):
                try:
                    return await self._scheduler.wait(entry.key)
                except Closed:
                    pass  # the scheduler closes, and the journal still tells
        return await self._scheduler.get(entry.key)

    @asynccontextmanager
    async def _wait(self, wait_s: float | None) -> AsyncIterator[None]:
        """Raises TimeoutError when the time is up or we drain."""
        async with asyncio.timeout(wait_s) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)

    async def _list(self, request: web.Request) -> web.Response:
        asked = _query(request, "account", "state", "asset", "limit", "after")
        limit = _limit(asked.get("limit"))
        found = await self._scheduler.list(
            account=self._filter(asked.get("account")),
            state=asked.get("state"),
            asset=_asset(asked.get("asset")),
            limit=limit + 1,
            after=_read_cursor(asked.get("after")),
        )
        shown = [bodies.entry_body(entry) for entry in found[:limit]]
        following = _cursor(found[limit - 1].seq) if len(found) > limit else None
        return _json(bodies.EntryList(shown, following))

    async def _cancel(self, request: web.Request) -> web.Response:
        _query(request)
        return _json(bodies.entry_body(await self._scheduler.cancel(_key(request))))

    async def _resolve(self, request: web.Request) -> web.Response:
        _query(request)
        body = await request.read()
        if (problem := _type_problem(request, body)) is not None:
            return problem.response(request.path)
        asked = bodies.read_resolution(body)
        is_confirmed = isinstance(asked, bodies.Confirmed)
        entry = await self._scheduler.resolve(
            _key(request),
            State.CONFIRMED if is_confirmed else State.NOT_EXECUTED,
            tran_id=None if asked.tran_id is None else int(asked.tran_id),
            because=asked.because,
        )
        return _json(bodies.entry_body(entry))

    async def _history(self, request: web.Request) -> web.Response:
        _query(request)
        key = _key(request)
        changes = await self._scheduler.history(key)
        return _json(bodies.history_body(key, changes))

    # Accounts

    async def _accounts(self, request: web.Request) -> web.Response:
        _query(request)
        accounts = []
        for number, name in enumerate(self._scheduler.accounts):
            if number % ACCOUNTS_AT_ONCE == 0:
                await asyncio.sleep(0)  # others want to be answered, too
            accounts.append(bodies.account_body(await self._scheduler.status(name)))
        return _json(bodies.AccountList(accounts))

    async def _account(self, request: web.Request) -> web.Response:
        _query(request)
        return await self._status(request)

    async def _pause(self, request: web.Request) -> web.Response:
        _query(request)
        await self._scheduler.pause(request.match_info["account"])
        return await self._status(request)

    async def _resume(self, request: web.Request) -> web.Response:
        _query(request)
        await self._scheduler.resume(request.match_info["account"])
        return await self._status(request)

    async def _status(self, request: web.Request) -> web.Response:
        status = await self._scheduler.status(request.match_info["account"])
        return _json(bodies.account_body(status))

    def _known(self, account: str) -> str:
        if account not in self._scheduler.accounts:
            raise UnknownAccount(f"account: {account!r} is not configured")
        return account

    def _filter(self, account: str | None) -> str | None:
        return None if account is None else self._known(account)

    # What is owed, and what can be borrowed

    async def _debt(self, request: web.Request) -> web.Response:
        asked = _query(request, "asset", "symbol", "fresh")
        account, asset, symbol = (
            request.match_info["account"],
            asked.get("asset"),
            asked.get("symbol"),
        )
        is_fresh = _fresh(asked.get("fresh"))
        if asset is None:
            debts = await self._scheduler.debts(account, symbol, fresh=is_fresh)
            return _json(bodies.debt_list(debts))
        debt = await self._scheduler.debt(account, asset, symbol, fresh=is_fresh)
        return _json(bodies.debt_body(debt))

    async def _max_borrowable(self, request: web.Request) -> web.Response:
        asked = _query(request, "asset", "symbol", "fresh")
        if "asset" not in asked:
            _refuse("asset", "is required, as the exchange spells it")
        most = await self._scheduler.max_borrowable(
            request.match_info["account"],
            asked["asset"],
            asked.get("symbol"),
            fresh=_fresh(asked.get("fresh")),
        )
        return _json(bodies.max_borrowable_body(most))

    async def _asset(self, request: web.Request) -> web.Response:
        _query(request)
        asset = request.match_info["asset"]
        status, cross, isolated = await asyncio.gather(
            self._scheduler.asset_status(asset),
            self._scheduler.inventory(asset),
            self._scheduler.inventory(asset, isolated=True),
        )
        return _json(bodies.asset_body(status, cross, isolated))

    async def _settle_debt(self, request: web.Request) -> web.Response:
        """What was begun goes on if the client leaves; repeating it joins it."""
        if self._is_draining:
            return DRAINING.response(request.path)
        _query(request)
        body = await request.read()
        if (problem := _type_problem(request, body)) is not None:
            return problem.response(request.path)
        asked = bodies.read_settle_debt(body)
        account = self._known(request.match_info["account"])
        if len(self._waits) >= WAITS_MAX:
            return WAITS_FULL.response(request.path)
        try:
            async with self._wait(None):
                settlement = await self._scheduler.settle_debt(
                    account,
                    asked.asset,
                    asked.symbol,
                    within=asked.within_ms / 1000,
                    report_only=asked.report_only,
                )
        except CannotStartInTime as error:
            return replace(problem_of(error), field="within_ms").response(request.path)
        except TimeoutError:
            return DRAINING.response(request.path)
        return _json(bodies.settlement_body(settlement))

    # Following

    async def _events(self, request: web.Request) -> web.StreamResponse:
        account = self._filter(_query(request, "account").get("account"))
        if self._is_draining:
            return DRAINING.response(request.path)
        if self._stream.is_full:
            return STREAMS_FULL.response(request.path)
        headers = {
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            "Server": SERVER,
        }
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        last_id = request.headers.get("Last-Event-ID")
        async with aclosing(self._stream.read(account, last_id)) as chunks:
            async for chunk in chunks:
                await response.write(chunk)
        return response

    # Operation

    async def _health(self, request: web.Request) -> web.Response:
        return _json(bodies.Health("ok"))

    async def _ready(self, request: web.Request) -> web.Response:
        if self._is_draining or not self._is_ready():
            return NOT_READY.response(request.path)
        return _json(bodies.Health("ok"))

    def _is_ready(self) -> bool:
        try:
            return self._scheduler.is_journal_up
        except Closed:
            return False

    async def _expose(self, request: web.Request) -> web.Response:
        _query(request)
        body, content_type = self._metrics.exposition()
        headers = {**JSON, "Content-Type": content_type}
        return web.Response(body=body, headers=headers)

    async def _describe(self, request: web.Request) -> web.Response:
        _query(request)
        if self._document is None:
            self._document = document()
        return web.Response(body=self._document, headers=JSON)


def _get(path: str, handler: Handler) -> web.RouteDef:
    return web.get(path, handler, allow_head=False)


def _json(answer: msgspec.Struct) -> web.Response:
    return web.Response(body=bodies.encode(answer), headers=JSON)


# Reading


def _type_problem(request: web.Request, body: bytes) -> Problem | None:
    """Only JSON is read: a form, which any page may send anywhere, is not."""
    given = request.headers.get(hdrs.CONTENT_TYPE)
    if given is None and not body:
        return None  # an empty body is refused for being empty
    charset = (request.charset or "utf-8").lower()
    is_json = request.content_type == "application/json" and charset in {"utf-8", "utf8"}
    return None if is_json else NOT_JSON


def _options(asked: bodies.Submission) -> Options:
    within_ms = asked.send_within_ms
    return {
        "key": asked.key,
        "symbol": asked.symbol,
        "priority": asked.priority,
        "send_within": None if within_ms is None else within_ms / 1000,
        "at_most": asked.at_most,
        "precheck": asked.precheck,
    }


def _query(request: web.Request, *known: str) -> Mapping[str, str]:
    """The parameters. A misspelt filter must not show everything, so others are refused."""
    if not request.query_string:
        return {}
    given = request.query
    for name in given:
        if name not in known:
            raise InvalidRequest(name[:64], "unknown_field", f"{name[:64]}: is no parameter here")
        if len(given.getall(name)) > 1:
            raise InvalidRequest(name, "duplicate_key", f"{name}: is given more than once")
    return given


def _key(request: web.Request) -> str:
    key = request.match_info["key"]
    if len(key) > KEY_MAX or not (key.isascii() and key.isprintable()):
        raise UnknownKey("key: no submission has such a key")
    return key


def _wait_s(asked: Mapping[str, str]) -> float:
    text = asked.get("wait")
    if text is None:
        return 0
    try:
        wait_s = float(text) if text.isascii() and len(text) <= 32 and "_" not in text else math.nan
    except ValueError:
        wait_s = math.nan
    if not 0 <= wait_s <= bodies.WAIT_MAX_S:
        _refuse("wait", f"must be 0 to {bodies.WAIT_MAX_S} seconds")
    return wait_s


def _limit(text: str | None) -> int:
    if text is None:
        return bodies.LIMIT_DEFAULT
    is_number = text.isascii() and text.isdecimal() and len(text) <= 4
    if not is_number or not 1 <= int(text) <= bodies.LIMIT_MAX:
        _refuse("limit", f"must be 1 to {bodies.LIMIT_MAX}")
    return int(text)


def _asset(text: str | None) -> str | None:
    if text is not None:
        try:
            msgspec.convert(text, bodies.Asset)
        except msgspec.ValidationError:
            _refuse("asset", "must be 1 to 64 of A-Z 0-9, as the exchange spells it")
    return text


def _fresh(text: str | None) -> bool:
    if text not in {None, "true", "false"}:
        _refuse("fresh", "must be true or false")
    return text == "true"


def _cursor(seq: int) -> str:
    return f"s{seq}"


def _read_cursor(text: str | None) -> int | None:
    if text is None:
        return None
    seq = text.removeprefix("s")
    if not (text.startswith("s") and seq.isascii() and seq.isdecimal() and len(seq) <= 18):
        _refuse("after", "must be the `next` of a list")
    return int(seq)


def _refuse(field: str, rule: str) -> NoReturn:
    raise InvalidRequest(field, f"{field}_invalid", f"{field}: {rule}")
