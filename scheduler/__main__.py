"""The command `margin-scheduler`, which is `python -m scheduler` too."""

import sys

from .cli.identity import DISTRIBUTION, stranger


def main() -> int:
    """Runs the command line and gives its exit code."""
    other = stranger()
    if other is not None:
        sys.stderr.write(
            f"{DISTRIBUTION}: the Python package `scheduler` in this environment belongs to "
            f"{other}; install {DISTRIBUTION} into an environment of its own\n"
        )
        return 2
    try:
        # Not before: it imports the package, which has only now been found to be ours.
        from .cli.app import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
