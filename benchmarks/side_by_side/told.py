"""What a client says became of one borrow."""

from dataclasses import dataclass
from enum import StrEnum


class Says(StrEnum):
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    """The exchange said no, or the client proved that nothing happened."""
    UNKNOWN = "unknown"
    """An error that leaves open whether it happened, or no word in time."""


@dataclass(frozen=True, slots=True)
class Told:
    says: Says
    tran_id: int | None = None
    code: int | None = None


UNKNOWN = Told(Says.UNKNOWN)


def confirmed(tran_id: object) -> Told:
    return Told(Says.CONFIRMED, tran_id=int(str(tran_id)))


def refused(code: int | None = None) -> Told:
    return Told(Says.REFUSED, code=code)


def answered(answer: object) -> Told:
    """What a JSON answer of the borrow/repay call says."""
    if not isinstance(answer, dict):
        return UNKNOWN
    if isinstance(answer.get("tranId"), int):
        return confirmed(answer["tranId"])
    return refused(answer["code"]) if isinstance(answer.get("code"), int) else UNKNOWN
