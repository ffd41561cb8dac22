"""What is asked of the exchange about an account's margin, and about what it lends at all."""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal

from . import binance
from .address import Purpose
from .binance import Credentials, Endpoint
from .clock import Clock
from .figures import Book, Ceiling, Rules
from .reader import Reader
from .wire import HttpReply, HttpRequest


class Inquiry:
    """Asks in the name of one account.

    Everything here raises one of `reader.READ_ERRORS` where no usable answer came. `goes_out` is
    called when the question does. What is `hurried` fails at once where it would have to wait for
    the weight of address or account.
    """

    def __init__(
        self, account: str, *, credentials: Credentials, reader: Reader, clock: Clock
    ) -> None:
        self.account = account
        self._credentials = credentials
        self._reader = reader
        self._clock = clock

    async def cross(
        self, purpose: Purpose, goes_out: Callable[[], int], *, hurried: bool = False
    ) -> Book:
        """What the account owes in cross margin, of all assets."""

        def build() -> HttpRequest:
            return binance.margin_account_request(
                timestamp_ms=goes_out(), credentials=self._credentials
            )

        return binance.cross_debts(
            await self._read(binance.MARGIN_ACCOUNT, purpose, build, hurried=hurried)
        )

    async def isolated(
        self,
        symbols: Callable[[], Collection[str]],
        purpose: Purpose,
        goes_out: Callable[[], int],
        *,
        hurried: bool = False,
    ) -> Book:
        """What the account owes in isolated pairs: `symbols` is asked for them when the question
        goes out."""

        def build() -> HttpRequest:
            return binance.isolated_account_request(
                symbols(), timestamp_ms=goes_out(), credentials=self._credentials
            )

        return binance.isolated_debts(
            await self._read(binance.ISOLATED_ACCOUNT, purpose, build, hurried=hurried)
        )

    async def max_borrowable(
        self,
        asset: str,
        symbol: str | None,
        purpose: Purpose,
        goes_out: Callable[[], int],
        *,
        hurried: bool = False,
    ) -> Ceiling:
        """What the account could borrow."""

        def build() -> HttpRequest:
            return binance.max_borrowable_request(
                asset, symbol, timestamp_ms=goes_out(), credentials=self._credentials
            )

        return binance.max_borrowable(
            await self._read(binance.MAX_BORROWABLE, purpose, build, hurried=hurried)
        )

    async def inventory(
        self, purpose: Purpose, goes_out: Callable[[], int], *, is_isolated: bool
    ) -> Mapping[str, Decimal]:
        """What the exchange has to lend, by asset."""

        def build() -> HttpRequest:
            return binance.inventory_request(
                is_isolated=is_isolated, timestamp_ms=goes_out(), credentials=self._credentials
            )

        return binance.inventory(await self._read(binance.INVENTORY, purpose, build))

    async def rules(self, purpose: Purpose, goes_out: Callable[[], int]) -> Mapping[str, Rules]:
        """What holds for each asset that can be borrowed on margin."""

        def build() -> HttpRequest:
            goes_out()
            return binance.all_assets_request(self._credentials)

        return binance.all_assets(await self._read(binance.ALL_ASSETS, purpose, build))

    async def _read(
        self,
        endpoint: Endpoint,
        purpose: Purpose,
        build: Callable[[], HttpRequest],
        *,
        hurried: bool = False,
    ) -> HttpReply:
        payer = self.account
        if hurried:
            return await self._reader.read_now(endpoint, build, purpose, payer=payer)
        return await self._reader.read(endpoint, purpose, build, payer=payer)

    def load(self, endpoint: Endpoint, purpose: Purpose) -> float:
        """How much of what such questions may weigh in a minute is spent; 1 is all of it."""
        return self._reader.load(endpoint, purpose, payer=self.account)
