"""A client's wait for one borrow or repayment."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ...clock import loop_s
from .adoption import Wish
from .clients import Caller
from .parameters import Loan


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A borrow or repayment that a client asks for."""

    caller: Caller
    loan: Loan
    key: str | None
    """The client's own."""

    @property
    def wish(self) -> Wish:
        return Wish(
            client=self.caller.name,
            account=self.caller.account,
            kind=self.loan.kind,
            asset=self.loan.asset,
            amount=Decimal(self.loan.amount),
            symbol=self.loan.symbol,
        )


@dataclass(slots=True, kw_only=True)
class Stay:
    """One client's wait, from its request until it is told or gone."""

    request: Request
    patience_ends_s: float
    key: str | None = None
    """The submission it waits for, once there may be one."""
    order: int = 0
    pending: "asyncio.Task[Any] | None" = field(default=None, repr=False)
    """What has to end before anything is certain of the submission."""
    is_replayed: bool = False
    is_told: bool = False
    """To be set once the client was told an outcome; without it the submission becomes an
    orphan."""

    @property
    def own_key(self) -> str | None:
        """The key as its client knows it."""
        return None if self.key is None else self.key.removeprefix(f"{self.request.caller.name}:")

    @property
    def left_s(self) -> float:
        return max(0.0, self.patience_ends_s - loop_s())
