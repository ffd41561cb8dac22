"""The exchange's front door: every request passes its checks in the order of the real one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..wire import HttpReply, HttpRequest
from .accounts import Account, Accounts
from .borrow_repay import BorrowRepay, Cause
from .clock import Clock
from .endpoints import BORROW_REPAY, ENDPOINTS, Budget, Endpoint, Security
from .faults import (
    Affliction,
    Answer,
    Delivery,
    Fault,
    Faults,
    instead,
    is_answered_early,
    spoil,
    travel_ms,
)
from .ledger import Arrival, Ledger, Transaction
from .limits import Denial, Limits
from .options import Options
from .parameters import (
    Loan,
    Parameters,
    Timing,
    find_parameters,
    read_loan,
    read_timing,
)
from .queries import Handler, Query
from .refusals import TIMESTAMP_AHEAD, Refusal, missing, refuse
from .replies import json_reply, read_code, refusal_reply
from .seeds import Seeds
from .signatures import is_percent_encoded

AHEAD_MAX_MS = 1_000

_USED_HEADER = {
    Budget.UID: "x-sapi-used-uid-weight-1m",
    Budget.IP: "x-sapi-used-ip-weight-1m",
    Budget.API: "x-mbx-used-weight-1m",
}


@dataclass(slots=True, kw_only=True)
class Call:
    """One request on its way through the exchange."""

    request: HttpRequest
    address: str
    endpoint: Endpoint | None
    account: Account | None
    affliction: Affliction | None
    answer: Callable[[Answer], None]
    arrival: Arrival
    parameters: Parameters
    is_answered: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """A borrow or repayment that passed every check and is going to be carried out."""

    account: Account
    loan: Loan
    timing: Timing


# What the checks come to: JSON, a refusal, an answer made up by a fault, or a loan.
Decision = Any | Refusal | Denial | Answer | Accepted


class Exchange:
    """Takes requests in and answers each of them exactly once, if it answers at all."""

    def __init__(
        self,
        options: Options,
        clock: Clock,
        seeds: Seeds,
        accounts: Accounts,
        limits: Limits,
        faults: Faults,
        borrow_repay: BorrowRepay,
        handlers: Mapping[Endpoint, Handler],
        ledger: Ledger,
    ) -> None:
        self._options = options
        self._clock = clock
        self._seeds = seeds
        self._accounts = accounts
        self._limits = limits
        self._faults = faults
        self._borrow_repay = borrow_repay
        self._handlers = handlers
        self._ledger = ledger
        # Given to everything that needs the margin system while it is under maintenance.
        self.maintenance: Refusal | None = None

    def afflict(self, request: HttpRequest) -> Affliction | None:
        """What is going to go wrong with a request, decided as it leaves its sender."""
        account = self._find_account(request)
        name = None if account is None else account.name
        return self._faults.pick(request.method, request.path, name, request.query)

    def receive(
        self,
        request: HttpRequest,
        address: str,
        affliction: Affliction | None,
        wire_ms: float,
        answer: Callable[[Answer], None],
    ) -> None:
        """Takes a request that is `wire_ms` away. `answer` is called in the exchange's own time."""
        delay_ms = wire_ms
        if affliction is not None:
            fence_ms = self._fence_in_ms(request)
            delay_ms = max(wire_ms, travel_ms(affliction, fence_ms, self._options, self._seeds))
        self._clock.call_later(delay_ms, self._arrive, request, address, affliction, answer)

    def _arrive(
        self,
        request: HttpRequest,
        address: str,
        affliction: Affliction | None,
        answer: Callable[[Answer], None],
    ) -> None:
        account = self._find_account(request)
        call = Call(
            request=request,
            address=address,
            endpoint=ENDPOINTS.get((request.method, request.path)),
            account=account,
            affliction=affliction,
            answer=answer,
            arrival=self._ledger.add_arrival(
                at_ms=self._clock.now_ms(),
                loop_s=self._clock.loop_s(),
                account=None if account is None else account.name,
                address=address,
                method=request.method,
                path=request.path,
                fault=None if affliction is None else affliction.name,
            ),
            parameters=find_parameters(request.query, request.body),
        )
        decision = self._decide(call)
        self._charge(call, decision)
        self._carry_out(call, decision)

    # Deciding.

    def _decide(self, call: Call) -> Decision:
        endpoint = call.endpoint
        if endpoint is None:
            return refuse(-1020)
        denial = self._denial(call, endpoint)
        if denial is not None:
            return denial
        made_up = instead(call.affliction, self._options)
        if made_up is not None:
            return made_up
        return self._check(call, endpoint)

    def _denial(self, call: Call, endpoint: Endpoint) -> Denial | None:
        limits, fault = self._limits, call.affliction and call.affliction.fault
        banned = limits.ban_denial(call.address)
        if banned is not None:
            return banned
        if fault is Fault.BANNED:
            return limits.ban(call.address)
        payer = self._payer(call, endpoint)
        denial = None if payer is None else limits.weight_denial(endpoint, payer)
        if denial is None and fault is not Fault.TOO_MANY:
            return None
        return limits.count_429(call.address) or denial or limits.too_much(endpoint)

    def _check(self, call: Call, endpoint: Endpoint) -> Decision:
        if endpoint.security is not Security.NONE:
            refusal = self._key_refusal(call)
            if refusal is not None:
                return refusal
        if endpoint is BORROW_REPAY:
            return self._check_loan(call)
        if endpoint.security is Security.SIGNED:
            timing = read_timing(call.parameters)
            if isinstance(timing, Refusal):
                return timing
            refusal = self._signature_refusal(call) or self._timing_refusal(timing)
            if refusal is not None:
                return refusal
        return self._handlers[endpoint](Query(call.account, call.parameters))

    def _check_loan(self, call: Call) -> Accepted | Refusal:
        assert call.account is not None
        timing = read_timing(call.parameters)
        loan = read_loan(call.parameters)
        if isinstance(loan, Refusal):
            return loan
        if isinstance(timing, Refusal):
            return timing
        call.arrival.request_timestamp_ms = timing.timestamp_ms
        refusal = (
            self._signature_refusal(call)
            or self._timing_refusal(timing)
            or self.maintenance
            or self._borrow_repay.refusal(call.account, loan)
        )
        return refusal or Accepted(call.account, loan, timing)

    def _key_refusal(self, call: Call) -> Refusal | None:
        if not _api_key(call.request):
            return refuse(-2014)
        if call.account is None or call.account.is_revoked:
            return refuse(-2015)
        return None

    def _signature_refusal(self, call: Call) -> Refusal | None:
        assert call.account is not None
        signature = call.parameters.get("signature")
        if signature is None:
            return missing("signature")
        payload = call.parameters.payload
        if not is_percent_encoded(payload):
            return refuse(-1022)
        if not call.account.keys.verifier.accepts(signature, payload):
            return refuse(-1022)
        return None

    def _timing_refusal(self, timing: Timing) -> Refusal | None:
        now_ms = self._clock.now_ms()
        if timing.timestamp_ms >= now_ms + AHEAD_MAX_MS:
            return refuse(-1021, TIMESTAMP_AHEAD)
        if now_ms - timing.timestamp_ms > timing.recv_window_ms:
            return refuse(-1021)
        return None

    # Doing.

    def _charge(self, call: Call, decision: Decision) -> None:
        endpoint = call.endpoint
        payer = None if endpoint is None else self._payer(call, endpoint)
        if endpoint is None or payer is None:
            return
        is_free = isinstance(decision, Refusal | Denial) and not self._options.charge_refusals
        weight = 0 if is_free else self._limits.weight(endpoint)
        arrival = call.arrival
        arrival.budget, arrival.weight = endpoint.budget.value, weight
        arrival.used = self._limits.spend(endpoint, payer, weight)

    def _carry_out(self, call: Call, decision: Decision) -> None:
        match decision:
            case Accepted():
                self._start(call, decision)
            case Answer():
                self._send(call, decision)
            case Denial(refusal, seconds):
                headers = {"retry-after": str(seconds)} if self._options.retry_after else {}
                self._reply(call, refusal_reply(refusal, self._used(call, True) | headers))
            case Refusal():
                self._reply(call, refusal_reply(decision, self._used(call, True)))
            case _:
                self._reply(call, json_reply(200, decision, self._used(call)))

    def _start(self, call: Call, accepted: Accepted) -> None:
        cause = Cause(
            origin="request",
            arrived_ms=call.arrival.at_ms,
            arrival=call.arrival.number,
            timing=accepted.timing,
        )
        course = self._borrow_repay.course(accepted.account.name, call.affliction)
        transaction = self._borrow_repay.start(
            accepted.account,
            accepted.loan,
            cause,
            course,
            on_finished=partial(self._acknowledge, call),
        )
        call.arrival.tran_id = transaction.tran_id
        if self._options.answers == "at_once" or is_answered_early(call.affliction):
            self._acknowledge(call, transaction)
        elif course.processing_ms > self._options.backend_timeout_ms:
            timeout = refusal_reply(refuse(-1007), self._used(call, True))
            self._clock.call_later(self._options.backend_timeout_ms, self._reply, call, timeout)

    def _acknowledge(self, call: Call, transaction: Transaction) -> None:
        payload: dict[str, Any] = {"tranId": transaction.tran_id}
        if self._options.extra_fields:
            payload["clientTag"] = ""
        self._reply(call, json_reply(200, payload, self._used(call)))

    def _reply(self, call: Call, reply: HttpReply) -> None:
        if not call.is_answered:
            self._send(call, spoil(call.affliction, reply, self._options, self._seeds))

    def _send(self, call: Call, answer: Answer) -> None:
        call.is_answered = True
        if answer.delivery is not Delivery.CUT:
            call.arrival.status = answer.reply.status
            call.arrival.code = read_code(answer.reply)
        call.answer(answer)

    def _used(self, call: Call, is_refused: bool = False) -> dict[str, str]:
        endpoint = call.endpoint
        if endpoint is None or call.arrival.budget is None:
            return {}
        if is_refused and not self._options.headers_on_refusals:
            return {}
        return {_USED_HEADER[endpoint.budget]: str(call.arrival.used)}

    def _payer(self, call: Call, endpoint: Endpoint) -> str | None:
        if endpoint.budget is not Budget.UID:
            return call.address
        return None if call.account is None else call.account.name

    def _find_account(self, request: HttpRequest) -> Account | None:
        key = _api_key(request)
        return self._accounts.find_key(key) if key else None

    def _fence_in_ms(self, request: HttpRequest) -> float | None:
        timing = read_timing(find_parameters(request.query, request.body))
        if isinstance(timing, Refusal):
            return None
        return timing.timestamp_ms + timing.recv_window_ms - self._clock.now_ms()


def _api_key(request: HttpRequest) -> str:
    headers = request.headers
    key = headers.get("X-MBX-APIKEY")
    if key is not None:
        return key
    return next((value for name, value in headers.items() if name.lower() == "x-mbx-apikey"), "")
