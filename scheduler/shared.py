"""What all accounts of one scheduler have in common."""

from collections.abc import Callable
from dataclasses import dataclass

from .address import Address
from .clock import Clock
from .events import Event
from .inventory import InventoryGate
from .journal import Journal
from .journal.protocol import PastAttempt
from .model import Entry
from .timekeeper import Timekeeper
from .watch import Watchers


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all accounts of one scheduler have in common."""

    journal: Journal
    clock: Clock
    timekeeper: Timekeeper
    address: Address
    gate: InventoryGate
    watchers: Watchers
    gate_changed: Callable[[], None]
    """To be called when a borrow of another account may have become free to go."""
    concluded_absent: Callable[[PastAttempt, int], None]
    """To be called when an attempt was said not to have happened, with the time of that."""
    confirmed: Callable[[Entry], None]
    """To be called when an entry was confirmed."""
    debt_changed: Callable[[str], None]
    """To be called when a transaction of this account was acknowledged."""
    ended: Callable[[Entry], None]
    """To be called when an entry ended otherwise than CONFIRMED."""
    suspect: Callable[[], None]
    """To be called when something failed at the exchange itself."""
    watch: Callable[[], None]
    """To be called when a borrow is checked beforehand."""
    came_late: Callable[[Entry, Event], None] = lambda sent, event: None
    """To be called with an answer to an entry that somebody else has moved on since."""
