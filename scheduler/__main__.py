"""`python -m scheduler` is the command `margin-scheduler`."""

import sys

from margin_scheduler_command import main

if __name__ == "__main__":
    sys.exit(main())
