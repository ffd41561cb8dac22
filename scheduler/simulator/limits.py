"""Request weights: what has been used of each budget in the last minute, and who is banned."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from .clock import Clock
from .endpoints import Budget, Endpoint
from .options import Options
from .refusals import Refusal, refuse

MINUTE_MS = 60_000


class Window(Protocol):
    """Weight used within one minute, however that minute is cut. Times in milliseconds."""

    def used(self, now_ms: float) -> int: ...
    def add(self, now_ms: float, weight: int) -> None: ...
    def wait_ms(self, now_ms: float, room: int) -> float:
        """How long until no more than `room` is used; the whole minute if what is used now has to
        go as well as what is about to be added."""
        ...


class RollingWindow:
    """Counts whatever came in the last 60 s."""

    def __init__(self) -> None:
        self._spent: deque[tuple[float, int]] = deque()
        self._used = 0

    def used(self, now_ms: float) -> int:
        spent = self._spent
        while spent and spent[0][0] <= now_ms - MINUTE_MS:
            self._used -= spent.popleft()[1]
        return self._used

    def add(self, now_ms: float, weight: int) -> None:
        self._spent.append((now_ms, weight))
        self._used += weight

    def wait_ms(self, now_ms: float, room: int) -> float:
        used = self.used(now_ms)
        wait_ms = 0.0
        for at_ms, weight in self._spent:
            if used <= room:
                break
            used -= weight
            wait_ms = at_ms + MINUTE_MS - now_ms
        return wait_ms if used <= room else MINUTE_MS


class FixedWindow:
    """Counts whatever came since the clock's minute began."""

    def __init__(self) -> None:
        self._minute = 0
        self._used = 0

    def used(self, now_ms: float) -> int:
        minute = int(now_ms // MINUTE_MS)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        return self._used

    def add(self, now_ms: float, weight: int) -> None:
        self._used = self.used(now_ms) + weight

    def wait_ms(self, now_ms: float, room: int) -> float:
        return 0.0 if self.used(now_ms) <= room else MINUTE_MS - now_ms % MINUTE_MS


@dataclass(slots=True)
class Address:
    """One caller's address: its recent 429s and its bans."""

    refused_ms: deque[float]
    bans: int = 0
    banned_until_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Denial:
    """A request that is turned away at the door, with the seconds it should stay away."""

    refusal: Refusal
    retry_after_s: int


class Limits:
    """The doorkeeper: budgets per account, per address, and bans of addresses."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._windows: dict[tuple[str, str], Window] = {}
        self._addresses: dict[str, Address] = {}
        self._limits = {
            Budget.UID: options.uid_weight_limit,
            Budget.IP: options.ip_weight_limit,
            Budget.API: options.api_weight_limit,
        }

    def weight(self, endpoint: Endpoint) -> int:
        weights = self._options.weights
        return weights.get(endpoint.name, endpoint.weight) if weights else endpoint.weight

    def used(self, endpoint: Endpoint, payer: str) -> int:
        return self._window(endpoint, payer).used(self._clock.steady_ms())

    def spend(self, endpoint: Endpoint, payer: str, weight: int) -> int:
        """Charges a weight and gives what is used of the budget then."""
        now_ms = self._clock.steady_ms()
        window = self._window(endpoint, payer)
        window.add(now_ms, weight)
        return window.used(now_ms)

    def ban_denial(self, address: str) -> Denial | None:
        """What a banned address is told; None for everybody else."""
        known = self._addresses.get(address)
        now_ms = self._clock.steady_ms()
        if known is None or known.banned_until_ms <= now_ms:
            return None
        return self._banned(known, now_ms)

    def weight_denial(self, endpoint: Endpoint, payer: str) -> Denial | None:
        """What a request beyond its budget is told; None if there is room for it."""
        limit = self._limits[endpoint.budget]
        weight = self.weight(endpoint)
        now_ms = self._clock.steady_ms()
        window = self._window(endpoint, payer)
        if window.used(now_ms) + weight <= limit:
            return None
        # The refused one stands in the way of the next, where refusals weigh.
        refused = weight if self._options.charge_refusals else 0
        return _too_much(limit, window.wait_ms(now_ms, limit - weight - refused))

    def too_much(self, endpoint: Endpoint) -> Denial:
        """The same answer without the reason for it."""
        return _too_much(self._limits[endpoint.budget], MINUTE_MS)

    def count_429(self, address: str) -> Denial | None:
        """Notes a 429. Whoever carries on after too many is banned, each time for twice as long."""
        known = self._address(address)
        now_ms = self._clock.steady_ms()
        known.refused_ms.append(now_ms)
        started_ms = known.refused_ms[0]
        is_full = len(known.refused_ms) > self._options.refusals_before_ban
        return self.ban(address) if is_full and started_ms > now_ms - MINUTE_MS else None

    def ban(self, address: str, ban_ms: float | None = None) -> Denial:
        """Bans an address now, for as long as its record earns it unless a time is given."""
        known = self._address(address)
        first_ms, longest_ms = self._options.ban_ms
        if ban_ms is None:
            ban_ms = min(longest_ms, first_ms * 2**known.bans)
            known.bans += 1
        now_ms = self._clock.steady_ms()
        known.banned_until_ms = now_ms + ban_ms
        known.refused_ms.clear()
        return self._banned(known, now_ms)

    def _banned(self, known: Address, now_ms: float) -> Denial:
        until_ms = int(known.banned_until_ms + self._clock.offset_ms)
        message = (
            f"Way too much request weight used; IP banned until {until_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )
        seconds = math.ceil((known.banned_until_ms - now_ms) / 1_000)
        return Denial(refuse(-1003, message, 418), seconds)

    def _window(self, endpoint: Endpoint, payer: str) -> Window:
        budget = "api" if endpoint.budget is Budget.API else endpoint.name
        window = self._windows.get((budget, payer))
        if window is None:
            window = RollingWindow() if self._options.window == "rolling" else FixedWindow()
            self._windows[budget, payer] = window
        return window

    def _address(self, address: str) -> Address:
        known = self._addresses.get(address)
        if known is None:
            recent: deque[float] = deque(maxlen=self._options.refusals_before_ban + 1)
            known = self._addresses[address] = Address(recent)
        return known


def _too_much(limit: int, wait_ms: float) -> Denial:
    message = (
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    return Denial(refuse(-1003, message), max(1, math.ceil(wait_ms / 1_000)))
