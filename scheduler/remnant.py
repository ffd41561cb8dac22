"""What interest leaves of a debt that was repaid whole, and the submission that repays it.

Interest is added on the hour, and that can fall between the look at a debt and its repayment. What
is left then is repaid by a submission of its own, because one submission causes at most one
transaction. Its key follows from that of the first, so however often it is made, it is one.
"""

import hashlib
import re

from .figures import Owed
from .model import ALL, Entry, Kind, Submission, revised
from .policy import Policy

SEND_WITHIN_MS = 300_000
"""What is left is repaid within this, or by when the first was to be sent if that is later."""

_KEY = re.compile(r"rest([1-9]):([0-9a-f]{32})", re.ASCII)


def leaves_remnants(entry: Entry, policy: Policy) -> bool:
    """Whether a look for what it left is called for once it is confirmed."""
    if entry.kind is not Kind.REPAY:
        return False
    return entry.requested == ALL or 0 < nth(entry.key) < policy.remnant_rounds_max


def is_remnant(left: Owed, entry: Entry, policy: Policy) -> bool:
    """Whether what is owed after it can be interest that was added between look and repayment, and
    not a new debt that somebody wanted."""
    assert entry.amount is not None
    return 0 < left.total <= entry.amount * policy.remnant_share_max


def submission_for(entry: Entry, left: Owed, now_ms: int) -> Submission:
    """Repays exactly that much, or less if it is gone by then."""
    return revised(
        entry.submission,
        key=next_key(entry.key),
        requested=f"{left.total:f}",
        at_most=True,
        submitted_at_ms=now_ms,
        deadline_ms=max(entry.deadline_ms, now_ms + SEND_WITHIN_MS),
    )


def next_key(key: str) -> str:
    """Of what repays the rest of this one."""
    match = _KEY.fullmatch(key)
    if match is not None:
        return f"rest{int(match[1]) + 1}:{match[2]}"
    return f"rest1:{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def nth(key: str) -> int:
    """The how many-th rest it repays; 0 for a submission of a caller's."""
    match = _KEY.fullmatch(key)
    return 0 if match is None else int(match[1])
