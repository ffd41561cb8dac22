"""Carries other programs' calls to the exchange in an account's name, without starving lookups."""

from collections.abc import Mapping
from functools import partial

from . import binance
from .address import Purpose
from .binance import Credentials, Endpoint
from .clock import Clock
from .errors import InvalidRequest
from .reader import Reader
from .wire import HttpReply, HttpRequest

REPLY_MAX_BYTES = 32 << 20
"""The list of all markets is several megabytes long."""
STAMPS = frozenset({"timestamp", "recvWindow", "signature"})
"""Parameters that were the caller's and are made anew."""


class Passage:
    """One a scheduler: all accounts share its address."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    async def carry(
        self,
        account: str | None,
        credentials: Credentials | None,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        *,
        is_signed: bool,
        within_s: float,
    ) -> HttpReply:
        """The reply to one call; see `Scheduler.pass_through`."""
        if (method, path) == (binance.BORROW_REPAY.method, binance.BORROW_REPAY.path):
            raise InvalidRequest(
                "path", "path_invalid", f"path: {path} is scheduled, not passed on"
            )
        endpoint = _endpoint(method, path)
        given = {name: value for name, value in parameters.items() if name not in STAMPS}
        build = partial(self._build, endpoint, given, credentials, is_signed)
        return await self._reader.read(
            endpoint, Purpose.PASS_THROUGH, build, payer=account or "", within_s=within_s
        )

    def _build(
        self,
        endpoint: Endpoint,
        parameters: Mapping[str, str],
        credentials: Credentials | None,
        is_signed: bool,
    ) -> HttpRequest:
        return binance.passed_request(
            endpoint.method,
            endpoint.path,
            parameters,
            credentials=credentials,
            timestamp_ms=self._clock.now_ms() if is_signed else None,
            reply_max_bytes=REPLY_MAX_BYTES,
        )


def _endpoint(method: str, path: str) -> Endpoint:
    """A call that is not in the table weighs on no budget that lookups need."""
    listed = binance.PASSED.get((method, path))
    return Endpoint(method, path, 0, "UID") if listed is None else listed[0]
