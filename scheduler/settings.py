"""What a configuration file says of the scheduler itself."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from .account import Account, checked_accounts
from .errors import ConfigurationError
from .journal import open_journal
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
        return urlsplit(url).password is not None
    except ValueError:
        return False
