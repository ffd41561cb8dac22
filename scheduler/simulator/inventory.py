"""What the exchange has to lend, and what it will lend at all: shared by all accounts."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from .options import Options


@dataclass(slots=True)
class Asset:
    """One asset's rules and stock. Cross and isolated margin draw on separate stocks."""

    name: str
    cross: Decimal
    isolated: Decimal
    borrow_min: Decimal
    repay_min: Decimal
    debt_min: Decimal
    is_borrowable: bool = True

    def stock(self, isolated: bool) -> Decimal:
        return self.isolated if isolated else self.cross


class Inventory:
    """The assets the exchange knows and how much of each is left to lend."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._critical = Decimal(options.inventory_critical)
        self._assets: dict[str, Asset] = {}
        for name in options.assets:
            self.add(name)

    def find(self, name: str) -> Asset | None:
        return self._assets.get(name)

    def add(self, name: str) -> Asset:
        """The asset, listed from now on if it was not."""
        asset = self._assets.get(name)
        if asset is None:
            options = self._options
            asset = self._assets[name] = Asset(
                name,
                cross=Decimal(options.inventory),
                isolated=Decimal(options.inventory),
                borrow_min=Decimal(options.borrow_min),
                repay_min=Decimal(options.repay_min),
                debt_min=Decimal(options.debt_min),
            )
        return asset

    def __iter__(self) -> Iterator[Asset]:
        return iter(self._assets.values())

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Base and quote of every pair, each quote also priced in those listed before it."""
        quotes = [name for name in self._options.quotes if name in self._assets]
        for rank, quote in enumerate(quotes):
            dearer = set(quotes[: rank + 1])
            for base in self._assets:
                if base not in dearer:
                    yield base, quote

    def find_pair(self, symbol: str) -> tuple[str, str] | None:
        for quote in self._options.quotes:
            base = symbol.removesuffix(quote)
            if base != symbol and base != quote and base in self._assets and quote in self._assets:
                return base, quote
        return None

    def can_lend(self, name: str, isolated: bool, amount: Decimal) -> bool:
        stock = self._assets[name].stock(isolated)
        return amount <= stock and stock >= self._critical

    def move(self, name: str, isolated: bool, amount: Decimal) -> None:
        """Puts an amount into the stock, or takes it out if negative. Never goes below nothing."""
        self.set(name, isolated, self.add(name).stock(isolated) + amount)

    def set(self, name: str, isolated: bool, amount: Decimal) -> None:
        asset = self.add(name)
        if isolated:
            asset.isolated = max(Decimal(0), amount)
        else:
            asset.cross = max(Decimal(0), amount)
