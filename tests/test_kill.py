"""Real processes that are killed, as many as every change can afford."""

from . import kill


def test_a_process_killed_a_hundred_times_loses_nothing_and_does_nothing_twice() -> None:
    tally = kill.run(100, seed=1, show=False)
    assert tally.violations == []
    assert tally.killed == 100
    assert tally.cut_off > 0, "nothing was in the air when a process died"
    assert tally.booked > 0
