"""The way to a PostgreSQL server: its URL, its connections, and what its errors mean."""

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from ..errors import ConfigurationError, JournalUnavailable

SCHEMES = ("postgresql", "postgres")
SCHEMA = "margin_scheduler"
"""Where the tables are, unless the URL says `?schema=NAME`."""
VERSION_MIN = (14, 0)

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 15.0
"""After this the client gives an answer up, above what the server allows itself."""
STATEMENT_TIMEOUT_MS = 10_000
LOCK_TIMEOUT_MS = 5_000
COPY_TIMEOUT_S = 600.0
"""For one batch of rows of a journal that is copied."""
CLOSE_TIMEOUT_S = 2.0

FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
"""Options that name one."""
TIMEOUT_MIN_MS = 100
OWN_OPTIONS = {"statement_timeout": STATEMENT_TIMEOUT_MS, "lock_timeout": LOCK_TIMEOUT_MS}
"""What a URL may say besides what is the driver's: times in milliseconds, at most these, which are
the defaults. The client must not give up before the server does."""
DRIVER_OPTIONS = frozenset(
    (
        *("host", "port", "user", "password", "passfile", "dbname", "database"),
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl"),
        *("sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version"),
        *("target_session_attrs", "krbsrvname", "gsslib"),
    )
)
"""What a URL may say to the driver. Everything else would be set at the server, unseen."""

SETTINGS = {
    "application_name": "margin-scheduler",
    "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT_MS),
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "timezone": "UTC",
    # What was said to a host that has gone is found out in half a minute, not in two hours.
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

TROUBLE = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # TimeoutError is one
    EOFError,
    asyncio.TimeoutError,
)
"""Everything that can come out of a call to the server."""

_REFUSED_FOR_GOOD = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
)

_log = logging.getLogger("margin_scheduler")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a journal's tables are. Its password stays out of its repr and of every message."""

    dsn: str = field(repr=False)
    schema: str
    where: str
    """For messages: host, port, database and schema."""
    secrets: frozenset[str] = field(repr=False)
    """Passwords that the URL holds."""
    settings: Mapping[str, str]
    """Of this journal's connections, besides those that all have."""
    files: Mapping[str, str]
    """Those that have to be there, by the option that names them."""

    async def connect(self) -> Any:
        """A connection of its own. Raises ConfigurationError or JournalUnavailable."""
        for name, path in self.files.items():
            if not os.access(path, os.R_OK):
                raise ConfigurationError(f"{self.where}: {name}: {path} cannot be read")
        try:
            connection = await asyncpg.connect(
                self.dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings={**SETTINGS, **self.settings, "search_path": self.schema},
            )
        except _REFUSED_FOR_GOOD as error:
            raise ConfigurationError(f"{self.where}: {self.said(error)}") from None
        except ValueError as error:  # a parameter of the URL
            raise ConfigurationError(f"{self.where}: {self.said(error)}") from None
        except TROUBLE as error:
            raise self.unavailable(error) from None
        return connection

    async def check(self, connection: Any) -> None:
        """Whether a server can be relied on at all. Raises ConfigurationError."""
        version = connection.get_server_version()
        if (version.major, version.minor) < VERSION_MIN:
            raise ConfigurationError(
                f"{self.where}: it takes PostgreSQL {VERSION_MIN[0]}, and this is {version.major}"
            )
        if await connection.fetchval("SELECT pg_is_in_recovery()"):
            raise ConfigurationError(f"{self.where}: this is a standby, which takes no writes")
        if await connection.fetchval("SHOW fsync") == "off":
            _log.warning("%s: fsync is off: a power cut there loses what was acknowledged", self)

    def unavailable(self, error: BaseException) -> JournalUnavailable:
        return JournalUnavailable(f"{self.where}: {self.said(error)}")

    def said(self, error: BaseException) -> str:
        """An error in words, without a password in any form."""
        words = str(error) or type(error).__name__
        for secret in self.secrets:
            for form in {secret, quote(secret, safe="")}:
                words = words.replace(form, "...")
        return words


async def make_durable(connection: Any) -> None:
    """A commit is on the server's disk when it returns, whatever the server's default is."""
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        await connection.execute("SET synchronous_commit = on")


async def close(connection: Any) -> None:
    """Closes it, however it stands."""
    try:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
    except TROUBLE:
        connection.terminate()


def server(url: str) -> Server:
    """What a `postgresql://` URL names. Raises ConfigurationError, without the URL in it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        password = unquote(parts.password or "")
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigurationError("journal: the postgresql:// URL cannot be read") from None
    options = dict(query)
    schema = options.pop("schema", SCHEMA)
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
        raise ConfigurationError("journal: schema must be lower case letters, digits and _")
    timeouts = {name: _timeout(name, options.pop(name, None)) for name in OWN_OPTIONS}
    for name in options:
        if name not in DRIVER_OPTIONS:
            raise ConfigurationError(f"journal: {name[:40]!r} is no option of a postgresql:// URL")
    at = options.get("host") or host or "the default host"
    where = f"{at}:{port}" if port is not None else at
    where = f"journal postgresql://{where}{parts.path}"
    if schema != SCHEMA:
        where += f"?schema={schema}"
    dsn = urlunsplit(parts._replace(query=urlencode(options)))
    said = {password, options.get("password", ""), options.get("sslpassword", "")}
    files = {name: options[name] for name in FILES if name in options}
    return Server(dsn, schema, where, frozenset(said - {""}), timeouts, files)


def _timeout(name: str, given: str | None) -> str:
    most_ms = OWN_OPTIONS[name]
    if given is None:
        return str(most_ms)
    if not re.fullmatch(r"[0-9]{1,6}", given) or not TIMEOUT_MIN_MS <= int(given) <= most_ms:
        raise ConfigurationError(
            f"journal: {name} must be {TIMEOUT_MIN_MS} to {most_ms} milliseconds"
        )
    return given
