"""Accounts and alarms, as they are told."""

from typing import Annotated

from msgspec import Meta, Struct

from ...model import Alarm
from ...status import AccountStatus
from .entries import EntryBody, entry_body
from .fields import EpochMs

UNDECIDED_MAX = 20
"""Undecided entries shown with an account; how many there are is told besides."""


class QueuedBody(Struct, frozen=True):
    """Submissions that wait."""

    urgent: int
    normal: int
    oldest_submitted_at_ms: EpochMs | None


class WeightBody(Struct, frozen=True):
    """The minute's weight of the borrow/repay call."""

    limit: int
    used: int
    foreign: Annotated[int, Meta(description="spent by others on the account")]
    reserved: Annotated[int, Meta(description="kept for urgent submissions")]
    left: Annotated[int, Meta(description="for normal submissions")]


class HoldBody(Struct, frozen=True):
    """Why the account, or an asset of it, waits."""

    cause: str
    asset: str | None
    until_ms: Annotated[EpochMs | None, Meta(description="null: no time ends it")]


class NextStartBody(Struct, frozen=True):
    """When a normal submission made now would start, counting only certain waits."""

    starts_at_ms: EpochMs
    ahead: int
    causes: tuple[str, ...]


class AlarmBody(Struct, frozen=True):
    """Something a person should know of."""

    at_ms: EpochMs
    account: str | None
    key: str | None
    cause: str
    message: str


class AccountBody(Struct, frozen=True):
    """What an account is doing now."""

    account: str
    as_of_ms: EpochMs
    queued: QueuedBody
    in_air: Annotated[
        list[EntryBody], Meta(description="SENT now, each since its `sent_at_ms`; mostly one")
    ]
    undecided: Annotated[
        list[EntryBody], Meta(description="ACCEPTED, UNKNOWN or UNRESOLVED; the first 20")
    ]
    undecided_count: int
    weight: WeightBody
    gap_ms: Annotated[int, Meta(description="between two starts at present")]
    holds: list[HoldBody]
    is_paused: bool
    stopped: Annotated[str | None, Meta(description="the refusal that stopped the account")]
    next_start: NextStartBody
    is_exclusive: bool
    record_delay_max_ms: int
    alarms: list[AlarmBody]
    owner: Annotated[
        str | None,
        Meta(description="which scheduler runs it, where several share a journal; null: nobody"),
    ]
    epoch: Annotated[
        int | None,
        Meta(description="grows with every change of owner; null where no journal is shared"),
    ]


class AccountList(Struct, frozen=True):
    """All accounts, in the order of the configuration."""

    accounts: list[AccountBody]


def alarm_body(alarm: Alarm) -> AlarmBody:
    return AlarmBody(alarm.at_ms, alarm.account, alarm.key, alarm.cause, alarm.message)


def account_body(status: AccountStatus) -> AccountBody:
    first = status.next_start
    return AccountBody(
        account=status.account,
        as_of_ms=status.as_of_ms,
        queued=QueuedBody(status.queued_urgent, status.queued_normal, status.oldest_queued_at_ms),
        in_air=[entry_body(entry) for entry in status.in_air],
        undecided=[entry_body(entry) for entry in status.undecided[:UNDECIDED_MAX]],
        undecided_count=len(status.undecided),
        weight=WeightBody(
            status.weight_limit,
            status.weight_used,
            status.weight_foreign,
            status.weight_reserved,
            status.weight_left,
        ),
        gap_ms=status.gap_ms,
        holds=[HoldBody(hold.cause, hold.asset, hold.until_ms) for hold in status.holds],
        is_paused=any(hold.cause == "paused" for hold in status.holds),
        stopped=status.stopped,
        next_start=NextStartBody(first.starts_at_ms, first.ahead, first.causes),
        is_exclusive=status.is_exclusive,
        record_delay_max_ms=status.record_delay_max_ms,
        alarms=[alarm_body(alarm) for alarm in status.alarms],
        owner=status.owner,
        epoch=status.epoch,
    )
