"""The commands put together, and everything that can go wrong turned into one line."""

from collections.abc import Sequence
from typing import Annotated, cast

import typer

from ..errors import SchedulerError
from . import client
from .check import EXAMPLES as CHECK_EXAMPLES
from .check import check
from .demo.command import EXAMPLES as DEMO_EXAMPLES
from .demo.command import demo
from .failed import Failed
from .help import Command, examples
from .identity import DISTRIBUTION, version
from .journal import app as journal
from .serve import EXAMPLES as SERVE_EXAMPLES
from .serve import serve
from .simulate import EXAMPLES as SIMULATE_EXAMPLES
from .simulate import simulate

# All errors of the command line's parser. Not every version of typer that we allow exports them,
# but each exports this one of them.
_USAGE_ERRORS = cast("type[Exception]", typer.BadParameter.__mro__[2])

app = typer.Typer(
    name=DISTRIBUTION,
    add_completion=False,
    # Plain help: it can be read in eighty columns, in a pipe, and by other programs.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(
    invoke_without_command=True,
    epilog=examples("margin-scheduler demo", "margin-scheduler simulate --port 8901"),
)
def root(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    """Borrows and repays on margin accounts, one at a time and each at most once."""
    if show_version:
        typer.echo(f"{DISTRIBUTION} {version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and gives the exit code."""
    try:
        code = app(list(arguments), prog_name=DISTRIBUTION, standalone_mode=False)
    except Failed as error:
        return _complain(str(error), error.exit_code)
    except (SchedulerError, OSError) as error:
        return _complain(str(error), 2)
    except typer.Abort:
        return 130
    except _USAGE_ERRORS as error:
        return _complain(*_usage(error))
    return code if isinstance(code, int) else 0


def _usage(error: Exception) -> tuple[str, int]:
    context = getattr(error, "ctx", None)
    command = context.command_path.removeprefix(DISTRIBUTION).strip() if context else ""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return f"{command}: {message}" if command else message, 2


def _complain(message: str, exit_code: int) -> int:
    typer.echo(f"{DISTRIBUTION}: {' '.join(message.split())}", err=True)
    return exit_code


app.command(cls=Command, epilog=DEMO_EXAMPLES)(demo)
app.command(cls=Command, epilog=SIMULATE_EXAMPLES)(simulate)
app.command(cls=Command, epilog=SERVE_EXAMPLES)(serve)
app.command(cls=Command, epilog=CHECK_EXAMPLES)(check)
client.register(app)
app.add_typer(journal)
