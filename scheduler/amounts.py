"""How much an attempt asks for, where that takes a look at the account first.

`"all"`, `"max"` and `at_most` name no amount: each attempt has the one that a look just before it
came to. Nothing is lowered that its caller did not allow to be.
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal

from . import refusals
from .events import Precluded
from .figures import Ceiling, Owed
from .model import ALL, MAX, Answer, Entry, Kind, Priority, revised
from .policy import Policy

HOUR_MS = 3_600_000
"""Interest is added on the hour."""
SMALLEST = Decimal("0.00000001")
"""The exchange takes eight decimals."""

_EXACT = Context(prec=64)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the next attempt asks for, and what of that its caller should know."""

    amount: Decimal
    said: str | None = None


def repayment(entry: Entry, owed: Owed, min_repay: Decimal) -> Measured | Precluded:
    """The amount of a repayment of everything, or of at most something.

    `min_repay` is the asset's minimum: a repayment that may be lowered leaves nothing, or that.
    """
    total = _sendable(owed.total)
    if total <= 0:
        return Precluded(nothing_owed(entry.asset))
    if entry.requested == ALL:
        return Measured(total, f"owed {owed.principal:f} and {owed.interest:f} of interest")
    asked = Decimal(entry.requested)
    amount = min(asked, total)
    left = total - amount
    if 0 < left < min_repay and total - min_repay >= min_repay:
        amount = total - min_repay
    return Measured(amount, _lowered(asked, amount, f"owed {total:f}, minimum {min_repay:f}"))


def borrowing(entry: Entry, ceiling: Ceiling) -> Measured | Precluded:
    """The amount of a borrow of the maximum, or of at most something."""
    most = _sendable(ceiling.amount)
    if most <= 0:
        return Precluded(_nothing_borrowable(entry.asset))
    if entry.requested == MAX:
        return Measured(most, f"could borrow {most:f}")
    asked = Decimal(entry.requested)
    amount = min(asked, most)
    return Measured(amount, _lowered(asked, amount, f"could borrow {most:f}"))


def not_before_ms(entry: Entry, policy: Policy, now_ms: int) -> int:
    """Before this the account is not looked at for the entry: a look has just failed, or interest
    is about to be added, which would leave some of a debt that was looked up before it."""
    own_ms = entry.look_not_before_ms or 0
    if entry.kind is not Kind.REPAY or entry.priority is Priority.URGENT:
        return own_ms
    since_ms = now_ms % HOUR_MS
    hour_ms = now_ms - since_ms
    if since_ms >= HOUR_MS - policy.interest_before_ms:
        hour_ms += HOUR_MS
    elif since_ms >= policy.interest_after_ms:
        return own_ms
    over_ms = hour_ms + policy.interest_after_ms
    return own_ms if over_ms >= entry.deadline_ms else max(own_ms, over_ms)


def nothing_owed(asset: str) -> Answer:
    return Answer(
        code=0, name="NOTHING_OWED", message=f"Nothing was sent: the account owes no {asset}."
    )


def unanswerable(code: int, message: str) -> Answer:
    """What the exchange says to a look that no time would make succeed: an asset or a pair that is
    not there. It would say so to the request too."""
    said = refusals.answer(code, message, 400)
    return revised(said, message=f"{message} Found by the look before it: nothing was sent.")


def _nothing_borrowable(asset: str) -> Answer:
    return Answer(
        code=0,
        name="NOTHING_BORROWABLE",
        message=f"Nothing was sent: the account can borrow no {asset} now.",
    )


def banned(message: str = "Borrow is banned for this asset.") -> Answer:
    """What the exchange would have answered to a borrow of an asset that it does not lend."""
    return Answer(
        code=-3012,
        name="ASSET_ADMIN_BAN_BORROW",
        message=f"{message} Found by the pre-check: nothing was sent.",
    )


def _lowered(asked: Decimal, amount: Decimal, why: str) -> str | None:
    return None if amount == asked else f"lowered from {asked:f} to {amount:f}: {why}"


def _sendable(amount: Decimal) -> Decimal:
    return amount.quantize(SMALLEST, ROUND_DOWN, _EXACT)
