"""Every call the simulated exchange knows: its budget, its weight, who may make it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Budget(StrEnum):
    """Which of the exchange's budgets a call is paid from."""

    UID = "uid"  # one an account and endpoint
    IP = "ip"  # one an address and endpoint
    API = "api"  # one an address, shared by everything under /api


class Security(StrEnum):
    """What a caller has to show."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    budget: Budget
    weight: int
    security: Security

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def _endpoint(name: str, budget: Budget, weight: int, security: Security) -> Endpoint:
    method, path = name.split()
    return Endpoint(method, path, budget, weight, security)


BORROW_REPAY = _endpoint("POST /sapi/v1/margin/borrow-repay", Budget.UID, 1_500, Security.SIGNED)
RECORDS = _endpoint("GET /sapi/v1/margin/borrow-repay", Budget.IP, 10, Security.SIGNED)
CAPITAL_FLOW = _endpoint("GET /sapi/v1/margin/capital-flow", Budget.IP, 100, Security.SIGNED)
INTEREST_HISTORY = _endpoint("GET /sapi/v1/margin/interestHistory", Budget.IP, 1, Security.SIGNED)
MAX_BORROWABLE = _endpoint("GET /sapi/v1/margin/maxBorrowable", Budget.UID, 750, Security.SIGNED)
INVENTORY = _endpoint("GET /sapi/v1/margin/available-inventory", Budget.UID, 50, Security.SIGNED)
ALL_ASSETS = _endpoint("GET /sapi/v1/margin/allAssets", Budget.IP, 1, Security.KEY)
ALL_PAIRS = _endpoint("GET /sapi/v1/margin/allPairs", Budget.IP, 1, Security.KEY)
ISOLATED_PAIRS = _endpoint("GET /sapi/v1/margin/isolated/allPairs", Budget.IP, 1, Security.KEY)
MARGIN_ACCOUNT = _endpoint("GET /sapi/v1/margin/account", Budget.IP, 10, Security.SIGNED)
ISOLATED_ACCOUNT = _endpoint("GET /sapi/v1/margin/isolated/account", Budget.IP, 10, Security.SIGNED)
LISTEN_KEY = _endpoint("POST /sapi/v1/margin/listen-key", Budget.UID, 1, Security.KEY)
SYSTEM_STATUS = _endpoint("GET /sapi/v1/system/status", Budget.IP, 1, Security.NONE)
RESTRICTIONS = _endpoint("GET /sapi/v1/account/apiRestrictions", Budget.IP, 1, Security.SIGNED)
COINS = _endpoint("GET /sapi/v1/capital/config/getall", Budget.IP, 10, Security.SIGNED)
PING = _endpoint("GET /api/v3/ping", Budget.API, 1, Security.NONE)
TIME = _endpoint("GET /api/v3/time", Budget.API, 1, Security.NONE)
EXCHANGE_INFO = _endpoint("GET /api/v3/exchangeInfo", Budget.API, 20, Security.NONE)
# The futures have hosts of their own. Clients that trade everything ask them first what they list:
# here it is nothing, so that one base URL does for all of them.
LINEAR_INFO = _endpoint("GET /fapi/v1/exchangeInfo", Budget.IP, 1, Security.NONE)
INVERSE_INFO = _endpoint("GET /dapi/v1/exchangeInfo", Budget.IP, 1, Security.NONE)
SPOT_ACCOUNT = _endpoint("GET /api/v3/account", Budget.API, 20, Security.SIGNED)

ENDPOINTS: Mapping[tuple[str, str], Endpoint] = {
    (endpoint.method, endpoint.path): endpoint
    for endpoint in (
        BORROW_REPAY,
        RECORDS,
        CAPITAL_FLOW,
        INTEREST_HISTORY,
        MAX_BORROWABLE,
        INVENTORY,
        ALL_ASSETS,
        ALL_PAIRS,
        ISOLATED_PAIRS,
        MARGIN_ACCOUNT,
        ISOLATED_ACCOUNT,
        LISTEN_KEY,
        SYSTEM_STATUS,
        RESTRICTIONS,
        COINS,
        PING,
        TIME,
        EXCHANGE_INFO,
        LINEAR_INFO,
        INVERSE_INFO,
        SPOT_ACCOUNT,
    )
}
