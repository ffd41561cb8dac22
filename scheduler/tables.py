"""A configuration file as tables of the right types, before anything is made of them.

Every fault is one line that begins with the setting: `journal.url: must be a string, not a table`.
"""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta

from .account import NAME_FORM, NAME_RULE
from .binance import BASE_URL
from .errors import ConfigurationError
from .policy import Limits
from .secret import Source, Ways

FILE_MAX_BYTES = 1 << 20

WAIT_MAX_MS = 600_000
DRAIN_MAX_S = 600
ADOPT_MAX_S = 3_600

Patience = Annotated[int, Meta(ge=1, le=WAIT_MAX_MS)]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file. Some hold secrets, so none is ever shown."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class ExchangeTable(Table, frozen=True):
    base_url: str = BASE_URL
    recv_window_ms: int = 5_000
    proxy: str | None = None


class AccountTable(Table, frozen=True):
    api_key: str
    secret: str | None = None
    secret_file: str | None = None
    secret_env: str | None = None
    secret_passphrase_env: str | None = None
    exclusive: bool = True
    confirm: Literal["reply", "record"] = "reply"
    lane: Literal["account", "pair"] = "account"
    uid: Annotated[int, Meta(ge=1)] | None = None


class JournalTable(Table, frozen=True):
    url: str


class LanesTable(Table, frozen=True):
    name: str | None = None
    pinned: tuple[str, ...] = ()
    lease_s: float | None = None


class SidecarTable(Table, frozen=True):
    listen: tuple[str, ...] = ("127.0.0.1:8900",)
    token: str | None = None
    token_file: str | None = None
    token_env: str | None = None
    hosts: tuple[str, ...] = ()
    trusted_network: bool = False
    socket_mode: str = "0600"
    drain_timeout_s: Annotated[float, Meta(gt=0, le=DRAIN_MAX_S)] = 8.0
    gateway_patience_ms: Patience = 8_000
    gateway_adopt_s: Annotated[float, Meta(ge=0, le=ADOPT_MAX_S)] = 60.0


class ClientTable(Table, frozen=True):
    account: str
    api_key: str
    secret: str | None = None
    secret_file: str | None = None
    secret_env: str | None = None
    public_key_file: str | None = None
    patience_ms: Patience | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The whole file: every table of the right form, nothing yet known to make sense."""

    source: Source
    exchange: ExchangeTable
    accounts: Mapping[str, AccountTable]
    journal: JournalTable
    lanes: LanesTable | None
    """None where the file has no such table."""
    sidecar: SidecarTable
    clients: Mapping[str, ClientTable]
    limits: Limits

    def secret_of(self, name: str) -> Ways:
        """Where an account's secret is to come from."""
        table = self.accounts[name]
        setting = f"accounts.{name}.secret"
        return Ways(setting, table.secret, table.secret_file, table.secret_env, self.source)

    def secret_of_client(self, name: str) -> Ways:
        table = self.clients[name]
        setting = f"clients.{name}.secret"
        return Ways(setting, table.secret, table.secret_file, table.secret_env, self.source)

    def token(self) -> Ways:
        table = self.sidecar
        return Ways("sidecar.token", table.token, table.token_file, table.token_env, self.source)


def read_tables(path: str | Path) -> Tables:
    """Read a configuration file. Raises ConfigurationError."""
    path = Path(path).absolute()
    content, source = _read(path)
    try:
        raw = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"configuration {path}: this is no TOML: {error}") from None
    return _tables(raw, source)


def _read(path: Path) -> tuple[str, Source]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(FILE_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"configuration {path}: there is no such file") from None
    except OSError as error:
        raise ConfigurationError(f"configuration {path}: {error.strerror}") from None
    if len(content) > FILE_MAX_BYTES:
        raise ConfigurationError(f"configuration {path}: it is over {FILE_MAX_BYTES} bytes")
    try:
        return content.decode(), Source(path, mode)
    except UnicodeDecodeError:
        raise ConfigurationError(f"configuration {path}: it is not in UTF-8") from None


def _tables(raw: dict[str, Any], source: Source) -> Tables:
    known = ("exchange", "accounts", "journal", "lanes", "sidecar", "clients", "limits")
    for name, table in raw.items():
        if name not in known:
            raise _unknown(name, name, known)
        if not isinstance(table, dict):
            raise ConfigurationError(f"{name}: must be a table")
    if "journal" not in raw:
        raise ConfigurationError("journal.url: is missing; give sqlite:///FILE")
    return Tables(
        source=source,
        exchange=_table(raw.get("exchange", {}), ExchangeTable, "exchange"),
        accounts=_named(raw.get("accounts", {}), AccountTable, "accounts"),
        journal=_table(raw["journal"], JournalTable, "journal"),
        lanes=_table(raw["lanes"], LanesTable, "lanes") if "lanes" in raw else None,
        sidecar=_table(raw.get("sidecar", {}), SidecarTable, "sidecar"),
        clients=_named(raw.get("clients", {}), ClientTable, "clients"),
        limits=_limits(raw.get("limits", {})),
    )


T = TypeVar("T")


def _named(raw: dict[str, Any], kind: type[T], where: str) -> dict[str, T]:
    for name in raw:
        if not NAME_FORM.fullmatch(name):
            raise ConfigurationError(f"{where}: {name!r} is no name; a name is {NAME_RULE}")
    return {name: _table(table, kind, f"{where}.{name}") for name, table in raw.items()}


def _limits(raw: dict[str, Any]) -> Limits:
    known = [field.name for field in fields(Limits)]
    assert all(field.default is not MISSING for field in fields(Limits)), "each has a default"
    for name in raw:
        if name not in known:
            raise _unknown(f"limits.{name}", name, known)
    return _table(raw, Limits, "limits")


def _table(raw: Any, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise _fault(str(error), kind, where) from None


# Messages. Those of msgspec name types and bounds, never a value but that of a choice.


def _fault(message: str, kind: type[Any], where: str) -> ConfigurationError:
    what, _, path = message.partition(" - at `$")
    setting = where + path.rstrip("`")
    if missing := re.fullmatch(r"Object missing required field `(\w+)`", what):
        return ConfigurationError(f"{setting}.{missing[1]}: is missing")
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL):
        return _unknown(f"{setting}.{unknown[1]}", unknown[1], list(get_type_hints(kind)))
    if wrong := re.fullmatch(r"Expected `([^`]+)`, got `(.+)`", what):
        return ConfigurationError(f"{setting}: must be {_word(wrong[1])}, not {_word(wrong[2])}")
    if bound := re.fullmatch(r"Expected `[^`]+` ([<>]=?) (.+)", what):
        word = {">": "over", ">=": "at least", "<": "under", "<=": "at most"}[bound[1]]
        return ConfigurationError(f"{setting}: must be {word} {bound[2].removesuffix('.0')}")
    if what.startswith("Invalid enum value"):
        choices = get_args(get_type_hints(kind)[path.strip(".`")])
        return ConfigurationError(f"{setting}: must be {' or '.join(choices)}")
    return ConfigurationError(f"{setting}: is not of the right form")


def _word(kinds: str) -> str:
    """How people who write TOML call them."""
    return " or ".join(
        _WORDS.get(kind, kind) for kind in kinds.removesuffix(" | null").split(" | ")
    )


_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "a table",
    "str": "a string",
}


def _unknown(setting: str, name: str, known: Any) -> ConfigurationError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; {near[0]} is one" if near else ""
    return ConfigurationError(f"{setting}: there is no such setting{hint}")
