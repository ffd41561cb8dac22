"""The drop-in gateway: the exchange's own calls, for bots that were written for the exchange."""

from .also import checked_also
from .gateway import Gateway

__all__ = ["Gateway", "checked_also"]
