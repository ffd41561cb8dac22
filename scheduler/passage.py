"""Carries other programs' calls to the exchange in an account's name, without starving lookups."""

from collections import deque
from collections.abc import Mapping
from functools import partial

from anyio import sleep

from . import binance
from .address import MINUTE_MS, Purpose
from .binance import Credentials, Endpoint
from .clock import Clock
from .errors import InvalidRequest, NoRoom
from .reader import Reader
from .wire import HttpReply, HttpRequest

REPLY_MAX_BYTES = 32 << 20
"""The list of all markets is several megabytes long."""
UID_WEIGHT_MAX = int(180_000 * Purpose.PASS_THROUGH.value)
"""A minute, an account and a call that counts by account: the scheduler reads some of them too."""
STAMPS = frozenset({"timestamp", "recvWindow", "signature"})
"""Parameters that were the caller's and are made anew."""


class Passage:
    """One a scheduler: all accounts share its address."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._spent: dict[tuple[str, str], deque[tuple[int, int]]] = {}

    async def carry(
        self,
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
        if endpoint.counts_by == "UID" and credentials is not None:
            await self._spend(credentials.api_key, endpoint, within_s)
        return await self._reader.read(endpoint, Purpose.PASS_THROUGH, build, within_s=within_s)

    async def _spend(self, payer: str, endpoint: Endpoint, within_s: float) -> None:
        """Wait for room in an account's own minute of a call. Raises NoRoom.

        Refusals for weight end in a ban of the address, which stops every account.
        """
        spent = self._spent.setdefault((payer, endpoint.path), deque())
        until_ms = self._clock.steady_ms() + within_s * 1000
        while True:
            now_ms = self._clock.steady_ms()
            while spent and spent[0][0] <= now_ms:
                spent.popleft()
            if sum(weight for _, weight in spent) + endpoint.weight <= UID_WEIGHT_MAX:
                break
            wait_ms = spent[0][0] - now_ms
            if now_ms + wait_ms > until_ms:
                raise NoRoom(wait_ms / 1000)
            await sleep(wait_ms / 1000)
        if endpoint.weight:
            spent.append((now_ms + MINUTE_MS, endpoint.weight))

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
