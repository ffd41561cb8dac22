"""What is done with a PostgreSQL journal from outside, in one place that needs the driver."""

from .copy import copy
from .postgres_verify import verify

__all__ = ["copy", "verify"]
