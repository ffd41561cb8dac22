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
    LookFailed,
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
    UnknownAsset,
    UnknownKey,
    Unresolved,
    WrongLoop,
)
from .figures import (
    AssetStatus,
    Debt,
    Debts,
    Inventory,
    MaxBorrowable,
    Settlement,
    SettlementOutcome,
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
    "AssetStatus",
    "CannotStartInTime",
    "Closed",
    "ConfigurationError",
    "Debt",
    "Debts",
    "Entry",
    "EventsLost",
    "Evidence",
    "Expired",
    "InvalidRequest",
    "Inventory",
    "JournalUnavailable",
    "KeyReused",
    "Kind",
    "LaneOptions",
    "Limits",
    "LookFailed",
    "MaxBorrowable",
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
    "Settlement",
    "SettlementOutcome",
    "State",
    "StillPending",
    "SubmissionCancelled",
    "UnknownAccount",
    "UnknownAsset",
    "UnknownKey",
    "Unresolved",
    "WrongLoop",
]

logging.getLogger("margin_scheduler").addHandler(logging.NullHandler())
