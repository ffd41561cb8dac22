"""`margin-scheduler debt` and `settle-debt`: what an account owes, and seeing it gone."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..help import examples
from .connection import Json, part, printable
from .entries import moment, text
from .live import LiveLine
from .options import URL, AccountName, AsJson, Fresh, Symbol, TokenFile, Url, answered, milliseconds
from .printing import say
from .submit import Asset

DEBT_EXAMPLES = examples(
    "margin-scheduler debt main",
    "margin-scheduler debt main USDT --fresh",
    "margin-scheduler debt main BTC --symbol BTCUSDT --json",
)
SETTLE_DEBT_EXAMPLES = examples(
    "margin-scheduler settle-debt main USDT",
    "margin-scheduler settle-debt main BTC --symbol BTCUSDT --within 20",
    "margin-scheduler settle-debt main USDT --report-only --json",
)
LOOK_MAX_S = 30.0
"""A sidecar asks the exchange for no longer than that."""
WITHIN_S = 60.0

_STYLES = {"clear": "green", "repaid": "green", "left": "bold red", "pending": "yellow"}
_EXIT_CODES = {"clear": 0, "repaid": 0, "left": 1, "pending": 3}


def debt(
    account: AccountName,
    asset: Annotated[
        str | None, typer.Argument(metavar="ASSET", help="Only of this one; else all of them.")
    ] = None,
    symbol: Symbol = None,
    fresh: Fresh = False,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> int:
    """Tell what an account owes.

    In cross margin, or with --symbol in that isolated pair; with the time from which that is. Exit
    code 0: it was looked up, 3: it could not be looked up now.
    """
    query = {"asset": asset, "symbol": symbol, "fresh": "true" if fresh else None}
    path = f"/v1/accounts/{part(account)}/debt"
    answer = answered(url, token_file, "GET", path, query=query, wait_s=LOOK_MAX_S)
    debts = answer["debts"] if asset is None else [answer]
    if debts:
        say(answer, _listed(debts), as_json=as_json)
    else:
        where = f"in {symbol}" if symbol else "in cross margin"
        nothing = Text(f"{printable(answer['account'])} owes nothing {where} as of ")
        say(answer, nothing.append_text(moment(answer["as_of_ms"])), as_json=as_json)
    return 0


def settle_debt(
    account: AccountName,
    asset: Asset,
    symbol: Symbol = None,
    within: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Look and wait no longer; at most 60.")
    ] = WITHIN_S,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Repay nothing, only tell what is left.")
    ] = False,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> int:
    """See a debt through to its end, after an order that was to repay it.

    Looks until the debt is gone, waits while something is pending, and repays what is silently
    left. Repeating it is safe: nothing is repaid twice. Exit code 0: nothing is owed any more,
    1: the debt stays, 2: wrong use, 3: not known yet.
    """
    within_ms = milliseconds("--within", within)
    body: Json = {"asset": asset, "within_ms": within_ms, "report_only": report_only}
    if symbol is not None:
        body["symbol"] = symbol
    path = f"/v1/accounts/{part(account)}/settle-debt"
    with LiveLine(Console(stderr=True, highlight=False), "looks until the debt is gone"):
        wait_s = within + LOOK_MAX_S
        answer = answered(url, token_file, "POST", path, body=body, wait_s=wait_s)
    say(answer, _settled(answer), as_json=as_json)
    return _EXIT_CODES.get(answer["outcome"], 3)


def _listed(debts: list[Json]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("ASSET", "SYMBOL"):
        table.add_column(heading, no_wrap=True)
    for heading in ("PRINCIPAL", "INTEREST", "TOTAL"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("AS OF", no_wrap=True)
    for each in debts:
        table.add_row(
            *(text(each[name]) for name in ("asset", "symbol", "principal", "interest", "total")),
            moment(each["as_of_ms"]),
        )
    return table


def _settled(settlement: Json) -> Text:
    """One line: what became of the debt."""
    outcome = printable(str(settlement["outcome"]))
    owed, asset = settlement["debt"]["total"], settlement["asset"]
    where = "" if settlement["symbol"] is None else f" in {settlement['symbol']}"
    said = f"  {settlement['account']} owes {owed} {asset}{where} as of "
    line = Text.assemble((outcome, _STYLES.get(outcome, "")), printable(said))
    line.append_text(moment(settlement["as_of_ms"]))
    for key in settlement["keys"]:
        line.append(printable(f"  see `margin-scheduler show {key}`"))
    return line
