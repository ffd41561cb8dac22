"""The commands that talk to a running sidecar."""

import typer

from ..help import Command
from . import lending, looking, owing, steering, submit


def register(app: typer.Typer) -> None:
    """Adds them to the command line."""
    for name, command, epilog in (
        ("borrow", submit.borrow, submit.BORROW_EXAMPLES),
        ("repay", submit.repay, submit.REPAY_EXAMPLES),
        ("status", looking.status, looking.STATUS_EXAMPLES),
        ("list", looking.list_, looking.LIST_EXAMPLES),
        ("show", looking.show, looking.SHOW_EXAMPLES),
        ("cancel", steering.cancel, steering.CANCEL_EXAMPLES),
        ("resolve", steering.resolve, steering.RESOLVE_EXAMPLES),
        ("pause", steering.pause, steering.PAUSE_EXAMPLES),
        ("resume", steering.resume, steering.RESUME_EXAMPLES),
        ("debt", owing.debt, owing.DEBT_EXAMPLES),
        ("settle-debt", owing.settle_debt, owing.SETTLE_DEBT_EXAMPLES),
        ("max-borrowable", lending.max_borrowable, lending.MAX_BORROWABLE_EXAMPLES),
        ("asset", lending.asset, lending.ASSET_EXAMPLES),
    ):
        app.command(name, cls=Command, epilog=epilog)(command)
