"""Where submissions are kept: one contract, several stores, chosen by a URL."""

from ..errors import ConfigurationError
from .memory import MemoryJournal
from .protocol import Journal
from .sqlite import SqliteJournal

__all__ = ["Journal", "open_journal"]

SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")


def open_journal(url: str) -> Journal:
    """The journal that `url` names, not yet opened.

    `sqlite:///scheduler.db` is a file relative to the current directory, `sqlite:////var/x.db` an
    absolute one; `postgresql://USER@HOST/DATABASE` is a database that several hosts may share;
    `memory:` keeps everything in this process. Raises ConfigurationError for any other form.
    """
    if url == "memory:":
        return MemoryJournal()
    if url.startswith(SQLITE) and url != SQLITE and "\0" not in url:
        return SqliteJournal(url.removeprefix(SQLITE))
    if url.startswith(POSTGRES):
        return _postgres(url)
    # Not the URL itself: it could hold a password.
    scheme = url.partition(":")[0]
    raise ConfigurationError(
        f"journal: a URL that begins with {scheme!r} names none;"
        " use sqlite:///FILE, sqlite:////ABSOLUTE/FILE, postgresql://HOST/DATABASE or memory:"
    )


def _postgres(url: str) -> Journal:
    try:
        # Only here: most programs need no PostgreSQL, and have no driver for it.
        from .postgres import PostgresJournal
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise ConfigurationError(
            "journal: postgresql:// needs a driver; pip install 'margin-scheduler[postgres]'"
        ) from None
    return PostgresJournal(url)
