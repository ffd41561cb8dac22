"""What helps after a refusal, in words, with the figures it depends on.

Times in the words are the exchange's, in epoch milliseconds, as everywhere.
"""

from .figures import AssetStatus, Debt, Inventory, MaxBorrowable
from .model import Entry, State

Figure = Debt | MaxBorrowable | AssetStatus | Inventory

NEEDS: dict[int, tuple[type[Figure], ...]] = {
    -3006: (MaxBorrowable,),
    -3012: (AssetStatus,),
    -3013: (AssetStatus,),
    -3015: (Debt, AssetStatus),
    -3016: (Debt, AssetStatus),
    -3024: (Debt, AssetStatus),
    -3045: (Inventory,),
}
"""By code, what has to be looked up to say what helps."""


_LOOKED_UP = "(looked up at "


def calls_for_figures(entry: Entry) -> bool:
    """Whether something has yet to be looked up to say what helps."""
    is_refusal = entry.state is State.REJECTED and entry.code in NEEDS and entry.attempts > 0
    return is_refusal and _LOOKED_UP not in (entry.advice or "")


def advice(entry: Entry, figures: list[Figure]) -> str:
    """What to do next; `figures` are those that could be looked up of what the code needs."""
    parts = [part for figure in figures if (part := _of(entry, figure))]
    if not parts:
        return entry.advice or ""
    as_of_ms = min(figure.as_of_ms for figure in figures)
    general = f"{entry.advice}; " if entry.advice else ""
    return f"{general}{'; '.join(parts)} {_LOOKED_UP}{as_of_ms})"


def _of(entry: Entry, figure: Figure) -> str:
    asset = entry.asset
    match figure:
        case MaxBorrowable(amount=amount, limit=None):
            return f"at most {amount:f} {asset} can be borrowed now"
        case MaxBorrowable(amount=amount, limit=limit):
            return f"at most {amount:f} {asset} can be borrowed now, of a limit of {limit:f}"
        case Debt(total=total, principal=principal, interest=interest) if total:
            return (
                f"{total:f} {asset} is owed, {principal:f} and {interest:f} of interest; "
                'the amount "all" repays it'
            )
        case Debt():
            return f"no {asset} is owed"
        case Inventory(amount=amount):
            return f"{amount:f} {asset} can be lent to all customers together"
        case AssetStatus():
            return _of_status(entry, figure)


def _of_status(entry: Entry, status: AssetStatus) -> str:
    asset = entry.asset
    match entry.code:
        case -3012 if status.is_borrowable:
            return f"by now {asset} can be borrowed again"
        case -3012:
            return f"{asset} cannot be borrowed; asset_status tells when that changes"
        case -3013:
            return f"the least that can be borrowed is {status.min_borrow:f} {asset}"
    if not status.min_repay:
        return ""
    return f"the least that can be repaid is {status.min_repay:f} {asset}"
