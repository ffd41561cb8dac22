"""Where the command `margin-scheduler` begins.

Another distribution installs a package called `scheduler` too, and then ours may not be the one
that Python finds. So the build puts this module outside the package, as `margin_scheduler_command`,
and it imports nothing of ours before it has seen whose package that is.
"""

import sys
from importlib import import_module, metadata
from types import ModuleType

DISTRIBUTION = "margin-scheduler"
PACKAGE = "scheduler"

_OURS = {"Account", "NotConfirmed", "Scheduler", "SchedulerError"}
"""Names that only our package exports all of."""


def main() -> int:
    """Runs the command line and gives its exit code; 2 if the package found is not ours."""
    try:
        other = stranger(import_module(PACKAGE))
        if other is not None:
            sys.stderr.write(
                f"{DISTRIBUTION}: the Python package `{PACKAGE}` in this environment belongs to "
                f"{other}; install {DISTRIBUTION} into an environment of its own\n"
            )
            return 2
        code: int = import_module(f"{PACKAGE}.cli.app").run(sys.argv[1:])
        return code
    except KeyboardInterrupt:
        return 130


def stranger(package: ModuleType) -> str | None:
    """Names the distribution whose package it is; None if it is ours."""
    if vars(package).keys() >= _OURS:
        return None
    names = metadata.packages_distributions().get(PACKAGE, ())
    others = [f"{name} {metadata.version(name)}" for name in names if name != DISTRIBUTION]
    return " or ".join(others) or f"whoever wrote {getattr(package, '__file__', None) or PACKAGE}"
