"""Which version of the distribution runs."""

from importlib import metadata

DISTRIBUTION = "margin-scheduler"


def version() -> str:
    """Of the installed distribution."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "(not installed)"
