"""What the clients are given to do, and the exchange they are given to do it at."""

from collections.abc import Mapping
from dataclasses import dataclass, field

ASSETS = ("USDT", "BTC", "ETH", "SOL")
STARVED = "BTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One borrow. No two of a work have the same account, asset and amount, so that each
    transaction in the ledger belongs to one of them for certain."""

    account: str
    asset: str
    amount: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Borrows that are all asked for at once."""

    name: str
    says: str
    asks: tuple[Ask, ...]
    exchange: tuple[str, ...] = ()
    """Options of the simulator's command."""
    inventory: Mapping[str, str] = field(default_factory=dict)
    """What can be lent at the start, where that is not plenty."""
    refills: tuple[tuple[float, str, str], ...] = ()
    """At how many seconds how much of an asset can be lent."""
    patience_s: float = 120.0
    """When whoever is not done is stopped."""
    is_mostly_waiting: bool = False
    """Whether every client has nothing to do for most of it."""
    is_optional: bool = False
    """Left out unless it is asked for."""

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(ask.account for ask in self.asks))


def burst(size: int, accounts: int = 1) -> tuple[Ask, ...]:
    return tuple(
        Ask(account=f"a{number % accounts}", asset="USDT", amount=_amount(number))
        for number in range(size)
    )


def _mixed(size: int) -> tuple[Ask, ...]:
    return tuple(
        Ask(account="a0", asset=ASSETS[number % len(ASSETS)], amount=_amount(number))
        for number in range(size)
    )


def _amount(number: int) -> str:
    return f"{10 + number / 1000:.3f}"


def works(size: int = 100) -> dict[str, Work]:
    """Every work by name; `size` is that of the plain burst, which the others follow."""
    lossy = ("--fault", "lost_after=0.04", "--fault", "lost_before=0.01")
    listed = (
        Work(name="burst", says=f"{size} borrows at one account", asks=burst(size)),
        Work(
            name="at_once",
            says=f"{size} borrows at one account, answered while they are still worked on",
            asks=burst(size),
            exchange=("--answers", "at_once"),
            is_optional=True,
        ),
        Work(
            name="over_the_minute",
            says=f"{4 * size} borrows at one account, where a minute has room for 120",
            asks=burst(4 * size),
            patience_s=600,
            is_mostly_waiting=True,
        ),
        Work(
            name="accounts",
            says=f"{10 * size} borrows over 10 accounts",
            asks=burst(10 * size, accounts=10),
        ),
        Work(
            name="starved",
            says=f"{size} borrows of {len(ASSETS)} assets; {STARVED} comes back after 20 s",
            asks=_mixed(size),
            is_mostly_waiting=True,
            inventory={STARVED: "0"},
            refills=((20.0, STARVED, "1000000"),),
        ),
        Work(
            name="lost_answers",
            says=f"{size} borrows at one account; the connection dies on 4 % of them once they are "
            "booked, and on 1 % before",
            asks=burst(size),
            exchange=lossy,
        ),
    )
    return {work.name: work for work in listed}
