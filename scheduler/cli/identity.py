"""Whose `scheduler` this is: another distribution installs a package of that name too.

Imports nothing of ours, because that may not be what it would get.
"""

import sys
from importlib import metadata

DISTRIBUTION = "margin-scheduler"

_PACKAGE = __name__.split(".")[0]
_OURS = {"Account", "NotConfirmed", "Scheduler", "SchedulerError"}
"""Names that only our package exports all of."""


def stranger() -> str | None:
    """Names the distribution whose files stand where ours should; None if ours do."""
    package = sys.modules[_PACKAGE]
    if vars(package).keys() >= _OURS:
        return None
    names = metadata.packages_distributions().get(_PACKAGE, ())
    others = [f"{name} {metadata.version(name)}" for name in names if name != DISTRIBUTION]
    return " or ".join(others) or f"whoever wrote {getattr(package, '__file__', None) or _PACKAGE}"


def version() -> str:
    """Of the installed distribution."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "(not installed)"
