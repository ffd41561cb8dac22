"""`margin-scheduler cancel`, `resolve`, `pause` and `resume`: what a person decides."""

from pathlib import Path
from typing import Annotated

import typer

from ..failed import Failed
from ..help import examples
from . import accounts, entries
from .connection import Json, part
from .options import URL, AccountName, AsJson, Key, TokenFile, Url, answered
from .printing import say

CANCEL_EXAMPLES = examples(
    "margin-scheduler cancel order-17",
    "margin-scheduler cancel order-17 --json",
)
RESOLVE_EXAMPLES = examples(
    'margin-scheduler resolve order-17 --as NOT_EXECUTED --because "no record"',
    'margin-scheduler resolve k7 --as CONFIRMED --tran-id 5 --because "seen"',
)
PAUSE_EXAMPLES = examples(
    "margin-scheduler pause main",
    "margin-scheduler pause main --url unix:/run/margin-scheduler/api.sock --json",
)
RESUME_EXAMPLES = examples(
    "margin-scheduler resume main",
    "margin-scheduler resume main --json",
)


def cancel(key: Key, url: Url = URL, token_file: TokenFile = None, as_json: AsJson = False) -> int:
    """Take back a submission that has not been sent.

    Exit code 0: it is cancelled, 1: it cannot be taken back any more.
    """
    answer = answered(url, token_file, "DELETE", f"/v1/submissions/{part(key)}")
    say(answer, entries.outcome(answer), as_json=as_json)
    return 0


def resolve(
    key: Key,
    as_: Annotated[
        str, typer.Option("--as", metavar="CONFIRMED|NOT_EXECUTED", help="What really happened.")
    ],
    because: Annotated[
        str, typer.Option(metavar="TEXT", help="What you saw; kept with the submission.")
    ],
    tran_id: Annotated[
        int | None,
        typer.Option(min=1, metavar="ID", help="The exchange's transaction; for CONFIRMED."),
    ] = None,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> int:
    """Decide by hand what became of a submission.

    It must be UNKNOWN or UNRESOLVED, and you have looked at the exchange. It is refused while the
    request may still be executed, and where another submission holds the transaction. Exit code 0:
    decided, 1: refused.
    """
    body: Json = {"as": as_, "because": because}
    if tran_id is not None:
        body["tran_id"] = tran_id
    if as_ == "CONFIRMED" and tran_id is None:
        raise Failed("--tran-id: CONFIRMED needs the exchange's transaction id")
    path = f"/v1/submissions/{part(key)}/resolve"
    answer = answered(url, token_file, "POST", path, body=body)
    say(answer, entries.outcome(answer), as_json=as_json)
    return 0


def pause(
    account: AccountName, url: Url = URL, token_file: TokenFile = None, as_json: AsJson = False
) -> int:
    """Send nothing of an account until `resume`.

    Also after a restart. Submissions are still taken, and what is in the air is still settled.
    """
    return _steer("pause", account, url, token_file, as_json)


def resume(
    account: AccountName, url: Url = URL, token_file: TokenFile = None, as_json: AsJson = False
) -> int:
    """Let an account go on.

    Takes back a pause, a stop for a refused key, and the finding that others use the account.
    """
    return _steer("resume", account, url, token_file, as_json)


def _steer(verb: str, account: str, url: str, token_file: Path | None, as_json: bool) -> int:
    answer = answered(url, token_file, "POST", f"/v1/accounts/{part(account)}/{verb}")
    say(answer, accounts.listed([answer]), as_json=as_json)
    return 0
