"""`Gateway`: takes the exchange's own calls from bots, and answers as the exchange would.

Borrows and repayments are scheduled, a few reads are passed on, and everything else does not exist.
"""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from ... import binance
from ...binance import Access
from ...errors import (
    AccountStopped,
    CannotStartInTime,
    Closed,
    InvalidRequest,
    JournalUnavailable,
    KeyReused,
    NoRoom,
    QueueFull,
    SchedulerError,
)
from ...model import Alarm, Entry, State
from ...scheduler import Scheduler
from ...wire import ConnectFailed, HttpRequest, ReplyLost
from ..options import SidecarOptions
from ..problems import SERVER
from . import outcomes, parameters, replies
from .clients import Caller, callers
from .desk import Desk
from .parameters import Form
from .replies import Refused, Reply
from .stay import Request, Stay

KEY_MAX = 64
KEY_HEADER = "X-Scheduler-Key"
REPLAYED_HEADER = "X-Scheduler-Replayed"
RETRY_AFTER_S = 1.0

Deliver = Callable[[Reply], Awaitable[None]]
"""Gets an answer out to its client; raises ConnectionError if that is certain to have failed."""

_BORROW_REPAY = (binance.BORROW_REPAY.method, binance.BORROW_REPAY.path)

_log = logging.getLogger("margin_scheduler")


class Gateway:
    """One a sidecar. Its server has to cancel a handler at once when the client leaves
    (`handler_cancellation`): that is how leaving is noticed."""

    def __init__(self, scheduler: Scheduler, options: SidecarOptions) -> None:
        """Raises ConfigurationError."""
        self._scheduler = scheduler
        self._callers = callers(scheduler, options)
        self._clients = frozenset(caller.name for caller in self._callers.values())
        self._desk = Desk(scheduler, options.gateway_adopt_s)
        self._stop_observing = scheduler.observe(_Returns(self._desk))

    def routes(self) -> list[web.RouteDef]:
        """Everything under /sapi and /api."""
        everything = [web.route("*", f"/{top}{{rest:.*}}", self._handle) for top in ("sapi", "api")]
        return [web.route(*_BORROW_REPAY, self._handle), *everything]

    async def start(self) -> None:
        """Take back what an earlier process left queued for clients that are gone. The first
        request does it as well; this is sooner."""
        try:
            await self._desk.recover(self._clients)
        except JournalUnavailable as error:
            _log.warning("what clients left behind is not known yet: %s", error)

    def drain(self) -> None:
        """From now on new borrows and repayments are refused; what is queued is taken back."""
        self._desk.drain()

    async def drained(self) -> None:
        """Wait until that is taken back, within a short bound. The scheduler has to be open."""
        await self._desk.drained()

    async def aclose(self) -> None:
        self._stop_observing()
        await self._desk.aclose()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        # The target as it came: what is signed are its very bytes.
        path, _, query = request.raw_path.partition("?")
        call = HttpRequest(
            method=request.method,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        response: web.Response | None = None

        async def deliver(reply: Reply) -> None:
            nonlocal response
            headers = {**reply.headers, "Server": SERVER}
            response = web.Response(status=reply.status, body=reply.body, headers=headers)
            await response.prepare(request)
            await response.write_eof()

        try:
            await self.answer(call, deliver)
        except ConnectionError:
            _log.debug("a client left before its answer")
        return web.Response() if response is None else response

    async def answer(self, call: HttpRequest, deliver: Deliver) -> None:
        """Answer one call; header names are in lower case. Cancelling it means: the client left."""
        try:
            if (call.method, call.path) == _BORROW_REPAY:
                await self._borrow_repay(call, deliver)
                return
            reply = await self._passed(call)
        except Refused as refused:
            reply = refused.reply
        except (SchedulerError, ConnectFailed, ReplyLost) as error:
            reply = _told(error, None)
        await deliver(reply)

    # Borrowing and repaying

    async def _borrow_repay(self, call: HttpRequest, deliver: Deliver) -> None:
        request = self._checked(call)
        with self._desk.stay(request) as stay:
            try:
                entry = await self._desk.outcome(stay, self._clients)
            except SchedulerError as error:
                await deliver(_marked(_told(error, stay), stay))
                return
            reply = await self._reply(entry)
            _note(entry, reply)
            await deliver(_marked(reply, stay))
            stay.is_told = entry.is_final

    def _checked(self, call: HttpRequest) -> Request:
        form = parameters.read(call.query, call.body)
        caller = self._caller(call, form, Access.SIGNED)
        assert caller is not None
        loan = parameters.loan(form)
        key = call.headers.get(KEY_HEADER.lower())
        if key is not None:
            key = parameters.checked_key(key, KEY_MAX - len(caller.name) - 1)
        return Request(caller=caller, loan=loan, key=key)

    async def _reply(self, entry: Entry) -> Reply:
        if self._desk.is_draining and entry.state is State.CANCELLED:
            return replies.out_of_service("the scheduler is shutting down; nothing was executed.")
        if entry.state is State.CONFIRMED:  # nothing to try again
            return outcomes.reply(entry, 0.0)
        return outcomes.reply(entry, await self._retry_after_s(entry.account))

    async def _retry_after_s(self, account: str) -> float:
        try:
            quote = await self._scheduler.quote(account)
            return max(RETRY_AFTER_S, (quote.starts_at_ms - self._scheduler.now_ms()) / 1000)
        except Closed:
            return RETRY_AFTER_S

    # Everything else

    async def _passed(self, call: HttpRequest) -> Reply:
        name = call.method, call.path
        form = parameters.read(call.query, call.body)
        listed = binance.PASSED.get(name)
        if listed is not None:
            caller = self._caller(call, form, listed[1])
            is_signed = listed[1] is Access.SIGNED
        else:
            caller = self._caller_with(call, name, form)
            is_signed = form.signature is not None
        reply = await self._scheduler.pass_through(
            None if caller is None else caller.account,
            *name,
            form.values,
            is_signed=is_signed,
            within=self._patience_s(caller),
        )
        return replies.passed_on(reply)

    def _caller_with(self, call: HttpRequest, name: tuple[str, str], form: Form) -> Caller:
        """The client, if its configuration has this very call."""
        known = self._callers.get(call.headers.get("x-mbx-apikey", ""))
        if known is None or name not in known.also:
            raise Refused(replies.no_such_call())
        access = Access.KEY if form.signature is None else Access.SIGNED
        caller = self._caller(call, form, access)
        assert caller is not None
        return caller

    def _patience_s(self, caller: Caller | None) -> float:
        if caller is not None:
            return caller.patience_s
        return min((known.patience_s for known in self._callers.values()), default=RETRY_AFTER_S)

    def _caller(self, call: HttpRequest, form: Form, access: Access) -> Caller | None:
        """Who calls, proven as far as the call asks for it. Checked in the exchange's order: key,
        signature, time."""
        if access is Access.ANYBODY:
            return None
        caller = self._callers.get(call.headers.get("x-mbx-apikey", ""))
        if caller is None:
            raise Refused(replies.bad_key())
        if access is Access.KEY:
            return caller
        if form.signature is None:
            raise Refused(replies.missing("signature"))
        if not caller.verifier.accepts(form.signature, form.payload):
            _log.warning("a request of client %s has a wrong signature", caller.name)
            raise Refused(replies.bad_signature())
        parameters.check_time(form, self._scheduler.now_ms())
        return caller


class _Returns:
    """Tells the desk of submissions that come back to their queue."""

    def __init__(self, desk: Desk) -> None:
        self.changed = desk.changed

    def alarmed(self, alarm: Alarm) -> None:
        pass

    def committed(self, seconds: float) -> None:
        pass

    def record_shown(self, account: str, delay_ms: int) -> None:
        pass


def _told(error: Exception, stay: Stay | None) -> Reply:
    """What goes wrong here, in the exchange's words. `stay` holds a submission if there may be
    one."""
    match error:
        case QueueFull() | CannotStartInTime():
            said = "Too many requests queued; nothing was executed."
            return replies.not_now(said, error.retry_after_s)
        case NoRoom():
            said = "The weight of this call is spent, or the address is banned."
            return replies.not_now(said, error.retry_after_s)
        case AccountStopped():
            return replies.account_stopped()
        case KeyReused():
            said = f"Parameter '{KEY_HEADER}' belongs to another request."
            return replies.refusal(400, -1100, said)
        case InvalidRequest():
            return replies.missing(error.field)
        case Closed() if stay is not None and stay.key is not None:
            return replies.not_known("The scheduler is shutting down.")
        case ConnectFailed() | ReplyLost():
            return replies.not_known("Timeout waiting for the exchange's answer.")
        case JournalUnavailable():
            return replies.out_of_service("the scheduler's journal cannot be used.")
    return replies.out_of_service("the scheduler is shutting down.")


def _marked(reply: Reply, stay: Stay) -> Reply:
    headers = dict(reply.headers)
    key = stay.own_key if stay.key is not None else stay.request.key
    if key is not None:
        headers[KEY_HEADER] = key
    if stay.is_replayed:
        headers[REPLAYED_HEADER] = "true"
    return Reply(reply.status, reply.body, headers)


def _note(entry: Entry, reply: Reply) -> None:
    if reply.status == 200:
        return
    extra = {
        "key": entry.key,
        "account": entry.account,
        "state": f"told_{reply.status}",
        "code": entry.code,
    }
    _log.info("%s: its client is told HTTP %d", entry.key, reply.status, extra=extra)
