"""Accounts as people read them."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from . import entries
from .connection import Json
from .entries import facts, moment, text

ALARMS_SHOWN = 10


def listed(accounts: list[Json]) -> Table:
    """A row an account."""
    table = Table(box=None, pad_edge=False)
    for heading in ("ACCOUNT", "STATE"):
        table.add_column(heading, no_wrap=True)
    for heading in ("URGENT", "NORMAL", "IN AIR", "UNDECIDED", "USED", "FOREIGN", "LEFT"):
        table.add_column(heading, justify="right", no_wrap=True)
    is_shared = any(account["epoch"] is not None for account in accounts)
    if is_shared:
        table.add_column("RUN BY", no_wrap=True)
        table.add_column("EPOCH", justify="right", no_wrap=True)
    table.add_column("HELD FOR", no_wrap=True)
    for account in accounts:
        queued, weight = account["queued"], account["weight"]
        table.add_row(
            text(account["account"]),
            _state(account),
            text(queued["urgent"]),
            text(queued["normal"]),
            text(len(account["in_air"])),
            text(account["undecided_count"]),
            *(text(weight[part]) for part in ("used", "foreign", "left")),
            *((_owner(account), text(account["epoch"])) if is_shared else ()),
            text(", ".join(_hold(hold) for hold in account["holds"])),
        )
    return table


def shown(account: Json) -> list[RenderableType]:
    """One in detail: how it stands, what is under way, and what went wrong lately."""
    shown: list[RenderableType] = [facts(_standing(account))]
    under_way = [*account["in_air"], *account["undecided"]]
    if under_way:
        shown += ["", "under way", entries.listed(under_way)]
    hidden = account["undecided_count"] - len(account["undecided"])
    if hidden > 0:
        shown.append(f"and {hidden} more")
    if account["alarms"]:
        shown += ["", "latest alarms", _alarms(account["alarms"][-ALARMS_SHOWN:])]
    return shown


def _standing(account: Json) -> list[tuple[str, object]]:
    queued, weight, first = account["queued"], account["weight"], account["next_start"]
    is_shared = account["epoch"] is not None
    return [
        ("account", account["account"]),
        ("state", _state(account)),
        ("stopped for", account["stopped"]),
        *((("run by", _owner(account)), ("epoch", account["epoch"])) if is_shared else ()),
        ("waiting", f"{queued['urgent']} urgent, {queued['normal']} normal"),
        ("oldest since", moment(queued["oldest_submitted_at_ms"])),
        ("next start", moment(first["starts_at_ms"])),
        ("waits for", ", ".join(first["causes"])),
        *(("held for", _hold(hold)) for hold in account["holds"]),
        (
            "weight",
            f"{weight['used']} used, {weight['foreign']} by others, {weight['left']} left of "
            f"{weight['limit']} ({weight['reserved']} for urgent)",
        ),
        ("gap", f"{account['gap_ms']} ms"),
        ("exclusive", "yes" if account["is_exclusive"] else "no: others use it"),
        ("slowest record", f"{account['record_delay_max_ms']} ms"),
    ]


def _state(account: Json) -> Text:
    if account["stopped"] is not None:
        return Text("stopped", style="bold red")
    if account["is_paused"]:
        return Text("paused", style="yellow")
    return Text("held", style="yellow") if account["holds"] else Text("runs", style="green")


def _owner(account: Json) -> Text:
    owner = account["owner"]
    return Text("nobody", style="yellow") if owner is None else text(owner)


def _hold(hold: Json) -> str:
    said = str(hold["cause"])
    if hold["asset"] is not None:
        said += f" {hold['asset']}"
    if hold["until_ms"] is not None:
        said += f" until {moment(hold['until_ms'])}"
    return said


def _alarms(alarms: list[Json]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold red")
    table.add_column(overflow="fold")
    for alarm in reversed(alarms):
        table.add_row(moment(alarm["at_ms"]), text(alarm["cause"]), text(alarm["message"]))
    return table
