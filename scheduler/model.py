"""The nouns: what was asked, what was tried, what became of it.

Every value here is frozen. Times are epoch milliseconds of the exchange's clock, amounts are
`Decimal`, and nothing in this module decides anything: the rules are in `lifecycle`. The nouns are
msgspec's structs: one life makes some thirty of them, at a tenth of what dataclasses would cost.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from msgspec import Struct, structs


class Kind(StrEnum):
    """The exchange's `type` parameter."""

    BORROW = "BORROW"
    REPAY = "REPAY"


class Priority(StrEnum):
    """Urgent goes before normal, and may spend the reserve of the minute's weight."""

    URGENT = "urgent"
    NORMAL = "normal"


class State(StrEnum):
    """Where a submission stands. The last five are final."""

    QUEUED = "QUEUED"
    """Durable and not in the air; the queue moves it on, or a cancel, or its deadline."""

    SENT = "SENT"
    """One attempt is durable and may be executed; its answer moves it on."""

    ACCEPTED = "ACCEPTED"
    """The exchange gave a transaction id; its record moves it on (only with confirm = "record")."""

    UNKNOWN = "UNKNOWN"
    """The answer was lost; looks at the exchange's records move it on."""

    UNRESOLVED = "UNRESOLVED"
    """The evidence does not decide it; a person does, or evidence that still turns up."""

    CONFIRMED = "CONFIRMED"
    """Executed, under `tran_id`."""

    REJECTED = "REJECTED"
    """Not executed: the exchange refused it, with the code and message it sent."""

    NOT_EXECUTED = "NOT_EXECUTED"
    """Its answer was lost, and it is proven that it did not happen."""

    EXPIRED = "EXPIRED"
    """Its time ran out before anything reached the exchange."""

    CANCELLED = "CANCELLED"
    """Taken back by its caller before anything was executed."""

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset(
    {State.CONFIRMED, State.REJECTED, State.NOT_EXECUTED, State.EXPIRED, State.CANCELLED}
)

ALL = "all"
"""A repayment's amount that means: the whole debt, interest included."""

MAX = "max"
"""A borrow's amount that means: as much as can be borrowed."""


class Submission(Struct, frozen=True, kw_only=True):
    """What a caller asked for, as it was asked. Never changes."""

    key: str
    account: str
    kind: Kind
    asset: str
    requested: str
    """A plain decimal, `"all"` or `"max"`."""
    symbol: str | None = None
    """The isolated pair; None is cross margin."""
    priority: Priority = Priority.NORMAL
    at_most: bool = False
    """Less will do, if that is what there is."""
    precheck: bool = False
    """Not to be sent if its asset is known to be banned."""
    submitted_at_ms: int
    deadline_ms: int
    """No attempt starts at or after this."""

    @property
    def is_open(self) -> bool:
        """Whether it leaves its amount to what the account then owes or may borrow."""
        return self.at_most or self.requested in {ALL, MAX}

    @property
    def takes_a_look(self) -> bool:
        """Whether the account or the asset has to be looked at before each attempt."""
        return self.is_open or (self.precheck and self.kind is Kind.BORROW)

    def asks_the_same(self, other: "Submission") -> bool:
        """Whether both are one request: `1` and `1.00` are, other deadlines and priorities too."""
        return (
            self.account == other.account
            and self.kind is other.kind
            and self.asset == other.asset
            and self.symbol == other.symbol
            and self.at_most == other.at_most
            and _same_amount(self.requested, other.requested)
        )


class Outcome(StrEnum):
    """What is known of an attempt's way through the network."""

    IN_AIR = "IN_AIR"
    ANSWERED = "ANSWERED"
    LOST = "LOST"
    """It may have been executed."""
    NEVER_LEFT = "NEVER_LEFT"


class Attempt(Struct, frozen=True, kw_only=True):
    """One signature and at most one HTTP request.

    The exchange refuses it for good once its clock has passed `fence_ms`.
    """

    number: int
    """From 1, within one submission."""
    timestamp_ms: int
    """The request's `timestamp`, minted before the attempt became durable."""
    recv_window_ms: int
    amount: Decimal
    exclusion: str
    """Under what only one attempt may be in the air: the account, or the account and its pair."""
    body: str
    """The exact form that is signed and sent, without its signature."""
    ended_at_ms: int | None = None
    """When its answer came, or when its connection was given up; None while it is in the air."""
    outcome: Outcome = Outcome.IN_AIR

    @property
    def fence_ms(self) -> int:
        return self.timestamp_ms + self.recv_window_ms


class Answer(Struct, frozen=True, kw_only=True):
    """A refusal as the exchange sent it."""

    code: int
    name: str
    message: str


class Evidence(Struct, frozen=True, kw_only=True):
    """One observation that an outcome rests on."""

    at_ms: int
    source: str
    """`reply`, `lost`, `record`, `look`, `deadline`, `caller`, `operator` or `journal`; `account`
    is what a look at the account said, `refusal` a refusal that led to another such look."""
    detail: str


class Entry(Struct, frozen=True, kw_only=True):
    """A submission and everything known of it: one row of the journal.

    A change makes a new entry with the next `version`; the journal takes it only if it holds the
    version before. Callers read entries and never make them.
    """

    submission: Submission
    seq: int = 0
    """Its place in the order of submissions, given by the journal."""
    version: int = 1
    state: State = State.QUEUED
    attempt: Attempt | None = None
    """The latest attempt."""
    attempts: int = 0
    """How many requests may have left this machine for it."""
    answer: Answer | None = None
    """The latest refusal."""
    advice: str | None = None
    tran_id: int | None = None
    finished_at_ms: int | None = None
    clock_refusals: int = 0
    """Refusals with -1021 so far."""
    was_absent: bool = False
    """An attempt of it was proven never to have happened."""
    absent_at_ms: int | None = None
    """When the first of the two looks that prove absence was made."""
    looks: int = 0
    """Looks in a row that decided nothing: what the wait for the next is computed from."""
    searching_since_ms: int | None = None
    """Since when looks are under way, or have been failing."""
    look_not_before_ms: int | None = None
    needs_person: bool = False
    """UNRESOLVED and no further look can decide it."""
    evidence: tuple[Evidence, ...] = ()

    @property
    def key(self) -> str:
        return self.submission.key

    @property
    def account(self) -> str:
        return self.submission.account

    @property
    def kind(self) -> Kind:
        return self.submission.kind

    @property
    def asset(self) -> str:
        return self.submission.asset

    @property
    def symbol(self) -> str | None:
        return self.submission.symbol

    @property
    def priority(self) -> Priority:
        return self.submission.priority

    @property
    def requested(self) -> str:
        """What was asked: a plain decimal, `"all"` or `"max"`."""
        return self.submission.requested

    @property
    def amount(self) -> Decimal | None:
        """What was sent; before the first attempt what was asked; None while that is not a
        number."""
        if self.attempt is not None:
            return self.attempt.amount
        return None if self.requested in {ALL, MAX} else Decimal(self.requested)

    @property
    def fixed_amount(self) -> Decimal | None:
        """What any attempt of it asks for; None where that takes a look at the account."""
        return None if self.submission.is_open else Decimal(self.requested)

    @property
    def submitted_at_ms(self) -> int:
        return self.submission.submitted_at_ms

    @property
    def deadline_ms(self) -> int:
        return self.submission.deadline_ms

    @property
    def sent_at_ms(self) -> int | None:
        """The timestamp of the latest attempt."""
        return None if self.attempt is None else self.attempt.timestamp_ms

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def code(self) -> int | None:
        return None if self.answer is None else self.answer.code

    @property
    def name(self) -> str | None:
        return None if self.answer is None else self.answer.name

    @property
    def message(self) -> str | None:
        return None if self.answer is None else self.answer.message


revised = structs.replace
"""A copy with some fields changed."""


class Asked(Protocol):
    """What is asked of the exchange's records: a kind, an asset, a pair."""

    @property
    def kind(self) -> Kind: ...
    @property
    def asset(self) -> str: ...
    @property
    def symbol(self) -> str | None: ...


class Transaction(Struct, frozen=True, kw_only=True):
    """A borrow or repayment as the exchange's records show it."""

    tran_id: int
    kind: Kind
    origin: str
    """`MANUAL` for a request of the borrow/repay call; `AUTO` and others are not ours."""
    asset: str
    symbol: str | None
    amount: Decimal
    status: str
    """`PENDING`, `CONFIRMED` or `FAILED`."""
    timestamp_ms: int


class Quote(Struct, frozen=True, kw_only=True):
    """When a submission would start at the earliest, counting only waits that are certain."""

    starts_at_ms: int
    ahead: int
    """Submissions that would go before it."""
    causes: tuple[str, ...] = ()
    """What it would wait for: `gap`, `weight`, `limit`, `ban`, `pause`."""


class Alarm(Struct, frozen=True, kw_only=True):
    """Something a person should know of."""

    at_ms: int
    account: str | None
    key: str | None
    cause: str
    """`unresolved`, `late_record`, `failed_record`, `slow_record`, `claim_conflict`,
    `shared_account`, `account_stopped`, `key_permissions`, `address_banned`, `maintenance` or
    `journal`."""
    message: str


def _same_amount(one: str, other: str) -> bool:
    if {one, other} & {ALL, MAX}:
        return one == other
    return Decimal(one) == Decimal(other)
