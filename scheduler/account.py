"""An account as its owner configures it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .errors import ConfigurationError

NAME_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_RULE = "1 to 64 of A-Z a-z 0-9 . _ -, first a letter or digit"


class AccountLike(Protocol):
    """Whatever has an `Account`'s attributes: a simulated account has them too."""

    @property
    def name(self) -> str: ...
    @property
    def api_key(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def exclusive(self) -> bool: ...
    @property
    def confirm(self) -> str: ...
    @property
    def lane(self) -> str: ...
    @property
    def uid(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Account:
    """One margin account and the key that acts for it. Secrets stay out of its repr."""

    name: str
    """Its identity in the journal; 1 to 64 of `A-Z a-z 0-9 . _ -`, first a letter or digit."""
    api_key: str = field(kw_only=True, repr=False)
    secret: str = field(kw_only=True, repr=False)
    """An HMAC secret, or a PEM private key (RSA or Ed25519)."""
    exclusive: bool = field(default=True, kw_only=True)
    """Nothing else borrows or repays by hand on this account. Where that is not so, a matching
    record proves nothing, and a lost answer may need a person."""
    confirm: Literal["reply", "record"] = field(default="reply", kw_only=True)
    """What confirms: the exchange's acknowledgement, or its record."""
    lane: Literal["account", "pair"] = field(default="account", kw_only=True)
    """What the exchange works through one at a time: the account (which is safe either way), or
    each isolated pair by itself."""
    uid: int | None = field(default=None, kw_only=True)
    """The exchange's id of the account, if it is known."""


def checked_accounts(accounts: Iterable[AccountLike]) -> dict[str, AccountLike]:
    """The accounts by name. Raises ConfigurationError."""
    by_name: dict[str, AccountLike] = {}
    keys: dict[str, str] = {}
    uids: dict[int, str] = {}
    for account in accounts:
        if not NAME_FORM.fullmatch(account.name):
            raise ConfigurationError(
                f"accounts: {account.name!r} is no name; a name is {NAME_RULE}"
            )
        if account.name in by_name:
            raise ConfigurationError(f"accounts: {account.name} is there twice")
        if account.api_key in keys:
            raise ConfigurationError(
                f"accounts: {keys[account.api_key]} and {account.name} have the same api_key"
            )
        if account.confirm not in {"reply", "record"}:
            raise ConfigurationError(f"accounts.{account.name}.confirm: must be reply or record")
        if account.lane not in {"account", "pair"}:
            raise ConfigurationError(f"accounts.{account.name}.lane: must be account or pair")
        if account.uid in uids:
            raise ConfigurationError(
                f"accounts: {uids[account.uid]} and {account.name} have the same uid"
            )
        by_name[account.name] = account
        keys[account.api_key] = account.name
        if account.uid is not None:
            uids[account.uid] = account.name
    if not by_name:
        raise ConfigurationError("accounts: none is configured")
    return by_name
