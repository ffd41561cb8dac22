"""`margin-scheduler status`, `list` and `show`: what a sidecar knows."""

from typing import Annotated

import typer
from rich.console import RenderableType

from ..help import examples
from . import accounts, entries
from .connection import Json, part
from .options import URL, AsJson, Key, TokenFile, Url, answered
from .printing import say

STATUS_EXAMPLES = examples(
    "margin-scheduler status",
    "margin-scheduler status main",
    "margin-scheduler status --url unix:/run/margin-scheduler/api.sock --json",
)
LIST_EXAMPLES = examples(
    "margin-scheduler list --account main --limit 20",
    "margin-scheduler list --state UNRESOLVED",
    "margin-scheduler list --asset USDT --after c2VxOjE3 --json",
)
SHOW_EXAMPLES = examples(
    "margin-scheduler show order-17",
    "margin-scheduler show order-17 --json",
)


def status(
    account: Annotated[
        str | None, typer.Argument(metavar="ACCOUNT", help="In detail; else a line for each.")
    ] = None,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> int:
    """Tell what the accounts are doing.

    What waits, what is in the air, what the minute weighs, and what holds them.
    """
    if account is None:
        answer = answered(url, token_file, "GET", "/v1/accounts")
        say(answer, accounts.listed(answer["accounts"]), as_json=as_json)
    else:
        answer = answered(url, token_file, "GET", f"/v1/accounts/{part(account)}")
        say(answer, *accounts.shown(answer), as_json=as_json)
    return 0


def list_(
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="Only of this one.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only in this one, such as UNRESOLVED.")
    ] = None,
    asset: Annotated[str | None, typer.Option(metavar="ASSET", help="Only of this one.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=500, metavar="N", help="How many to a page.")
    ] = 100,
    after: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Go on where the page before ended.")
    ] = None,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> int:
    """List submissions, newest first, a page at a time."""
    query = {"account": account, "state": state, "asset": asset, "limit": limit, "after": after}
    answer = answered(url, token_file, "GET", "/v1/submissions", query=query)
    say(answer, entries.listed(answer["submissions"]), as_json=as_json)
    if answer["next"] is not None and not as_json:
        typer.echo(f"there are more: add --after {answer['next']}", err=True)
    return 0


def show(key: Key, url: Url = URL, token_file: TokenFile = None, as_json: AsJson = False) -> int:
    """Show one submission's life and evidence.

    What was asked, every change since, and what its outcome rests on. Exit code 0: it can be
    shown, whatever became of it.
    """
    path = f"/v1/submissions/{part(key)}"
    entry = answered(url, token_file, "GET", path)
    changes = answered(url, token_file, "GET", f"{path}/history")["changes"]
    say({**entry, "changes": changes}, *_shown(entry, changes), as_json=as_json)
    return 0


def _shown(entry: Json, changes: list[Json]) -> list[RenderableType]:
    shown: list[RenderableType] = [entries.shown(entry), "", "life", entries.life(changes)]
    if entry["evidence"]:
        shown += ["", "evidence", entries.life(entry["evidence"])]
    return shown
