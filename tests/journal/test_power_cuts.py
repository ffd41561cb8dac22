"""What was acknowledged is there when the power comes back."""

import os
from pathlib import Path

from .power_cuts import campaign

CUTS = int(os.environ.get("POWER_CUTS", "200"))


def test_no_acknowledged_change_is_lost_in_a_power_cut(path: Path) -> None:
    tally = campaign(path, range(CUTS))
    assert tally.losses == []
    reached = {
        "cut before a write of the journal's WAL",
        "cut before a sync of the journal's WAL",
        "cut before a write of the journal",
        "cut before a sync of the journal",
        "cut before a sync of the archive's WAL",
        "recovery cut too",
    }
    assert reached <= tally.reached.keys()


def test_the_same_cuts_lose_changes_that_are_not_synced(path: Path) -> None:
    assert campaign(path, range(40), synchronous="NORMAL").losses
