"""`python -m scheduler` is the command `margin-scheduler`."""

import sys

from .cli.launcher import main

if __name__ == "__main__":
    sys.exit(main())
