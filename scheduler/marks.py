"""What is known of accounts and the address besides submissions, and must outlive the process."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import orjson

from .address import Address
from .clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """One account's. Times are epoch milliseconds of the exchange."""

    account: str
    is_paused: bool = False
    """A caller paused it."""
    stopped: str | None = None
    """The refusal of the key or the account that stopped it."""
    is_shared: bool = False
    """A transaction was seen that nobody here caused."""
    record_delay_max_ms: int = 0
    """The longest that a record was seen to take from its reply until it showed."""
    limited_until_ms: int = 0
    """Until when the exchange refuses for weight."""

    def row(self) -> tuple[str, str, str]:
        """Scope, name and value, as a journal keeps them."""
        values = asdict(self)
        del values["account"]
        return scope(self.account), "marks", orjson.dumps(values).decode()


def read(account: str, marks: dict[tuple[str, str], str]) -> Marks:
    """The account's marks among all that a journal holds."""
    value = marks.get((scope(account), "marks"))
    return Marks(account=account, **(orjson.loads(value) if value is not None else {}))


def paused(marks: Marks) -> Marks:
    """After a caller's pause."""
    return replace(marks, is_paused=True)


def resumed(marks: Marks) -> Marks:
    """After a pause, a stop, and what was found of others using the account were taken back."""
    return replace(marks, is_paused=False, stopped=None, is_shared=False)


def uid_row(account: str, uid: int) -> tuple[str, str, str]:
    """Which account of the exchange a name stands for, as a journal keeps it."""
    return scope(account), "uid", str(uid)


def read_uids(accounts: Iterable[str], marks: dict[tuple[str, str], str]) -> dict[str, int]:
    """Which of them a journal knows, and as what."""
    values = {account: marks.get((scope(account), "uid")) for account in accounts}
    return {account: int(value) for account, value in values.items() if value is not None}


def scope(account: str) -> str:
    return f"account:{account}"


def closed_row(until_ms: int, cause: str, clock: Clock) -> tuple[str, str, str]:
    """Since when and until when the address is closed, as a journal keeps it, and how far the
    machine's clock was behind the exchange's."""
    behind_ms = round(clock.offset_s * 1000)
    return "address", "closed", orjson.dumps([until_ms, cause, clock.now_ms(), behind_ms]).decode()


def close_again(address: Address, clock: Clock, marks: dict[tuple[str, str], str]) -> None:
    """Close the address for as long as an earlier process knew it to be.

    No sample may be taken meanwhile, so the machine's clock has to do, corrected by how wrong it
    was then. Whatever else has become of it, the address is not closed for longer than it was.
    """
    value = marks.get(("address", "closed"))
    if value is None:
        return
    until_ms, cause, since_ms, behind_ms = orjson.loads(value)
    now_ms = clock.now_ms() + behind_ms
    if now_ms < until_ms:
        clock.assume(behind_ms)
        wait_ms = min(until_ms - now_ms, until_ms - since_ms)
        address.close(clock.steady_ms() + wait_ms, cause)
