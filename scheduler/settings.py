"""What a configuration file says of the scheduler itself."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .account import Account, checked_accounts
from .errors import ConfigurationError
from .journal import open_journal
from .journal.lanes import SharedJournal
from .lanes import LaneOptions
from .policy import RECV_WINDOW_MAX_MS, Limits
from .secret import from_environment, without_passphrase
from .signing import signer
from .tables import Tables, read_tables
from .transport import checked_base_url, is_loopback

SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a `Scheduler` is made from. Secrets stay out of its repr."""

    accounts: tuple[Account, ...]
    journal: str = field(repr=False)
    """A URL; the path of a file in it is absolute."""
    base_url: str
    recv_window_ms: int
    proxy: str | None = field(repr=False)
    limits: Limits
    lanes: LaneOptions | None
    """None where the file does not say how accounts are shared."""


def read_settings(path: str | Path) -> Settings:
    """Read a configuration file, its secrets included; what it says of a sidecar only has to be of
    the right form. Raises ConfigurationError, in one line that begins with the setting."""
    return settings_of(read_tables(path))


def settings_of(tables: Tables) -> Settings:
    """What the tables mean for the scheduler. Raises ConfigurationError."""
    exchange = tables.exchange
    if not 1 <= exchange.recv_window_ms <= RECV_WINDOW_MAX_MS:
        raise ConfigurationError(
            f"exchange.recv_window_ms: must be 1 to {RECV_WINDOW_MAX_MS}, "
            f"not {exchange.recv_window_ms}"
        )
    base_url = _base_url(exchange.base_url)
    return Settings(
        accounts=_accounts(tables),
        journal=_journal(tables, base_url),
        base_url=base_url,
        recv_window_ms=exchange.recv_window_ms,
        proxy=_proxy(tables),
        limits=tables.limits,
        lanes=_lanes(tables),
    )


def _base_url(base_url: str) -> str:
    try:
        return checked_base_url(base_url)
    except ConfigurationError as error:
        raise ConfigurationError(f"exchange.{error}") from None


def _proxy(tables: Tables) -> str | None:
    proxy = tables.exchange.proxy
    if proxy is None:
        return None
    try:
        parts = urlsplit(proxy)
        is_right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        raise ConfigurationError("exchange.proxy: must be of the form http://HOST[:PORT]")
    if parts.password is not None:
        tables.source.check_may_hold_secrets("exchange.proxy")
    return proxy


def _accounts(tables: Tables) -> tuple[Account, ...]:
    accounts = tuple(_account(tables, name) for name in tables.accounts)
    checked_accounts(accounts)
    return accounts


def _account(tables: Tables, name: str) -> Account:
    table = tables.accounts[name]
    return Account(
        name,
        api_key=table.api_key,
        secret=_secret(tables, name),
        exclusive=table.exclusive,
        confirm=table.confirm,
        lane=table.lane,
        uid=table.uid,
    )


def _secret(tables: Tables, name: str) -> str:
    ways = tables.secret_of(name)
    secret, given = ways.read(), ways.given
    if secret is None or given is None:
        raise ConfigurationError(f"{ways.setting}: is missing; give {ways.setting}_file")
    passphrase_env = tables.accounts[name].secret_passphrase_env
    if passphrase_env is not None:
        setting = f"accounts.{name}.secret_passphrase_env"
        passphrase = from_environment(setting, passphrase_env)
        return without_passphrase(given, secret, passphrase)
    try:
        signer(secret)
    except ValueError as error:
        raise ConfigurationError(f"{given}: {error}") from None
    return secret


def _journal(tables: Tables, base_url: str) -> str:
    url = tables.journal.url
    if url.startswith(SQLITE) and url != SQLITE:
        return SQLITE + str(tables.source.folder / url.removeprefix(SQLITE))
    if url == "memory:" and not is_loopback(urlsplit(base_url).hostname or ""):
        raise ConfigurationError(
            "journal.url: memory: forgets what was sent and is for a simulated exchange; "
            "give sqlite:///FILE"
        )
    if _has_password(url):
        tables.source.check_may_hold_secrets("journal.url")
    open_journal(url)  # which opens nothing yet, and refuses what names no journal
    return url


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    named = dict(parse_qsl(parts.query))
    return parts.password is not None or bool({"password", "sslpassword"} & named.keys())


def _lanes(tables: Tables) -> LaneOptions | None:
    table = tables.lanes
    if table is None:
        return None
    if not isinstance(open_journal(tables.journal.url), SharedJournal):
        raise ConfigurationError(
            "lanes: nobody else works on this journal; journal.url must be postgresql://..."
        )
    for account in table.pinned:
        if account not in tables.accounts:
            raise ConfigurationError(f"lanes.pinned: {account!r} is not configured")
    given: dict[str, Any] = {"name": table.name, "lease_s": table.lease_s}
    said = {name: value for name, value in given.items() if value is not None}
    return LaneOptions(pinned=frozenset(table.pinned), **said)
