"""Where submissions are kept: one contract, several stores, chosen by a URL."""

from ..errors import ConfigurationError
from .memory import MemoryJournal
from .protocol import Journal
from .sqlite import SqliteJournal

__all__ = ["Journal", "open_journal"]

SQLITE = "sqlite:///"


def open_journal(url: str) -> Journal:
    """The journal that `url` names, not yet opened.

    `sqlite:///scheduler.db` is a file relative to the current directory, `sqlite:////var/x.db` an
    absolute one; `memory:` keeps everything in this process. Raises ConfigurationError for any
    other form.
    """
    if url == "memory:":
        return MemoryJournal()
    if url.startswith(SQLITE) and url != SQLITE and "\0" not in url:
        return SqliteJournal(url.removeprefix(SQLITE))
    # Not the URL itself: it could hold a password.
    scheme = url.partition(":")[0]
    raise ConfigurationError(
        f"journal: a URL that begins with {scheme!r} names none;"
        " use sqlite:///FILE, sqlite:////ABSOLUTE/FILE or memory:"
    )
