"""`margin-scheduler max-borrowable` and `asset`: what could be borrowed."""

from rich.text import Text

from ..help import examples
from .connection import Json, part, printable
from .entries import moment
from .options import URL, AccountName, AsJson, Fresh, Symbol, TokenFile, Url, answered
from .owing import LOOK_MAX_S
from .printing import say
from .submit import Asset

MAX_BORROWABLE_EXAMPLES = examples(
    "margin-scheduler max-borrowable main USDT",
    "margin-scheduler max-borrowable main BTC --symbol BTCUSDT --fresh --json",
)
ASSET_EXAMPLES = examples("margin-scheduler asset BTC", "margin-scheduler asset BTC --json")


def max_borrowable(
    account: AccountName,
    asset: Asset,
    symbol: Symbol = None,
    fresh: Fresh = False,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> int:
    """Tell how much of an asset an account could borrow.

    In cross margin, or with --symbol in that isolated pair; with the time from which that is. Exit
    code 0: it was looked up, 3: it could not be looked up now.
    """
    query = {"asset": asset, "symbol": symbol, "fresh": "true" if fresh else None}
    path = f"/v1/accounts/{part(account)}/max-borrowable"
    answer = answered(url, token_file, "GET", path, query=query, wait_s=LOOK_MAX_S)
    limit = "" if answer["limit"] is None else f" (its tier allows {answer['limit']})"
    said = f"{answer['account']} could borrow {answer['amount']} {answer['asset']}{limit} as of "
    say(answer, Text(printable(said)).append_text(moment(answer["as_of_ms"])), as_json=as_json)
    return 0


def asset(
    asset: Asset,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> int:
    """Tell whether an asset can be borrowed, and how much of it the exchange has left to lend.

    Exit code 0: it was looked up, 3: it could not be looked up now.
    """
    path = f"/v1/assets/{part(asset)}"
    answer = answered(url, token_file, "GET", path, wait_s=LOOK_MAX_S)
    say(answer, _described(answer), as_json=as_json)
    return 0


def _described(answer: Json) -> Text:
    if answer["is_borrowable"]:
        verdict = Text("can be borrowed", "green")
    else:
        verdict = Text("cannot be borrowed now", "bold red")
    smallest = f", at least {answer['min_borrow']} at once as of "
    line = Text.assemble(printable(f"{answer['asset']} "), verdict, printable(smallest))
    line.append_text(moment(answer["as_of_ms"]))
    for name, where in (("inventory", "cross"), ("isolated_inventory", "isolated")):
        left = answer[name]
        line.append("\n").append(printable(f"left to lend, {where}: {left['amount']} as of "))
        line.append_text(moment(left["as_of_ms"]))
    return line
