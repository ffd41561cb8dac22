"""What is owed and can be borrowed, as it is told."""

from typing import Annotated

from msgspec import Meta, Struct

from ...figures import AssetStatus, Debt, Debts, Inventory, MaxBorrowable, Settlement
from .fields import AsOfMs, Decimals, EpochMs, OutcomeWord, plain


class DebtBody(Struct, frozen=True):
    """What an account owes of an asset."""

    account: str
    asset: str
    symbol: Annotated[str | None, Meta(description="the isolated pair; null: cross margin")]
    principal: Decimals
    interest: Decimals
    total: Annotated[str, Meta(description="both together: what repaying all of it takes")]
    as_of_ms: AsOfMs


class DebtList(Struct, frozen=True):
    """All that an account owes in cross margin, or in the pair that was asked for, by asset."""

    account: str
    symbol: Annotated[str | None, Meta(description="the isolated pair; null: cross margin")]
    debts: list[DebtBody]
    as_of_ms: AsOfMs


class MaxBorrowableBody(Struct, frozen=True):
    """What an account could borrow of an asset."""

    account: str
    asset: str
    symbol: Annotated[str | None, Meta(description="the isolated pair; null: cross margin")]
    amount: Annotated[str, Meta(description="what collateral and inventory allow")]
    limit: Annotated[
        str | None, Meta(description="what the account's tier allows; null: it was not said")
    ]
    as_of_ms: AsOfMs


class InventoryBody(Struct, frozen=True):
    """What the exchange has left to lend of an asset, to all its customers together."""

    amount: Decimals
    as_of_ms: AsOfMs


class AssetBody(Struct, frozen=True):
    """What the exchange allows with an asset, and what it has left of it."""

    asset: str
    is_borrowable: bool
    min_borrow: Decimals
    min_repay: Decimals
    as_of_ms: Annotated[EpochMs, Meta(description="from when the four above are")]
    inventory: Annotated[InventoryBody, Meta(description="for cross margin")]
    isolated_inventory: Annotated[InventoryBody, Meta(description="for isolated margin")]


class SettlementBody(Struct, frozen=True):
    """What became of a debt that was to be gone."""

    account: str
    asset: str
    symbol: Annotated[str | None, Meta(description="the isolated pair; null: cross margin")]
    outcome: Annotated[
        OutcomeWord,
        Meta(
            description="clear: gone without anything sent for it; repaid: it had stayed and is "
            "repaid now; left: it stays, and nothing is under way; pending: the time ran out while "
            "something was under way"
        ),
    ]
    debt: Annotated[DebtBody, Meta(description="as it was looked up last")]
    keys: Annotated[tuple[str, ...], Meta(description="the repayments submitted for it")]
    as_of_ms: AsOfMs


def debt_body(debt: Debt) -> DebtBody:
    return DebtBody(
        debt.account,
        debt.asset,
        debt.symbol,
        plain(debt.principal),
        plain(debt.interest),
        plain(debt.total),
        debt.as_of_ms,
    )


def debt_list(debts: Debts) -> DebtList:
    return DebtList(
        debts.account, debts.symbol, [debt_body(debt) for debt in debts.debts], debts.as_of_ms
    )


def max_borrowable_body(most: MaxBorrowable) -> MaxBorrowableBody:
    return MaxBorrowableBody(
        most.account,
        most.asset,
        most.symbol,
        plain(most.amount),
        None if most.limit is None else plain(most.limit),
        most.as_of_ms,
    )


def asset_body(status: AssetStatus, cross: Inventory, isolated: Inventory) -> AssetBody:
    return AssetBody(
        asset=status.asset,
        is_borrowable=status.is_borrowable,
        min_borrow=plain(status.min_borrow),
        min_repay=plain(status.min_repay),
        as_of_ms=status.as_of_ms,
        inventory=InventoryBody(plain(cross.amount), cross.as_of_ms),
        isolated_inventory=InventoryBody(plain(isolated.amount), isolated.as_of_ms),
    )


def settlement_body(settlement: Settlement) -> SettlementBody:
    return SettlementBody(
        account=settlement.account,
        asset=settlement.asset,
        symbol=settlement.symbol,
        outcome=settlement.outcome.value,
        debt=debt_body(settlement.debt),
        keys=settlement.keys,
        as_of_ms=settlement.as_of_ms,
    )
