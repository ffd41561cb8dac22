"""What an account owes and may borrow, and what the exchange lends at all, as values.

Amounts are `Decimal`. `as_of_ms` is a time of the exchange's clock read just before the question
was sent: what is said was true at some moment from then on, and may be older than the caller's
call by as much as answers are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """What an account owes of an asset: in cross margin, or in one isolated pair."""

    account: str
    asset: str
    symbol: str | None
    """The isolated pair; None is cross margin."""
    principal: Decimal
    interest: Decimal
    as_of_ms: int

    @property
    def total(self) -> Decimal:
        """What repaying all of it takes."""
        return self.principal + self.interest


@dataclass(frozen=True, slots=True, kw_only=True)
class Debts:
    """All that an account owes, in cross margin or in one isolated pair."""

    account: str
    symbol: str | None
    debts: tuple[Debt, ...]
    """By asset; what is not owed is not among them."""
    as_of_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxBorrowable:
    """What an account could borrow of an asset."""

    account: str
    asset: str
    symbol: str | None
    amount: Decimal
    """What its collateral and the exchange's inventory allow; 0 also where the exchange answers
    that it has nothing to lend."""
    limit: Decimal | None
    """What the account's tier allows; None where the exchange did not say."""
    as_of_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetStatus:
    """What the exchange allows with an asset."""

    asset: str
    is_borrowable: bool
    min_borrow: Decimal
    min_repay: Decimal
    as_of_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What the exchange has to lend of an asset, to all accounts together."""

    asset: str
    is_isolated: bool
    amount: Decimal
    as_of_ms: int


class SettlementOutcome(StrEnum):
    """What became of a debt that was to be gone."""

    CLEAR = "clear"
    """It was gone, without anything sent for it."""
    REPAID = "repaid"
    """It had stayed, and is repaid now."""
    LEFT = "left"
    """It stays, and nothing is under way that would change that: it was only to be reported, or
    repaying it was refused."""
    PENDING = "pending"
    """The time ran out while something was under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What `settle_debt` found and did."""

    account: str
    asset: str
    symbol: str | None
    outcome: SettlementOutcome
    debt: Debt
    """As it was looked up last."""
    keys: tuple[str, ...]
    """The repayments that were submitted for it."""
    as_of_ms: int


# What replies say. Of one reply, so without account and time.


@dataclass(frozen=True, slots=True)
class Owed:
    """One asset's debt."""

    principal: Decimal
    interest: Decimal

    @property
    def total(self) -> Decimal:
        return self.principal + self.interest


NOTHING_OWED = Owed(Decimal(0), Decimal(0))

Book = Mapping[tuple[str, str | None], Owed]
"""Debts by asset and pair; what is not in it is not owed."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What could be borrowed."""

    amount: Decimal
    limit: Decimal | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for an asset."""

    is_borrowable: bool
    min_borrow: Decimal
    min_repay: Decimal
