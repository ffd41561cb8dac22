"""An async, rate-aware scheduler for Binance's margin borrow/repay call.

Start with `Scheduler`; everything a program needs is exported here.
"""

import logging

from .account import Account
from .errors import (
    AccountStopped,
    CannotStartInTime,
    Closed,
    ConfigurationError,
    EventsLost,
    Expired,
    InvalidRequest,
    JournalUnavailable,
    KeyReused,
    NotCancellable,
    NotConfirmed,
    NotExecuted,
    NotResolvable,
    QueueFull,
    Rejected,
    SchedulerError,
    StillPending,
    SubmissionCancelled,
    UnknownAccount,
    UnknownKey,
    Unresolved,
    WrongLoop,
)
from .lanes import LaneOptions
from .model import Alarm, Entry, Evidence, Kind, Priority, Quote, State
from .policy import Limits
from .scheduler import Scheduler
from .status import AccountStatus

__all__ = [
    "Account",
    "AccountStatus",
    "AccountStopped",
    "Alarm",
    "CannotStartInTime",
    "Closed",
    "ConfigurationError",
    "Entry",
    "EventsLost",
    "Evidence",
    "Expired",
    "InvalidRequest",
    "JournalUnavailable",
    "KeyReused",
    "Kind",
    "LaneOptions",
    "Limits",
    "NotCancellable",
    "NotConfirmed",
    "NotExecuted",
    "NotResolvable",
    "Priority",
    "QueueFull",
    "Quote",
    "Rejected",
    "Scheduler",
    "SchedulerError",
    "State",
    "StillPending",
    "SubmissionCancelled",
    "UnknownAccount",
    "UnknownKey",
    "Unresolved",
    "WrongLoop",
]

logging.getLogger("margin_scheduler").addHandler(logging.NullHandler())
