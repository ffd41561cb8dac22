"""An entry as what a PostgreSQL journal is sent, and back."""

import json
import re
from collections.abc import Sequence
from typing import Any

from ..model import Entry
from .codec import (
    ATTEMPT_COLUMNS,
    CHANGING_COLUMNS,
    ENTRY_COLUMNS,
    SUBMISSION_COLUMNS,
    attempt_values,
    changing_values,
    entry_of,
    history_row_of,
    storable,
    submission_values,
)
from .protocol import HistoryRow
from .rows import history_detail


def _names(columns: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in columns.split(","))


_SUBMISSION = _names(SUBMISSION_COLUMNS)
_CHANGING = _names(CHANGING_COLUMNS)
_ATTEMPT = _names(ATTEMPT_COLUMNS)
_FOREIGN = tuple(_names(ENTRY_COLUMNS).index(name) for name in ("name", "message", "advice"))
"""Where in a row text stands that others wrote."""


def submission_fields(entry: Entry) -> dict[str, Any]:
    return dict(zip(_SUBMISSION, submission_values(entry.submission), strict=True))


def change_fields(entry: Entry) -> dict[str, Any]:
    """One changed entry as the function `change` takes it, without its epoch."""
    row: dict[str, Any] = dict(zip(_CHANGING, changing_values(entry), strict=True))
    for name in ("name", "message", "advice"):
        if row[name] is not None:
            row[name] = escaped(row[name])
    row |= seq_fields(entry)
    change: dict[str, Any] = {"entry": row, "detail": escaped(storable(history_detail(entry)))}
    if entry.attempt is not None:
        change["attempt"] = dict(zip(_ATTEMPT, attempt_values(entry.attempt), strict=True))
    return change


def seq_fields(entry: Entry) -> dict[str, Any]:
    """What tells an entry, and what its claims are counted by."""
    return {
        "seq": entry.seq,
        "key": entry.key,
        "account": entry.account,
        "kind": entry.kind.value,
    }


def entry_from(row: Sequence[Any]) -> Entry:
    """The entry in a row of ENTRY_COLUMNS."""
    return entry_of(plain_row(row))


def plain_row(row: Sequence[Any]) -> list[Any]:
    """A row of ENTRY_COLUMNS as other journals have it."""
    columns = list(row)
    for index in _FOREIGN:
        if columns[index] is not None:
            columns[index] = unescaped(columns[index])
    return columns


def history_from(row: Sequence[Any]) -> HistoryRow:
    *known, detail = row
    return history_row_of((*known, unescaped(detail)))


def text(value: Any) -> str:
    """JSON that any connection carries."""
    return json.dumps(value, separators=(",", ":"))


# PostgreSQL's text holds every character but NUL, which an exchange's message might.
def escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("\0", "\\0")


def unescaped(words: str) -> str:
    if "\\" not in words:
        return words
    return re.sub(
        r"\\(.)", lambda found: "\0" if found[1] == "0" else found[1], words, flags=re.DOTALL
    )
