"""The calls about the exchange itself: time, status, what can be traded and lent."""

from collections.abc import Mapping
from typing import Any

from . import endpoints
from .clock import Clock
from .endpoints import Endpoint
from .inventory import Asset, Inventory
from .options import Options
from .queries import Handler, Query
from .refusals import Refusal, invalid, missing


class Market:
    """Answers that are the same for every account."""

    def __init__(self, options: Options, clock: Clock, inventory: Inventory) -> None:
        self._options = options
        self._clock = clock
        self._inventory = inventory
        self.is_maintenance = False
        self.handlers: Mapping[Endpoint, Handler] = {
            endpoints.PING: lambda _: {},
            endpoints.TIME: lambda _: {"serverTime": clock.now_ms()},
            endpoints.SYSTEM_STATUS: self._status,
            endpoints.INVENTORY: self._available_inventory,
            endpoints.ALL_ASSETS: self._all_assets,
            endpoints.ALL_PAIRS: self._all_pairs,
            endpoints.ISOLATED_PAIRS: self._all_pairs,
            endpoints.EXCHANGE_INFO: self._exchange_info,
            endpoints.LINEAR_INFO: self._no_futures,
            endpoints.INVERSE_INFO: self._no_futures,
            endpoints.COINS: self._coins,
        }

    def _status(self, _: Query) -> Any:
        if self.is_maintenance:
            return {"status": 1, "msg": "system_maintenance"}
        return {"status": 0, "msg": "normal"}

    def _available_inventory(self, query: Query) -> Any | Refusal:
        kind = query.parameters.get("type")
        if kind is None:
            return missing("type")
        if kind not in ("MARGIN", "ISOLATED"):
            return invalid("type")
        stocks = {asset.name: f"{asset.stock(kind == 'ISOLATED'):f}" for asset in self._inventory}
        # Seconds here, although the exchange counts in milliseconds everywhere else.
        return {"assets": stocks, "updateTime": self._clock.now_ms() // 1_000}

    def _all_assets(self, query: Query) -> Any:
        wanted = query.parameters.get("asset")
        return [_asset_row(a) for a in self._inventory if wanted in (None, a.name)]

    def _all_pairs(self, query: Query) -> Any:
        wanted = query.parameters.get("symbol")
        return [
            {
                "base": base,
                "quote": quote,
                "symbol": base + quote,
                "isMarginTrade": True,
                "isBuyAllowed": True,
                "isSellAllowed": True,
                "id": self._options.first_tran_id + number,
            }
            for number, (base, quote) in enumerate(self._inventory.pairs())
            if wanted in (None, base + quote)
        ]

    def _exchange_info(self, _: Query) -> Any:
        limit = {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": self._options.api_weight_limit,
        }
        return {
            "timezone": "UTC",
            "serverTime": self._clock.now_ms(),
            "rateLimits": [limit],
            "exchangeFilters": [],
            "symbols": [_symbol_row(base, quote) for base, quote in self._inventory.pairs()],
        }

    def _no_futures(self, _: Query) -> Any:
        now_ms = self._clock.now_ms()
        return {"timezone": "UTC", "serverTime": now_ms, "rateLimits": [], "symbols": []}

    def _coins(self, _: Query) -> Any:
        return [_coin_row(asset.name, self._options.balance) for asset in self._inventory]


def _asset_row(asset: Asset) -> dict[str, Any]:
    return {
        "assetFullName": asset.name,
        "assetName": asset.name,
        "isBorrowable": asset.is_borrowable,
        "isMortgageable": True,
        "userMinBorrow": f"{asset.borrow_min:f}",
        "userMinRepay": f"{asset.repay_min:f}",
    }


def _symbol_row(base: str, quote: str) -> dict[str, Any]:
    filters = (
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.01",
            "maxPrice": "1000000",
            "tickSize": "0.01",
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": "0.00000001",
            "maxQty": "9000000000",
            "stepSize": "0.00000001",
        },
    )
    return {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": True,
        "filters": filters,
        "permissions": ["SPOT", "MARGIN"],
        "permissionSets": [["SPOT", "MARGIN"]],
    }


def _coin_row(asset: str, free: str) -> dict[str, Any]:
    network = {
        "network": asset,
        "coin": asset,
        "name": asset,
        "isDefault": True,
        "depositEnable": False,
        "withdrawEnable": False,
        "withdrawFee": "0",
        "withdrawMin": "0.00000001",
        "withdrawMax": "1000000000",
        "withdrawIntegerMultiple": "0.00000001",
    }
    return {
        "coin": asset,
        "name": asset,
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "free": free,
        "locked": "0",
        "freeze": "0",
        "withdrawing": "0",
        "ipoing": "0",
        "ipoable": "0",
        "storage": "0",
        "isLegalMoney": False,
        "trading": True,
        "networkList": [network],
    }
