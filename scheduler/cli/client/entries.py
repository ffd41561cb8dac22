"""Submissions as people read them."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from rich.table import Table
from rich.text import Text

from .connection import Json, printable

CONFIRMED = "CONFIRMED"

_STYLES = {
    CONFIRMED: "green",
    "REJECTED": "red",
    "NOT_EXECUTED": "red",
    "EXPIRED": "red",
    "CANCELLED": "yellow",
    "UNKNOWN": "yellow",
    "UNRESOLVED": "bold red",
}
_DID = {"BORROW": "borrowed", "REPAY": "repaid"}


def outcome(entry: Json) -> Text:
    """One line: what became of it."""
    said = Text.assemble(state(entry), "  ", _what(entry))
    if entry.get("tran_id") is not None:
        said.append(f"  tranId {entry['tran_id']}")
    for word in (_refusal(entry), entry.get("advice")):
        if word:
            said.append(f"  {printable(str(word))}")
    if entry["state"] == "UNRESOLVED":
        said.append(f"  see `margin-scheduler show {entry['key']}`")
    return said


def state(entry: Json) -> Text:
    name = printable(str(entry["state"]))
    return Text(name, style=_STYLES.get(name, ""))


def listed(entries: list[Json]) -> Table:
    """A row a submission."""
    table = Table(box=None, pad_edge=False)
    for heading in ("KEY", "STATE", "ACCOUNT", "KIND"):
        table.add_column(heading, no_wrap=True)
    table.add_column("AMOUNT", justify="right", no_wrap=True)
    for heading in ("ASSET", "SYMBOL", "SUBMITTED", "TRANID", "REFUSAL"):
        table.add_column(heading, no_wrap=True)
    for entry in entries:
        table.add_row(
            text(entry["key"]),
            state(entry),
            text(entry["account"]),
            text(entry["kind"]),
            text(_amount(entry)),
            text(entry["asset"]),
            text(entry.get("symbol")),
            moment(entry["submitted_at_ms"]),
            text(entry.get("tran_id")),
            text(entry.get("code") or entry.get("name")),
        )
    return table


def shown(entry: Json) -> Table:
    """Everything but the life of one."""
    rows: list[tuple[str, Any]] = [
        ("key", entry["key"]),
        ("account", entry["account"]),
        ("request", _what(entry, asked=True)),
        ("amount", entry.get("amount") if _differs(entry) else None),
        ("priority", entry["priority"]),
        ("submitted", moment(entry["submitted_at_ms"])),
        ("send before", moment(entry["deadline_ms"])),
        ("attempts", entry["attempts"]),
        ("last sent", moment(entry.get("sent_at_ms"))),
        ("finished", moment(entry.get("finished_at_ms"))),
        ("tranId", entry.get("tran_id")),
        ("refusal", _refusal(entry)),
        ("advice", entry.get("advice")),
    ]
    return facts([("state", state(entry)), *rows])


def facts(rows: list[tuple[str, Any]]) -> Table:
    """A name and a value a line; values that are not there are left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        cell = value if isinstance(value, Text) else text(value)
        if cell.plain:
            table.add_row(name, cell)
    return table


def life(rows: list[Json]) -> Table:
    """A line an event or an observation."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        named = state(row) if "state" in row else text(row["source"])
        table.add_row(moment(row["at_ms"]), named, text(row["detail"]))
    return table


def text(value: object) -> Text:
    """Somebody else's words, never taken for markup."""
    return Text("" if value is None else printable(str(value)))


def moment(at_ms: int | None) -> Text:
    """In the time of this machine, with milliseconds."""
    if at_ms is None:
        return Text("")
    at = datetime.fromtimestamp(at_ms / 1000).astimezone()
    return Text(at.isoformat(sep=" ", timespec="milliseconds"))


def _what(entry: Json, *, asked: bool = False) -> str:
    verb = entry["kind"] if asked else _DID.get(entry["kind"], entry["kind"])
    if entry["state"] != CONFIRMED:
        verb = entry["kind"]
    amount = entry["requested"] if asked else _amount(entry)
    said = f"{verb} {amount} {entry['asset']}"
    if not asked and _differs(entry):
        said += f" ({_wish(entry)})"
    if entry.get("symbol") is not None:
        said += f" isolated {entry['symbol']}"
    return printable(said if asked else f"{said} on {entry['account']}")


def _wish(entry: Json) -> str:
    requested = str(entry["requested"])
    return requested if requested.isalpha() else f"asked for {requested}"


def _differs(entry: Json) -> bool:
    """Whether the amount is another than was asked for: that was a word, or more."""
    amount, requested = entry.get("amount"), entry["requested"]
    if amount is None or amount == requested:
        return False
    try:
        return Decimal(amount) != Decimal(requested)
    except InvalidOperation:
        return True


def _amount(entry: Json) -> str:
    amount, requested = entry.get("amount"), entry["requested"]
    return str(requested if amount is None else amount)


def _refusal(entry: Json) -> str | None:
    if entry.get("code") is None:
        return None
    words = (entry["code"], entry.get("name"), entry.get("message"))
    return " ".join(str(word) for word in words if word)
