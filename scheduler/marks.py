"""What is known of accounts and the address besides submissions, and must outlive the process."""

from dataclasses import asdict, dataclass, replace

import orjson

from .address import Address


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


def scope(account: str) -> str:
    return f"account:{account}"


def closed_row(until_ms: int, cause: str) -> tuple[str, str, str]:
    """Until when the address is closed, as a journal keeps it."""
    return "address", "closed", orjson.dumps([until_ms, cause]).decode()


def close_again(address: Address, marks: dict[tuple[str, str], str]) -> None:
    """Close the address for as long as an earlier process knew it to be."""
    value = marks.get(("address", "closed"))
    if value is not None:
        address.close(*orjson.loads(value))
