"""Who plays when, in the benchmark that compares clients."""

from itertools import chain

from benchmarks.side_by_side.clients import CLIENTS, SETTINGS
from benchmarks.side_by_side.plan import APART_S, groups, starts_s
from benchmarks.side_by_side.work import works

CHOSEN = list(works().values())


def test_every_client_plays_every_work_once() -> None:
    played = [(m.client, m.work.name) for m in chain(*groups(list(CLIENTS), CHOSEN))]
    wanted = [(client, work.name) for client in CLIENTS for work in CHOSEN]
    assert sorted(played) == sorted(wanted)


def test_whoever_is_busy_until_it_is_done_is_alone() -> None:
    for group in groups(list(CLIENTS), CHOSEN):
        for match in group:
            is_ours = match.client in {"embedded", "sidecar", "plain_loop"}
            if is_ours and not match.work.is_mostly_waiting:
                assert len(group) == 1, match


def test_bursts_of_those_that_play_together_begin_apart() -> None:
    *_, together = groups(list(CLIENTS), CHOSEN)
    starts = zip(together, starts_s(together), strict=True)
    begun = sorted(at_s for match, at_s in starts if not match.client.startswith("ccxt"))
    assert len(begun) > 10
    assert begun == [APART_S * place for place in range(len(begun))]


def test_no_two_borrows_of_a_work_can_be_mistaken_for_each_other() -> None:
    for work in CHOSEN:
        assert len({(a.account, a.asset, float(a.amount)) for a in work.asks}) == len(work.asks)


def test_the_report_says_of_every_client_how_it_is_used() -> None:
    assert SETTINGS.keys() == CLIENTS.keys()
