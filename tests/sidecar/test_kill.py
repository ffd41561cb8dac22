"""Sidecars that end under load, as many as every change can afford."""

from . import kill


def test_killed_sidecars_lose_nothing_do_nothing_twice_and_callers_get_their_outcomes() -> None:
    story = kill.run(3, seed=1, is_killed=True)
    assert story.tally.violations == []
    assert story.exit_codes == [-9] * 3
    assert story.tally.booked > 0
    assert all(entry["is_final"] for entry in story.told.values())
    assert story.told.keys() == story.tally.acknowledged


def test_sidecars_that_are_told_to_stop_end_well_within_their_time_and_lose_nothing() -> None:
    story = kill.run(2, seed=2, is_killed=False)
    assert story.tally.violations == []
    assert story.exit_codes == [0, 0], "1 is what a sidecar ends with that takes longer"
    assert story.tally.booked > 0
    assert story.tally.cut_off == 0, "an attempt in the air was not waited for"
