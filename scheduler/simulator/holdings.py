"""The calls about one account: what it holds, what it owes, what it may do."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from . import endpoints
from .accounts import Account, Accounts
from .clock import Clock
from .debts import Debt, Debts
from .endpoints import Endpoint
from .inventory import Inventory
from .options import Options
from .queries import Handler, Query
from .refusals import Refusal, invalid, missing, refuse
from .seeds import Seeds

ISOLATED_SYMBOLS_MAX = 5
NO_DEBT_LEVEL = Decimal(999)


class Holdings:
    """Answers that depend on who asks. Every asset counts as worth the same."""

    def __init__(
        self,
        options: Options,
        clock: Clock,
        seeds: Seeds,
        accounts: Accounts,
        debts: Debts,
        inventory: Inventory,
    ) -> None:
        self._options = options
        self._clock = clock
        self._seeds = seeds
        self._accounts = accounts
        self._debts = debts
        self._inventory = inventory
        self.handlers: Mapping[Endpoint, Handler] = {
            endpoints.MAX_BORROWABLE: self._max_borrowable,
            endpoints.MARGIN_ACCOUNT: self._margin_account,
            endpoints.ISOLATED_ACCOUNT: self._isolated_account,
            endpoints.SPOT_ACCOUNT: self._spot_account,
            endpoints.RESTRICTIONS: self._restrictions,
            endpoints.LISTEN_KEY: self._listen_key,
        }

    def _max_borrowable(self, query: Query) -> Any | Refusal:
        asset, symbol = query.parameters.get("asset"), query.parameters.get("isolatedSymbol")
        if asset is None:
            return missing("asset")
        known = self._inventory.find(asset)
        if known is None:
            return refuse(-3027)
        if symbol is not None and asset not in (self._inventory.find_pair(symbol) or ()):
            return refuse(-3028)
        stock = known.stock(symbol is not None)
        if not stock or not self._inventory.can_lend(asset, symbol is not None, Decimal(0)):
            return refuse(-3045)
        left = self._accounts.credit_left(query.account, asset, symbol)
        return {"amount": f"{min(left, stock):f}", "borrowLimit": self._options.credit}

    def _margin_account(self, query: Query) -> Any:
        owed = {(a, s): debt for a, s, debt in self._debts.of(query.account.name)}
        holdings = [
            self._holding(query.account, asset.name, None, owed.get((asset.name, None), Debt()))
            for asset in self._inventory
        ]
        level = _margin_level(holdings)
        return {
            "created": True,
            "borrowEnabled": query.account.refusal is None,
            "marginLevel": level,
            "collateralMarginLevel": level,
            "totalAssetOfBtc": _total(holdings, "free"),
            "totalLiabilityOfBtc": _total(holdings, "borrowed", "interest"),
            "totalNetAssetOfBtc": _total(holdings, "netAsset"),
            "tradeEnabled": True,
            "transferInEnabled": True,
            "transferOutEnabled": True,
            "accountType": "MARGIN_1",
            "userAssets": holdings,
        }

    def _isolated_account(self, query: Query) -> Any | Refusal:
        wanted = query.parameters.get("symbols")
        symbols = wanted.split(",") if wanted else self._used_pairs(query.account)
        if wanted and len(symbols) > ISOLATED_SYMBOLS_MAX:
            return invalid("symbols")
        rows = []
        for symbol in symbols:
            pair = self._inventory.find_pair(symbol)
            if pair is None:
                return refuse(-3028)
            rows.append(self._pair_row(query.account, symbol, *pair))
        return {"assets": rows}

    def _pair_row(self, account: Account, symbol: str, base: str, quote: str) -> dict[str, Any]:
        sides = [
            self._holding(account, asset, symbol, self._debts.owed(account.name, asset, symbol))
            for asset in (base, quote)
        ]
        for side in sides:
            side |= {
                "borrowEnabled": True,
                "repayEnabled": True,
                "totalAsset": side["free"],
                "netAssetOfBtc": side["netAsset"],
            }
        return {
            "symbol": symbol,
            "isolatedCreated": True,
            "enabled": True,
            "tradeEnabled": True,
            "baseAsset": sides[0],
            "quoteAsset": sides[1],
            "marginLevel": _margin_level(sides),
            "marginLevelStatus": "NORMAL",
            "marginRatio": "10.00000000",
            "indexPrice": "1.00000000",
            "liquidatePrice": "0.00000000",
            "liquidateRate": "0.00000000",
        }

    def _spot_account(self, query: Query) -> Any:
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": self._clock.now_ms(),
            "accountType": "SPOT",
            "balances": [],
            "permissions": ["SPOT"],
            "uid": query.account.uid,
        }

    def _restrictions(self, query: Query) -> Any:
        return {
            "ipRestrict": True,
            "createTime": self._options.epoch_ms,
            "enableReading": True,
            "enableWithdrawals": False,
            "enableInternalTransfer": False,
            "enableMargin": query.account.refusal is None,
            "enableFutures": False,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enableSpotAndMarginTrading": True,
            "enablePortfolioMarginTrading": False,
        }

    def _listen_key(self, query: Query) -> Any:
        return {"listenKey": self._seeds.of(f"listen:{query.account.name}").randbytes(30).hex()}

    def _used_pairs(self, account: Account) -> list[str]:
        return list(dict.fromkeys(s for _, s, _ in self._debts.of(account.name) if s is not None))

    def _holding(
        self, account: Account, asset: str, symbol: str | None, debt: Debt
    ) -> dict[str, Any]:
        free = self._accounts.balance(account, asset, symbol)
        return {
            "asset": asset,
            "borrowed": f"{debt.principal:.8f}",
            "free": f"{free:.8f}",
            "interest": f"{debt.interest:.8f}",
            "locked": "0",
            "netAsset": f"{free - debt.total:.8f}",
        }


def _margin_level(holdings: Iterable[Mapping[str, Any]]) -> str:
    held = sum((Decimal(row["free"]) for row in holdings), Decimal(0))
    owed = sum(
        (Decimal(row["borrowed"]) + Decimal(row["interest"]) for row in holdings), Decimal(0)
    )
    level = min(NO_DEBT_LEVEL, held / owed) if owed else NO_DEBT_LEVEL
    return f"{level:.8f}"


def _total(holdings: Iterable[Mapping[str, Any]], *fields: str) -> str:
    return f"{sum((Decimal(row[field]) for row in holdings for field in fields), Decimal(0)):f}"
