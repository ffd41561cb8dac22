"""The accounts: their keys, what each may owe, and what each holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from .debts import Debts
from .options import Options
from .refusals import Refusal
from .seeds import Seeds
from .signatures import KeyPair, KeyType, issue_key


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedAccount:
    """What the owner of an account knows of it. Fits wherever the scheduler wants an account."""

    name: str
    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    uid: int
    exclusive: bool = True
    confirm: Literal["reply", "record"] = "reply"
    lane: Literal["account", "pair"] = "account"


@dataclass(slots=True, kw_only=True)
class Account:
    """What the exchange keeps of an account."""

    name: str
    uid: int
    keys: KeyPair
    is_revoked: bool = False
    # Given to every borrow and repayment while set: the account itself is refused.
    refusal: Refusal | None = None
    credits: dict[tuple[str, str | None], Decimal] = field(default_factory=dict)
    balances: dict[tuple[str, str | None], Decimal] = field(default_factory=dict)
    # None: as much of everything as the options say.
    collateral: Mapping[str, Decimal] | None = None


class Accounts:
    """All accounts, by name and by API key."""

    def __init__(self, options: Options, seeds: Seeds, debts: Debts) -> None:
        self._seeds = seeds
        self._debts = debts
        self._credit = Decimal(options.credit)
        self._balance = Decimal(options.balance)
        self._by_name: dict[str, Account] = {}
        self._by_key: dict[str, Account] = {}

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_name.values())

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Account:
        return self._by_name[name]

    def open(
        self, name: str, key_type: KeyType, collateral: Mapping[str, Decimal] | None
    ) -> Account:
        random = self._seeds.of(f"keys:{name}")
        account = Account(
            name=name,
            uid=random.randint(100_000_000, 999_999_999),
            keys=issue_key(key_type, random),
            collateral=collateral,
        )
        self._by_name[name] = self._by_key[account.keys.api_key] = account
        return account

    def find_key(self, api_key: str) -> Account | None:
        return self._by_key.get(api_key)

    def credit_left(self, account: Account, asset: str, symbol: str | None) -> Decimal:
        limit = account.credits.get((asset, symbol), self._credit)
        return max(Decimal(0), limit - self._debts.owed(account.name, asset, symbol).principal)

    def set_credit_left(
        self, account: Account, asset: str, symbol: str | None, amount: Decimal
    ) -> None:
        owed = self._debts.owed(account.name, asset, symbol)
        account.credits[asset, symbol] = owed.principal + amount

    def balance(self, account: Account, asset: str, symbol: str | None) -> Decimal:
        held = account.balances.get((asset, symbol))
        if held is not None:
            return held
        if account.collateral is None:
            return self._balance
        return account.collateral.get(asset, Decimal(0))

    def pay(self, account: Account, asset: str, symbol: str | None, amount: Decimal) -> None:
        """Moves an amount into what the account holds, or out of it if negative."""
        held = self.balance(account, asset, symbol)
        account.balances[asset, symbol] = held + amount
