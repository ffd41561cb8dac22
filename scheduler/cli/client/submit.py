"""`margin-scheduler borrow` and `repay`."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from ...request import new_key
from ..help import examples
from ..signals import run_until_stopped
from .connection import Connection, Json
from .entries import CONFIRMED, outcome
from .live import LiveLine
from .options import URL, AccountName, AsJson, Symbol, TokenFile, Url, milliseconds, sidecar
from .printing import say
from .submission import LIVE_POLL_S, POLL_S, Submission

BORROW_EXAMPLES = examples(
    "margin-scheduler borrow main USDT 100",
    "margin-scheduler borrow main BTC 0.1 --symbol BTCUSDT --send-within 30",
    "margin-scheduler borrow main USDT 500 --at-most --precheck",
    "margin-scheduler borrow main USDT max --key order-17 --json",
)
REPAY_EXAMPLES = examples(
    "margin-scheduler repay main USDT all",
    "margin-scheduler repay main USDT 40 --at-most",
    "margin-scheduler repay main USDT 40 --priority urgent --timeout 60",
    "margin-scheduler repay main BTC 0.1 --symbol BTCUSDT --json",
)

Asset = Annotated[str, typer.Argument(metavar="ASSET", help="As the exchange spells it: USDT.")]
BorrowAmount = Annotated[
    str,
    typer.Argument(metavar="AMOUNT|max", help="A plain decimal, or as much as can be borrowed."),
]
RepayAmount = Annotated[
    str,
    typer.Argument(metavar="AMOUNT|all", help="A plain decimal, or all that is owed."),
]
AtMost = Annotated[bool, typer.Option("--at-most", help="Take less, if that is what there is.")]
Precheck = Annotated[
    bool, typer.Option("--precheck", help="Do not send it if the asset is banned.")
]
OwnKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="Makes repeating safe: one key is one submission. [default: a new one]",
    ),
]
Priority = Annotated[
    str, typer.Option(metavar="urgent|normal", help="Urgent goes first.", show_default=True)
]
SendWithin = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Start no attempt later. [default: the sidecar's]",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Wait no longer for the outcome; the submission lives on. [default: to its end]",
    ),
]


def borrow(
    account: AccountName,
    asset: Asset,
    amount: BorrowAmount,
    symbol: Symbol = None,
    at_most: AtMost = False,
    precheck: Precheck = False,
    key: OwnKey = None,
    priority: Priority = "normal",
    send_within: SendWithin = None,
    timeout: Timeout = None,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> int:
    """Borrow through a running sidecar, and wait for the outcome.

    What is taken with max or --at-most is looked up right before it is sent.

    The submission's key is printed on standard error before anything is sent: the same command with
    that --key is the same loan. Exit code 0: confirmed, 1: not executed, 2: wrong use, 3: not known
    yet.
    """
    asked_for = _asked_for("BORROW", account, asset, amount, symbol, key, priority, send_within)
    asked_for |= {"at_most": at_most, "precheck": precheck}
    return _submit(sidecar(url, token_file), asked_for, timeout, as_json)


def repay(
    account: AccountName,
    asset: Asset,
    amount: RepayAmount,
    symbol: Symbol = None,
    at_most: AtMost = False,
    key: OwnKey = None,
    priority: Priority = "normal",
    send_within: SendWithin = None,
    timeout: Timeout = None,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> int:
    """Repay through a running sidecar, and wait for the outcome.

    What is repaid with all or --at-most is looked up right before it is sent; what interest adds to
    all of it in between is repaid too, by another submission.

    The submission's key is printed on standard error before anything is sent: the same command with
    that --key is the same repayment. Exit code 0: confirmed, 1: not executed, 2: wrong use, 3: not
    known yet.
    """
    asked_for = _asked_for("REPAY", account, asset, amount, symbol, key, priority, send_within)
    asked_for |= {"at_most": at_most}
    return _submit(sidecar(url, token_file), asked_for, timeout, as_json)


def _asked_for(
    kind: str,
    account: str,
    asset: str,
    amount: str,
    symbol: str | None,
    key: str | None,
    priority: str,
    send_within_s: float | None,
) -> Json:
    body: Json = {
        "account": account,
        "kind": kind,
        "asset": asset,
        "amount": amount,
        "key": new_key() if key is None else key,
        "priority": priority,
    }
    if symbol is not None:
        body["symbol"] = symbol
    if send_within_s is not None:
        body["send_within_ms"] = milliseconds("--send-within", send_within_s)
    return body


def _submit(connection: Connection, asked_for: Json, timeout_s: float | None, as_json: bool) -> int:
    typer.echo(f"key {asked_for['key']}", err=True)
    with LiveLine(Console(stderr=True, highlight=False)) as line:
        submission = Submission(asked_for, tell=line.tell)
        poll_s = LIVE_POLL_S if line.is_shown else POLL_S
        was_stopped = run_until_stopped(_follow(connection, submission, timeout_s, poll_s))
    return _say(submission, as_json=as_json, was_stopped=was_stopped)


async def _follow(
    connection: Connection, submission: Submission, timeout_s: float | None, poll_s: float
) -> bool:
    """Whether Ctrl-C or SIGTERM ended it."""
    try:
        async with connection as sidecar:
            await submission.follow(sidecar, timeout_s=timeout_s, poll_s=poll_s)
    except asyncio.CancelledError:
        return True
    return False


def _say(submission: Submission, *, as_json: bool, was_stopped: bool) -> int:
    entry, key = submission.entry, submission.key
    if as_json or submission.is_settled:
        shown = () if entry is None else (outcome(entry),)
        say(entry or {"key": key, "state": None}, *shown, as_json=as_json)
    if submission.is_settled:
        assert entry is not None
        return _exit_code(entry)
    typer.echo(_unsettled(submission, was_stopped=was_stopped), err=True)
    return 1 if submission.kept == "no" else 3


def _unsettled(submission: Submission, *, was_stopped: bool) -> str:
    entry, key = submission.entry, submission.key
    how = "stopped waiting" if was_stopped else "the time to wait is over"
    look = f"see `margin-scheduler show {key}`"
    if entry is not None:
        return f"{how}: submission {key} lives on as {entry['state']}; {look}"
    if submission.kept == "no":
        return f"{how}: submission {key} was not taken, and nothing was sent"
    return f"{how}: whether submission {key} was taken is not known; {look}"


def _exit_code(entry: Json) -> int:
    if entry["state"] == CONFIRMED:
        return 0
    return 1 if entry["is_final"] else 3
