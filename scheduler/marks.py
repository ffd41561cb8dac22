"""What is known of an account besides its submissions, and must outlive the process."""

from dataclasses import asdict, dataclass

import orjson


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


def scope(account: str) -> str:
    return f"account:{account}"
