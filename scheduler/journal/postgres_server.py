"""The way to a PostgreSQL server: its URL, its connections, and what its errors mean."""

import asyncio
import logging
import re
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

SETTINGS = {
    "application_name": "margin-scheduler",
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "lock_timeout": str(LOCK_TIMEOUT_MS),
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
    password: str = field(repr=False)

    async def connect(self) -> Any:
        """A connection of its own. Raises ConfigurationError or JournalUnavailable."""
        try:
            connection = await asyncpg.connect(
                self.dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings={**SETTINGS, "search_path": self.schema},
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
        """An error in words, without the password in any form."""
        words = str(error) or type(error).__name__
        for secret in {self.password, quote(self.password, safe="")} - {""}:
            words = words.replace(secret, "...")
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
    at = options.get("host") or host or "the default host"
    where = f"{at}:{port}" if port is not None else at
    where = f"journal postgresql://{where}{parts.path}"
    if schema != SCHEMA:
        where += f"?schema={schema}"
    dsn = urlunsplit(parts._replace(query=urlencode(options)))
    return Server(dsn, schema, where, password or options.get("password", ""))
