"""One line on a terminal that tells how a submission, or a debt, is doing."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from .connection import Json, printable

_DOING = {
    "QUEUED": "waits for its turn",
    "SENT": "is at the exchange",
    "ACCEPTED": "is acknowledged; its record is looked for",
    "UNKNOWN": "has lost its answer; the records are searched",
}


class LiveLine:
    """Moves on standard error while it is a terminal; elsewhere it is not there at all."""

    def __init__(self, console: Console, says: str = "is handed over") -> None:
        self.is_shown = console.is_terminal and not console.is_dumb_terminal
        self._line = _Line(says)
        self._status = Status(self._line, console=console) if self.is_shown else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, entry: Json | None) -> None:
        """There is news of the submission; None: its sidecar is away."""
        self._line.says = _said(entry)


class _Line:
    """Counts the seconds each time it is drawn."""

    def __init__(self, says: str) -> None:
        self.says = says
        self._since_s = time.monotonic()

    def __rich__(self) -> Text:
        return Text(f"{self.says} ({time.monotonic() - self._since_s:.0f} s)")


def _said(entry: Json | None) -> str:
    if entry is None:
        return "the sidecar is away; asking again"
    said = f"{entry['state']} {_DOING.get(entry['state'], '')}".rstrip()
    if entry.get("code") is not None:
        said += f" after {entry['code']} {printable(str(entry.get('name') or ''))}".rstrip()
    return said
