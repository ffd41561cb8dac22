"""What can be made to go wrong, and what each of it does to a request and its answer."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum

import orjson
from msgspec import structs

from ..wire import HttpReply
from .endpoints import BORROW_REPAY, RECORDS
from .options import Options
from .refusals import Refusal, refuse
from .replies import html_reply, json_reply, refusal_reply
from .seeds import Seeds


class Fault(StrEnum):
    """Every fault by name. "Executed" means: as far as the request deserved it anyway.

    A number in the place of a name is a code: the request is refused with it and not executed.
    """

    # On the way.
    NEVER_LEFT = "never_left"
    """No byte goes out. Served over HTTP, where that cannot be had: as `lost_before`."""
    LATE_EXECUTION = "late_execution"
    """Held up on its way, perhaps beyond the client's timeout; half the time until just around the
    end of its recvWindow, which decides."""
    LAST_MOMENT = "last_moment"
    """All at once and all just inside the bounds: arrives as its recvWindow ends, is processed for
    as long as a backend may, and its record shows as late as records do. The reply is lost."""

    # Not executed.
    LOST_BEFORE = "lost_before"
    """It arrives and weighs, and the connection dies."""
    UNAVAILABLE_BEFORE = "503_before"
    """503 in HTML."""
    TIMEOUT_BEFORE = "1007_before"
    """504 with -1007."""
    TOO_MANY = "429"
    """Turned away as if the budget were used up, and counted towards a ban."""
    BANNED = "418"
    """The address is banned from now on, as after too many 429s."""
    FIREWALL = "403"
    """Refused by the firewall, in HTML."""
    REDIRECT = "redirect"
    """302 to another place of the same host."""

    # Executed, and the answer spoilt.
    LOST_AFTER = "lost_after"
    """The connection dies instead of a reply, when processing is over."""
    LOST_DURING = "lost_during"
    """The same while it is still being processed."""
    UNAVAILABLE_AFTER = "503_after"
    """503 in HTML, when processing is over."""
    UNAVAILABLE_DURING = "503_during"
    """503 in HTML, while it is still being processed."""
    TIMEOUT_AFTER = "1007_after"
    """504 with -1007, when processing is over."""
    HTML_200 = "html_200"
    """200 with a web page."""
    EMPTY_200 = "empty_200"
    """200 with nothing."""
    TRUNCATED = "truncated"
    """The reply breaks off half way."""
    OVERSIZED = "oversized"
    """The reply is over 1 MiB long."""
    TEXT_TRAN_ID = "text_tran_id"
    """The tranId is a string."""
    NULL_TRAN_ID = "null_tran_id"
    """The tranId is null."""
    FLOAT_TRAN_ID = "float_tran_id"
    """The tranId is 1e300."""
    NO_TRAN_ID = "no_tran_id"
    """200 with an empty JSON object."""
    LATE = "late"
    """The reply comes `late_ms` later."""
    DUPLICATED = "duplicated"
    """The reply's bytes come twice. In process that is no different from once."""

    # Executed in its own way, and answered like any other.
    SLOW = "slow"
    """Processing takes `slow_ms`."""
    FAILED_RECORD = "failed_record"
    """A 200 with a tranId, and then the record says FAILED and nothing is booked."""
    LOST_FAILED = "lost_failed"
    """The same, and the reply is lost: the record alone tells, and it says FAILED."""
    PENDING_RECORD = "pending_record"
    """The record says PENDING for `pending_record_ms`."""
    HIDDEN_RECORD = "hidden_record"
    """The record cannot be seen for `hidden_record_ms`."""

    # Looks.
    RESET_LOOK = "reset_look"
    """A query for records whose connection dies. Only ever given to such queries."""
    STALE_LOOK = "stale_look"
    """A query for records answered without any, as by a copy that lags behind. The next time the
    same is asked the answer is always true."""


AnyFault = Fault | int


class Delivery(Enum):
    """How an answer goes over the wire."""

    WHOLE = "whole"
    CUT = "cut"
    TRUNCATED = "truncated"
    TWICE = "twice"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. With `Delivery.CUT` the reply is what the caller never gets to see."""

    reply: HttpReply
    delivery: Delivery = Delivery.WHOLE
    delay_ms: float = 0.0


@dataclass(slots=True)
class Plan:
    """A fault waiting for the next requests it fits."""

    fault: AnyFault
    account: str | None
    path: str | None
    times: int
    status: int | None

    def fits(self, method: str, path: str, account: str | None) -> bool:
        if self.account not in (None, account):
            return False
        wanted = self.path if self.path is not None else _default_path(self.fault)
        return wanted in (path, f"{method} {path}")


@dataclass(frozen=True, slots=True)
class Affliction:
    """One request's fault. `status` is the HTTP status asked for with a code."""

    fault: AnyFault
    status: int | None = None

    @property
    def name(self) -> str:
        return str(self.fault)


@dataclass(slots=True)
class Rates:
    """How likely each fault is: for borrow-repay requests, and for reads (GET)."""

    loans: dict[AnyFault | str, float] = field(default_factory=dict)
    reads: dict[AnyFault | str, float] = field(default_factory=dict)


class Faults:
    """Decides which request is to suffer what. Planned faults go before drawn ones."""

    def __init__(self, seeds: Seeds, injected: Counter[str]) -> None:
        self.rates = Rates()
        self._seeds = seeds
        self._plans: deque[Plan] = deque()
        self._injected = injected
        self._stale: set[str] = set()

    def plan(
        self,
        fault: AnyFault | str,
        account: str | None,
        path: str | None,
        times: int,
        status: int | None,
    ) -> None:
        self._plans.append(Plan(read_fault(fault), account, path, times, status))

    def clear(self) -> None:
        self._plans.clear()
        self.rates = Rates()

    def pick(
        self, method: str, path: str, account: str | None, query: str = ""
    ) -> Affliction | None:
        affliction = self._planned(method, path, account) or self._drawn(method, path)
        if (method, path) == ("GET", RECORDS.path):
            affliction = self._at_most_once_stale(affliction, f"{account} {_asked(query)}")
        elif affliction is not None and affliction.fault is Fault.STALE_LOOK:
            affliction = None
        if affliction is not None:
            self._injected[affliction.name] += 1
        return affliction

    def _at_most_once_stale(self, affliction: Affliction | None, asked: str) -> Affliction | None:
        is_stale = affliction is not None and affliction.fault is Fault.STALE_LOOK
        if not is_stale or asked in self._stale:
            self._stale.discard(asked)
            return None if is_stale else affliction
        self._stale.add(asked)
        return affliction

    def _planned(self, method: str, path: str, account: str | None) -> Affliction | None:
        for plan in self._plans:
            if plan.fits(method, path, account):
                plan.times -= 1
                if plan.times == 0:
                    self._plans.remove(plan)
                return Affliction(plan.fault, plan.status)
        return None

    def _drawn(self, method: str, path: str) -> Affliction | None:
        is_loan = (method, path) == (BORROW_REPAY.method, BORROW_REPAY.path)
        rates = self.rates.loans if is_loan else self.rates.reads
        if not rates or (method != "GET" and not is_loan):
            return None
        left = self._seeds.of("faults:loans" if is_loan else "faults:reads").random()
        for fault, rate in rates.items():
            left -= rate
            if left < 0:
                return Affliction(read_fault(fault))
        return None


def read_fault(fault: AnyFault | str) -> AnyFault:
    """A fault from its name or its code; codes may be text, as keys of a TOML table are."""
    if isinstance(fault, int):
        return fault
    return int(fault) if fault.startswith("-") else Fault(fault)


def instead(affliction: Affliction | None, options: Options) -> Answer | Refusal | None:
    """What is answered without executing anything. None: carry on."""
    if affliction is None:
        return None
    fault = affliction.fault
    if not isinstance(fault, Fault):
        status = affliction.status or options.fault_status.get(fault)
        return refuse(fault, status=status)
    return _INSTEAD[fault]() if fault in _INSTEAD else None


def spoil(
    affliction: Affliction | None, reply: HttpReply, options: Options, seeds: Seeds
) -> Answer:
    """What becomes of the true reply on its way back."""
    if affliction is None:
        return Answer(reply)
    match affliction.fault:
        case Fault.LATE:
            return Answer(reply, delay_ms=seeds.between("faults:late", options.late_ms))
        case Fault.TRUNCATED:
            return Answer(reply, Delivery.TRUNCATED)
        case Fault.DUPLICATED:
            return Answer(reply, Delivery.TWICE)
        case Fault() as fault if fault in _CUTS:
            return Answer(reply, Delivery.CUT)
        case Fault() as fault if fault in _SPOILT:
            return Answer(_SPOILT[fault](reply))
    return Answer(reply)


def is_answered_early(affliction: Affliction | None) -> bool:
    """Is the (bad) answer given while the transaction is still being processed?"""
    return affliction is not None and affliction.fault in (
        Fault.LOST_DURING,
        Fault.UNAVAILABLE_DURING,
    )


def travel_ms(
    affliction: Affliction | None, fence_in_ms: float | None, options: Options, seeds: Seeds
) -> float:
    """How long a request is held up on its way; `fence_in_ms` is when its recvWindow ends."""
    if affliction is None:
        return 0.0
    random = seeds.of("faults:travel")
    if affliction.fault is Fault.LAST_MOMENT and fence_in_ms is not None:
        return max(0.0, fence_in_ms - random.choice((0, 1, 5, 50)))
    if affliction.fault is not Fault.LATE_EXECUTION:
        return 0.0
    if fence_in_ms is not None and random.random() < 0.5:
        # Times spread evenly never hit a boundary; these do.
        return max(0.0, fence_in_ms + random.choice((-50, -5, -1, 0, 1, 5, 50, 500)))
    return random.uniform(*options.late_execution_ms)


def _default_path(fault: AnyFault) -> str:
    return RECORDS.name if fault in (Fault.RESET_LOOK, Fault.STALE_LOOK) else BORROW_REPAY.name


def _asked(query: str) -> str:
    """Which records a query asks for, whenever it is asked."""
    parts = (part for part in query.split("&") if part.partition("=")[0] not in _PASSING)
    return "&".join(sorted(parts))


_PASSING = {"recvWindow", "signature", "timestamp"}


def _unavailable(_: HttpReply | None = None) -> HttpReply:
    return html_reply(503, "Service Unavailable")


def _timeout(_: HttpReply | None = None) -> HttpReply:
    return refusal_reply(refuse(-1007))


def _cut() -> Answer:
    return Answer(HttpReply(status=0), Delivery.CUT)


_INSTEAD: Mapping[Fault, Callable[[], Answer | Refusal]] = {
    Fault.NEVER_LEFT: _cut,
    Fault.LOST_BEFORE: _cut,
    Fault.RESET_LOOK: _cut,
    Fault.UNAVAILABLE_BEFORE: lambda: Answer(_unavailable()),
    Fault.TIMEOUT_BEFORE: lambda: refuse(-1007),
    Fault.FIREWALL: lambda: Answer(html_reply(403, "403 Forbidden")),
    Fault.REDIRECT: lambda: Answer(
        HttpReply(status=302, headers={"location": "/maintenance.html"})
    ),
}

_CUTS = frozenset({Fault.LOST_AFTER, Fault.LOST_DURING, Fault.LOST_FAILED, Fault.LAST_MOMENT})


def _with_tran_id(reply: HttpReply, change: Callable[[int], object]) -> HttpReply:
    """The reply with another tranId in it; refusals, which have none, stay as they are."""
    payload = orjson.loads(reply.body)
    if not isinstance(payload, dict) or "tranId" not in payload:
        return reply
    payload["tranId"] = change(payload["tranId"])
    return json_reply(reply.status, payload, reply.headers)


def _without_rows(reply: HttpReply) -> HttpReply:
    payload = orjson.loads(reply.body)
    if not isinstance(payload, dict) or "rows" not in payload:
        return reply
    return json_reply(reply.status, {**payload, "rows": [], "total": 0}, reply.headers)


def _oversized(reply: HttpReply) -> HttpReply:
    return structs.replace(reply, body=reply.body + b" " * (1 << 20))


_SPOILT: Mapping[Fault, Callable[[HttpReply], HttpReply]] = {
    Fault.UNAVAILABLE_AFTER: _unavailable,
    Fault.UNAVAILABLE_DURING: _unavailable,
    Fault.TIMEOUT_AFTER: _timeout,
    Fault.HTML_200: lambda _: html_reply(200, "OK"),
    Fault.EMPTY_200: lambda _: HttpReply(status=200),
    Fault.OVERSIZED: _oversized,
    Fault.TEXT_TRAN_ID: lambda reply: _with_tran_id(reply, str),
    Fault.NULL_TRAN_ID: lambda reply: _with_tran_id(reply, lambda _: None),
    Fault.FLOAT_TRAN_ID: lambda reply: _with_tran_id(reply, lambda _: 1e300),
    Fault.NO_TRAN_ID: lambda reply: json_reply(200, {}, reply.headers),
    Fault.STALE_LOOK: _without_rows,
}
