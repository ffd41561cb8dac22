"""The commands that talk to a sidecar, against a real one over the simulated exchange."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scheduler import Scheduler, UnknownKey
from scheduler.cli import app

from ..journal.shared_memory import Database, HostJournal
from .command import COMMAND, ROOT, TIMEOUT_S, environment, started
from .sidecar_thread import Stage, staged

if sys.platform == "win32":
    pytest.skip("has neither signals nor pseudo terminals", allow_module_level=True)

import pty

TOKEN = "canary-token-of-this-test"
TRIES = 50 * TIMEOUT_S
"""Of 20 ms each, while another process gets somewhere."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One sidecar for all tests that leave nothing behind which others would see."""
    with staged(accounts=("main", "hedge", "paused", "owing")) as running:
        running.run(running.scheduler.pause("paused"))
        yield running


class Said:
    """What one command printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], line: str, *more: str) -> None:
        self.code = app.run([*line.split(), *more])
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> Any:
        assert self.out.count("\n") == 1, "one document on one line"
        return json.loads(self.out)


@pytest.fixture
def said(stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MARGIN_SCHEDULER_URL", stage.url)
    return lambda line, *more: Said(capsys, line, *more)


def booked(stage: Stage) -> int:
    return len(stage.sim.ledger.booked())


# Borrowing and repaying


def test_a_confirmed_borrow_is_exit_0_with_its_transaction(stage: Stage, said: Any) -> None:
    borrowed = said("borrow main USDT 100 --key c1")
    tran_id = stage.sim.ledger.booked()[-1].tran_id
    assert (borrowed.code, borrowed.err) == (0, "key c1\n")
    assert borrowed.out == f"CONFIRMED  borrowed 100 USDT on main  tranId {tran_id}\n"


def test_a_key_is_made_and_told_before_anything_is_sent(said: Any) -> None:
    first, second = said("borrow main USDT 1"), said("borrow main USDT 1")
    assert all(re.fullmatch(r"key [0-9a-f]{24}\n", each.err) for each in (first, second))
    assert first.err != second.err
    refused = said("borrow main usdt 1")
    assert re.match(r"key [0-9a-f]{24}\nmargin-scheduler: asset: ", refused.err)


def test_the_same_key_is_the_same_loan(stage: Stage, said: Any) -> None:
    before = booked(stage)
    first, again = (said("borrow main USDT 3 --key c2 --json").json for _ in range(2))
    assert booked(stage) == before + 1
    assert first["tran_id"] == again["tran_id"] == stage.sim.ledger.booked()[-1].tran_id
    assert "replayed" not in first
    assert again["replayed"] is True


def test_options_reach_the_submission(said: Any) -> None:
    line = "repay paused BTC 0.5 --symbol BTCUSDT --key c3 --priority urgent --send-within 77.5"
    entry = said(f"{line} --timeout 0 --json").json
    assert (entry["kind"], entry["symbol"], entry["priority"]) == ("REPAY", "BTCUSDT", "urgent")
    assert entry["deadline_ms"] - entry["submitted_at_ms"] == 77_500
    assert (entry["requested"], entry["key"], entry["asset"]) == ("0.5", "c3", "BTC")


def test_a_refusal_of_the_exchange_is_exit_1_in_its_own_words(said: Any) -> None:
    refused = said("borrow main USDT 99999999999 --key c4")
    assert refused.code == 1
    assert refused.out.startswith("REJECTED  BORROW 99999999999 USDT on main  -3006 EXCEED_MAX")
    assert refused.out.count("\n") == 1, "other programs get whole lines"


def test_what_is_not_decided_in_time_is_exit_3_and_lives_on(said: Any) -> None:
    waiting = said("borrow paused USDT 1 --key c5 --timeout 0.2")
    assert (waiting.code, waiting.out) == (3, "")
    assert "submission c5 lives on as QUEUED; see `margin-scheduler show c5`" in waiting.err
    as_json = said("borrow paused USDT 1 --key c5 --timeout 0 --json")
    assert as_json.code == 3
    assert as_json.json["state"] == "QUEUED"


@pytest.mark.parametrize(
    ("line", "code", "named"),
    [
        ("borrow main usdt 1", 2, "asset: "),
        ("borrow main USDT 1e3", 2, "amount: "),
        ("borrow main USDT 0", 2, "amount: "),
        ("borrow main USDT 1 --symbol BTC/USDT", 2, "symbol: "),
        ("borrow main USDT 1 --key a/b", 2, "key: "),
        ("borrow main USDT 1 --priority asap", 2, "priority: "),
        ("borrow main USDT 1 --send-within 99999999", 2, "send_within"),
        ("borrow main USDT 1 --send-within -1", 2, "--send-within"),
        ("borrow main USDT 1 --timeout soon", 2, "--timeout"),
        ("borrow main USDT 1 --send-within inf", 2, "--send-within"),
        ("borrow main USDT all", 2, "amount: "),
        ("repay main USDT max", 2, "amount: "),
        ("repay main USDT 1 --precheck", 2, "--precheck"),
        ("debt nobody", 2, "account: "),
        ("debt main usdt", 2, "asset: "),
        ("debt main USDT --symbol BTC/USDT", 2, "symbol: "),
        ("debt main USDT --symbol NOSUCH", 2, "asset: "),
        ("max-borrowable nobody USDT", 2, "account: "),
        ("max-borrowable main usdt", 2, "asset: "),
        ("max-borrowable main USDT --symbol BTC/USDT", 2, "symbol: "),
        ("asset btc", 2, "asset: "),
        ("settle-debt nobody USDT", 2, "account: "),
        ("settle-debt main", 2, "ASSET"),
        ("settle-debt main usdt", 2, "asset: "),
        ("settle-debt main USDT --symbol NOSUCH", 2, "asset: "),
        ("settle-debt main USDT --within 0", 2, "within_ms: "),
        ("settle-debt main USDT --within 61", 2, "within_ms: "),
        ("settle-debt main USDT --within nan", 2, "--within"),
        ("borrow nobody USDT 1", 2, "account: "),
        ("borrow main USDT", 2, "AMOUNT"),
        ("show none-such", 2, "key: "),
        ("cancel none-such", 2, "key: "),
        ("pause nobody", 2, "account: "),
        ("status nobody", 2, "account: "),
        ("list --state HAPPY", 2, "state: "),
        ("list --account nobody", 2, "account: "),
        ("list --limit 501", 2, "--limit"),
        ("list --after nonsense", 2, "after: "),
        ("resolve k --as MAYBE --because x", 2, "as: "),
        ("resolve k --as CONFIRMED --because x", 2, "--tran-id"),
        ("resolve k --as NOT_EXECUTED", 2, "--because"),
        ("status --url http://user:canary@127.0.0.1", 2, "--url"),
        ("status --token-file /nonexistent/token", 2, "/nonexistent/token"),
    ],
)
def test_wrong_use_is_one_line_that_names_what_is_wrong(
    said: Any, line: str, code: int, named: str
) -> None:
    wrong = said(line)
    assert (wrong.code, wrong.out) == (code, "")
    lines = wrong.err.splitlines()
    assert [line.split(" ")[0] for line in lines[:-1]] in (["key"], [])
    assert lines[-1].startswith("margin-scheduler: ")
    assert named in lines[-1]
    assert "canary" not in wrong.err


def test_no_sidecar_is_exit_2_naming_where_it_was_looked_for(said: Any) -> None:
    gone = said("status --url unix:/nonexistent/api.sock")
    assert (gone.code, gone.out) == (2, "")
    assert "--url: no sidecar can be reached at unix:/nonexistent/api.sock" in gone.err


# Looking


def test_show_tells_the_life_event_by_event_and_the_evidence(said: Any) -> None:
    said("borrow hedge USDT 5 --key c6")
    shown = said("show c6")
    assert shown.code == 0
    life = shown.out.partition("\nlife\n")[2].partition("\nevidence\n")
    states = re.findall(r"^\S+ \S+ +([A-Z]+)", life[0], re.MULTILINE)
    assert states == ["QUEUED", "SENT", "CONFIRMED"]
    assert re.search(r"reply +tranId \d+", life[2])
    as_json = said("show c6 --json").json
    assert [change["state"] for change in as_json["changes"]] == states
    assert as_json["evidence"][0]["source"] == "reply"


def test_list_filters_and_turns_pages(said: Any) -> None:
    for number in range(3):
        said(f"borrow hedge ETH 0.{number + 1} --key page-{number}")
    keys = [e["key"] for e in said("list --account hedge --asset ETH --json").json["submissions"]]
    assert keys == ["page-2", "page-1", "page-0"]
    first = said("list --account hedge --asset ETH --limit 2")
    assert re.findall(r"^page-\d", first.out, re.MULTILINE) == ["page-2", "page-1"]
    told, _, cursor = first.err.strip().rpartition(" ")
    assert told == "there are more: add --after"
    second = said(f"list --account hedge --asset ETH --limit 2 --after {cursor}")
    assert re.findall(r"^page-\d", second.out, re.MULTILINE) == ["page-0"]
    assert second.err == ""
    assert said("list --account hedge --state REJECTED --json").json["submissions"] == []


def test_status_has_a_line_for_each_account_and_one_in_detail(said: Any) -> None:
    everything = said("status").out
    assert re.search(r"^hedge +runs ", everything, re.MULTILINE)
    assert re.search(r"^paused +paused .* paused\s*$", everything, re.MULTILINE)
    one = said("status paused").out
    assert re.search(r"^held for +paused", one, re.MULTILINE)
    assert re.search(r"^weight +\d+ used, 0 by others, \d+ left of 180000", one, re.MULTILINE)
    named = [account["account"] for account in said("status --json").json["accounts"]]
    assert named == ["main", "hedge", "paused", "owing"]
    assert said("status paused --json").json["is_paused"] is True


def test_status_names_who_runs_an_account_where_several_may(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with staged(accounts=("main", "hedge"), journal=HostJournal(Database())) as stage:
        said = partial(Said, capsys)
        said(f"borrow main USDT 1 --url {stage.url}")  # until it is run
        name = stage.scheduler._lanes.name
        everything = said(f"status --url {stage.url}").out
        assert re.search(r"RUN BY +EPOCH +HELD FOR", everything)
        assert re.search(rf"^main +runs .* {re.escape(name)} +1\s*$", everything, re.MULTILINE)
        one = said(f"status main --url {stage.url}").out
        assert re.search(rf"^run by +{re.escape(name)}\s*$", one, re.MULTILINE)
        assert re.search(r"^epoch +1\s*$", one, re.MULTILINE)
        shown = said(f"status main --json --url {stage.url}").json
        assert (shown["owner"], shown["epoch"]) == (name, 1)


def test_status_says_nothing_of_owners_where_there_can_be_none_other(said: Any) -> None:
    assert "RUN BY" not in said("status").out
    assert "run by" not in said("status main").out
    assert said("status main --json").json["epoch"] is None


# Steering


def test_what_was_not_sent_can_be_cancelled_and_what_was_cannot(said: Any) -> None:
    said("borrow paused USDT 1 --key c7 --timeout 0")
    cancelled = said("cancel c7")
    assert (cancelled.code, cancelled.out) == (0, "CANCELLED  BORROW 1 USDT on paused\n")
    assert said("cancel c7 --json").json["state"] == "CANCELLED"
    said("borrow main USDT 1 --key c8")
    too_late = said("cancel c8")
    assert (too_late.code, too_late.out) == (1, "")
    assert too_late.err.startswith("margin-scheduler: key: c8 is CONFIRMED")


def test_an_account_is_paused_until_it_is_resumed(said: Any) -> None:
    assert re.search(r"^hedge +paused", said("pause hedge").out, re.MULTILINE)
    assert said("borrow hedge USDT 1 --key c9 --timeout 0.1").code == 3
    assert said("resume hedge --json").json["is_paused"] is False
    assert said("borrow hedge USDT 1 --key c9").code == 0


def test_a_person_decides_what_the_evidence_does_not(
    said: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []

    async def resolve(self: Scheduler, key: str, state: Any, **how: Any) -> Any:
        seen.append((key, state, how))
        return await self.get(key)

    monkeypatch.setattr(Scheduler, "resolve", resolve)
    said("borrow main USDT 1 --key c10")
    line = "resolve c10 --as CONFIRMED --tran-id 9007199254740993"
    assert said(line, "--because", "seen at the exchange").code == 0
    assert said("resolve c10 --as NOT_EXECUTED --because none --json").json["key"] == "c10"
    assert seen == [
        ("c10", "CONFIRMED", {"tran_id": 9007199254740993, "because": "seen at the exchange"}),
        ("c10", "NOT_EXECUTED", {"tran_id": None, "because": "none"}),
    ]


def test_deciding_what_is_decided_is_refused(said: Any) -> None:
    said("borrow main USDT 1 --key c11")
    refused = said("resolve c11 --as NOT_EXECUTED --because x")
    assert refused.code == 1
    assert "c11 is CONFIRMED" in refused.err


# What is owed


def owe(stage: Stage, account: str, asset: str, amount: str, **more: str) -> None:
    stage.do(lambda: stage.sim.set_debt(account, asset, amount, **more))


def test_all_of_a_debt_is_repaid_and_a_second_time_nothing_is_sent(stage: Stage, said: Any) -> None:
    owe(stage, "owing", "USDT", "10", interest="0.5")
    repaid = said("repay owing USDT all --priority urgent --key c20")
    assert repaid.code == 0
    assert repaid.out.startswith("CONFIRMED  repaid 10.50000000 USDT (all) on owing  tranId ")
    shown = said("show c20").out
    assert re.search(r"^request +REPAY all USDT\s*$", shown, re.MULTILINE)
    assert re.search(r"^amount +10\.50000000\s*$", shown, re.MULTILINE)
    before = booked(stage)
    nothing = said("repay owing USDT all")
    assert nothing.code == 1
    assert "REPAY all USDT on owing  NOTHING_OWED Nothing was sent: " in nothing.out
    assert booked(stage) == before
    listed = said("list --account owing --state REJECTED --limit 1").out
    assert listed.rstrip().endswith("NOTHING_OWED")


def test_as_much_as_can_be_borrowed_is_or_at_most_so_much(stage: Stage, said: Any) -> None:
    stage.do(lambda: stage.sim.set_max_borrowable("owing", "BTC", "5"))
    assert "borrowed 3 BTC on owing" in said("borrow owing BTC 3 --at-most").out
    lowered = said("borrow owing BTC 9 --at-most --key c21")
    assert (lowered.code, "borrowed 2.00000000 BTC (asked for 9) on" in lowered.out) == (0, True)
    assert "lowered from 9 to 2" in said("show c21").out
    nothing = said("borrow owing BTC max")
    assert (nothing.code, "NOTHING_BORROWABLE" in nothing.out) == (1, True)
    stage.do(lambda: stage.sim.set_max_borrowable("owing", "BTC", "4"))
    assert said("borrow owing BTC max --json").json["amount"] == "4.00000000"


def test_a_banned_asset_is_told_without_an_attempt(stage: Stage, said: Any) -> None:
    stage.do(lambda: stage.sim.set_banned_asset("XRP"))
    refused = said("borrow owing XRP 1 --precheck --json")
    assert (refused.code, refused.json["code"], refused.json["attempts"]) == (1, -3012, 0)


def test_debts_are_a_table_and_json_as_it_came(stage: Stage, said: Any) -> None:
    owe(stage, "hedge", "USDT", "10", interest="0.5")
    owe(stage, "hedge", "BTC", "1")
    owe(stage, "hedge", "SOL", "2", symbol="SOLUSDT")
    everything = said("debt hedge --fresh")
    assert (everything.code, everything.err) == (0, "")
    assert re.match(r"ASSET +SYMBOL +PRINCIPAL +INTEREST +TOTAL +AS OF", everything.out)
    assert re.search(r"^USDT +10\.0+ +0\.50* +10\.50* +\d{4}-", everything.out, re.MULTILINE)
    owed = {debt["asset"]: debt["total"] for debt in said("debt hedge --json").json["debts"]}
    assert (owed["BTC"], owed["USDT"]) == ("1.00000000", "10.50000000")
    one = said("debt hedge SOL --symbol SOLUSDT")
    assert re.search(r"^SOL +SOLUSDT +2\.0+ ", one.out, re.MULTILINE)
    assert float(said("debt hedge SOL --json").json["total"]) == 0
    none = said("debt paused")
    assert none.out.startswith("paused owes nothing in cross margin as of 2")


def test_what_can_be_borrowed_is_one_line_and_json_as_it_came(stage: Stage, said: Any) -> None:
    most = said("max-borrowable hedge USDT --fresh")
    assert (most.code, most.err) == (0, "")
    assert re.match(
        r"hedge could borrow [0-9.]+ USDT \(its tier allows [0-9.]+\) as of 2", most.out
    )
    told = said("max-borrowable hedge SOL --symbol SOLUSDT --json").json
    assert (told["asset"], told["symbol"]) == ("SOL", "SOLUSDT")


def test_an_asset_is_told_with_what_is_left_of_it(stage: Stage, said: Any) -> None:
    stage.do(lambda: stage.sim.set_inventory("LTC", "7"))
    told = said("asset LTC")
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("LTC can be borrowed, at least ")
    assert re.search(r"^left to lend, cross: 7[.0]* as of 2", told.out, re.MULTILINE)
    assert said("asset LTC --json").json["inventory"]["amount"].startswith("7")
    unknown = said("asset NOSUCH")
    assert unknown.code == 2
    assert "asset: " in unknown.err


def test_a_settled_debt_is_exit_0_one_that_stays_1_and_one_not_decided_3(
    stage: Stage, said: Any
) -> None:
    owe(stage, "owing", "BNB", "3", symbol="BNBUSDT")
    place = "owing BNB --symbol BNBUSDT"
    left = said(f"settle-debt {place} --report-only --within 1")
    assert (left.code, left.err) == (1, "")
    assert left.out.startswith("left  owing owes 3.00000000 BNB in BNBUSDT as of ")
    repaid = said(f"settle-debt {place}")
    assert repaid.code == 0
    key = re.search(r"see `margin-scheduler show (settle:[0-9a-f]+)`$", repaid.out.strip())
    assert repaid.out.startswith("repaid  owing owes 0")
    assert key is not None
    assert said(f"show {key[1]} --json").json["state"] == "CONFIRMED"
    clear = said(f"settle-debt {place} --json")
    assert (clear.code, clear.json["outcome"], clear.json["keys"]) == (0, "clear", [])
    owe(stage, "paused", "USDT", "1")
    pending = said("settle-debt paused USDT --within 1.2")
    assert (pending.code, pending.out.split(" ")[0]) == (3, "pending")
    owe(stage, "paused", "USDT", "0")


def test_what_cannot_be_looked_up_is_exit_3(stage: Stage, said: Any) -> None:
    stage.do(lambda: setattr(stage.sim, "read_fault_rates", {"503_before": 1.0}))
    try:
        for line in ("debt main --fresh", "settle-debt main USDT --within 0.5"):
            failed = said(line)
            assert (failed.code, failed.out) == (3, "")
            assert failed.err.startswith("margin-scheduler: debt")
            assert failed.err.count("\n") == 1
    finally:
        stage.do(lambda: setattr(stage.sim, "read_fault_rates", {}))


# The token


def test_the_token_comes_from_a_file_and_is_nowhere_to_be_seen(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    with staged(token=TOKEN) as guarded:
        monkeypatch.setenv("MARGIN_SCHEDULER_URL", guarded.url)
        without = Said(capsys, "status")
        assert (without.code, without.out) == (2, "")
        assert "Authorization" in without.err
        monkeypatch.setenv("MARGIN_SCHEDULER_TOKEN_FILE", str(file))
        assert Said(capsys, "borrow main USDT 1").code == 0
        file.write_text("another")
        wrong = Said(capsys, "status")
        assert wrong.code == 2
        assert TOKEN not in wrong.err + wrong.out
        assert "another" not in wrong.err


def test_a_unix_socket_is_found_by_its_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "api.sock"
    with staged(listen=f"unix:{path}"):
        assert Said(capsys, f"borrow main USDT 1 --url unix:{path}").code == 0


# As processes


async def taken(stage: Stage, key: str) -> None:
    """Until the submission is there."""
    for _ in range(TRIES):
        try:
            await stage.scheduler.get(key)
            return
        except UnknownKey:
            await asyncio.sleep(0.02)
    raise AssertionError("it was never taken")


async def waited_for(stage: Stage) -> None:
    """Until somebody waits for a submission's outcome."""
    for _ in range(TRIES):
        if stage.scheduler._watchers._waiters:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nobody waits")


def test_ctrl_c_says_that_the_submission_lives_on_and_is_exit_3(stage: Stage) -> None:
    with started("borrow", "paused", "USDT", "1", "--key", "c12", "--url", stage.url) as process:
        stage.run(waited_for(stage))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (3, "")
    assert err.splitlines() == [
        "key c12",
        "stopped waiting: submission c12 lives on as QUEUED; see `margin-scheduler show c12`",
    ]


def test_on_a_terminal_a_line_moves_while_it_waits(stage: Stage) -> None:
    ours, theirs = pty.openpty()
    line = ["borrow", "paused", "USDT", "1", "--key", "c13", "--timeout", "1.5", "--url", stage.url]
    process = subprocess.Popen(
        [*COMMAND, *line],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=ROOT,
        env={**environment(), "TERM": "xterm-256color"},
    )
    os.close(theirs)
    shown = b""
    with process:
        try:
            while chunk := os.read(ours, 65_536):
                shown += chunk
        except OSError:
            pass
        finally:
            os.close(ours)
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert process.returncode == 3
    assert "QUEUED waits for its turn (" in shown.decode()
    assert "submission c13 lives on as QUEUED" in shown.decode()


def test_a_restart_of_the_sidecar_is_survived_under_the_same_key(tmp_path: Path) -> None:
    """The sidecar goes away while the command waits, and comes back with the same journal."""
    path = tmp_path / "scheduler.db"
    with staged(journal=f"sqlite:///{path}") as before:
        before.run(before.scheduler.pause("main"))
        port = before.url.rpartition(":")[2]
        process = subprocess.Popen(
            [*COMMAND, *f"borrow main USDT 1 --key c14 --json --url {before.url}".split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
        before.run(taken(before, "c14"))
    with process:
        try:
            with staged(journal=f"sqlite:///{path}", listen=f"127.0.0.1:{port}") as after:
                after.run(after.scheduler.resume("main"))
                out, err = process.communicate(timeout=TIMEOUT_S)
                loans = [loan.tran_id for loan in after.sim.ledger.booked()]
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "key c14\n")
    assert json.loads(out)["state"] == "CONFIRMED"
    assert [json.loads(out)["tran_id"]] == loans
