"""`margin-scheduler serve` as a process: what it says, serves, refuses, and how it stops."""

import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from scheduler.cli import app
from scheduler.cli.serve import journal_place
from scheduler.journal.schema import JOURNAL_ID

from ..exchange_process import ExchangeProcess, exchange_process
from .command import ROOT, TIMEOUT_S, run, started
from .configuration import TOKEN, configured

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM to catch")

BORROW = {"account": "main", "kind": "BORROW", "asset": "USDT", "amount": "5"}


@pytest.fixture(scope="module")
def exchange() -> Iterator[ExchangeProcess]:
    with exchange_process("--processing-ms", "5", accounts=("main", "hedge")) as running:
        yield running


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[Popen[str], dict[str, Any]]]:
    """The sidecar, and what it said when it was ready."""
    with started("serve", "--json", *arguments) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)


def ended(process: Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
    process.send_signal(number)
    return process.communicate(timeout=TIMEOUT_S)


def call(url: str, body: dict[str, Any] | None = None, *, token: str | None = None) -> Any:
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
        return json.load(reply)


# Serving


def test_without_any_configuration_it_brings_an_exchange_of_its_own() -> None:
    with serving("--simulate", "--port", "0") as (process, ready):
        assert ready["is_simulated"]
        assert [account["name"] for account in ready["accounts"]] == ["demo"]
        (address,) = ready["addresses"]
        entry = call(f"{address}/v1/submissions?wait=10", {**BORROW, "account": "demo", "key": "k"})
        assert entry["state"] == "CONFIRMED"
        assert ready["journal"]["is_new"]
        journal = Path(ready["journal"]["path"])
        assert journal.is_file()
        out, err = ended(process)
    assert process.returncode == 0
    assert json.loads(out)["event"] == "stopped"
    events = [json.loads(line) for line in err.splitlines()]
    assert [event["event"] for event in events] == ["QUEUED", "SENT", "CONFIRMED"]
    assert not journal.parent.exists()


def test_people_get_the_address_the_journal_and_something_to_try() -> None:
    with started("serve", "--simulate", "--port", "0") as process:
        assert process.stdout is not None
        told = ""
        while "Ctrl-C stops it." not in told:
            told += process.stdout.readline()
        out, _ = ended(process, signal.SIGINT)
    assert process.returncode == 0
    assert out.startswith("stopped after ")
    assert re.match(r"listening on http://127\.0\.0\.1:\d+\njournal /\S+ \(new, ", told)
    assert "curl 'http://127.0.0.1:" in told


def test_it_goes_on_with_the_journal_it_finds(exchange: ExchangeProcess, tmp_path: Path) -> None:
    path = str(configured(tmp_path, exchange))
    with serving("--config", path) as (process, ready):
        assert ready["journal"] == {"path": str(tmp_path / "scheduler.db"), "is_new": True}
        assert not ready["is_simulated"]
        assert "secret" not in json.dumps(ready["accounts"])
        address = ready["addresses"][0]
        entry = call(f"{address}/v1/submissions?wait=10", {**BORROW, "key": "a"}, token=TOKEN)
        second = run("serve", "--config", path)
        ended(process)
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == (
        f"margin-scheduler: journal {tmp_path}/scheduler.db: it is in use by "
        f"process {process.pid}\n"
    )
    with serving("--config", path) as (process, ready):
        assert ready["journal"]["is_new"] is False
        again = call(f"{ready['addresses'][0]}/v1/submissions/a", token=TOKEN)
        assert (again["state"], again["tran_id"]) == ("CONFIRMED", entry["tran_id"])


def test_traffic_makes_an_exchange_of_its_own_a_lively_one() -> None:
    with serving("--simulate", "--port", "0", "--demo-traffic") as (process, ready):
        assert len(ready["accounts"]) > 1
        (address,) = ready["addresses"]
        _until(lambda: len(call(f"{address}/v1/submissions")["submissions"]) > 2)
        ended(process)
    assert process.returncode == 0


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run("serve", "--simulate", "--port", str(port))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"margin-scheduler: sidecar.listen: cannot listen on 127.0.0.1:{port}: "
        "Address already in use\n"
    )


# Stopping


def test_what_is_in_the_air_when_time_is_up_stays_durable_and_is_found_by_the_next(
    tmp_path: Path,
) -> None:
    with exchange_process("--processing-ms", "5", "--record-lag-ms", "0,100") as slow:
        path = str(configured(tmp_path, slow, sidecar={"drain_timeout_s": 2}))
        slow.control("fail_next", fault="late")
        with serving("--config", path) as (process, ready):
            address = ready["addresses"][0]
            call(f"{address}/v1/submissions", {**BORROW, "key": "late"}, token=TOKEN)
            _until(lambda: slow.statistics()["booked"] == 1)
            ended(process)
            assert process.returncode == 0
        with serving("--config", path) as (process, ready):
            address = ready["addresses"][0]
            entry = call(f"{address}/v1/submissions/late?wait=30", token=TOKEN)
            ended(process)
        assert entry["state"] == "CONFIRMED"
        assert slow.statistics()["booked"] == 1


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with exchange_process("--processing-ms", "5") as slow:
        path = str(configured(tmp_path, slow, sidecar={"drain_timeout_s": 600}))
        slow.control("fail_next", fault="late")
        with serving("--config", path) as (process, ready):
            address = ready["addresses"][0]
            call(f"{address}/v1/submissions", {**BORROW, "key": "late"}, token=TOKEN)
            _until(lambda: slow.statistics()["booked"] == 1)
            process.send_signal(signal.SIGTERM)
            _until(lambda: not _is_ready(address))
            ended(process)
        assert process.returncode == -signal.SIGTERM


def test_a_sidecar_that_something_holds_up_does_not_hold_up_its_machine() -> None:
    program = (
        "import time; from scheduler.cli.serve import ended_if_overdue\n"
        "with ended_if_overdue(0.1): time.sleep(60)"
    )
    held_up = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, timeout=TIMEOUT_S, check=False
    )
    assert held_up.returncode == 1


def _is_ready(address: str) -> bool:
    try:
        call(f"{address}/readyz")
    except (OSError, ValueError):
        return False
    return True


def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(int(TIMEOUT_S / 0.05)):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to be")


# Refusing


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("serve", "--config: is missing, and so is MARGIN_SCHEDULER_CONFIG; or try --simulate"),
        ("serve --config x.toml --simulate", "--config: goes without --simulate"),
        ("serve --config x.toml --port 8900", "--port: is for --simulate"),
        ("serve --config x.toml --demo-traffic", "--demo-traffic: is for --simulate"),
        ("serve --simulate --log-level loud", "--log-level: 'loud' is none of debug, info"),
        ("serve --simulate --port 65536", "serve: Invalid value for '--port'"),
        ("serve --config /nowhere/x.toml", "configuration /nowhere/x.toml: there is no such file"),
    ],
)
def test_options_that_do_not_go_together(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    monkeypatch.delenv("MARGIN_SCHEDULER_CONFIG", raising=False)
    assert app.run(line.split()) == 2
    assert_one_line(capsys, said)


def assert_one_line(capsys: pytest.CaptureFixture[str], said: str) -> None:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith(f"margin-scheduler: {said}")


def _chmod(folder: Path) -> None:
    (folder / "main.secret").chmod(0o644)


def _empty(folder: Path) -> None:
    (folder / "main.secret").write_text("")


def _remove(folder: Path) -> None:
    (folder / "main.secret").unlink()


def _say(found: str, instead: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "margin-scheduler.toml"
        text = path.read_text()
        assert re.search(found, text)
        path.write_text(re.sub(found, instead, text, count=1))

    return change


TWO_CLIENTS = "".join(
    f'\n[clients.{name}]\naccount = "main"\napi_key = "k"\nsecret_file = "token"\n'
    for name in ("a", "b")
)


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_remove, "accounts.main.secret_file: there is no file {folder}/main.secret"),
        (_chmod, "accounts.main.secret_file: other users may open {folder}/main.secret"),
        (_empty, "accounts.main.secret_file: {folder}/main.secret is empty"),
        (
            _say("recv_window_ms = 5000", "recv_window_ms = 60001"),
            "exchange.recv_window_ms: must be 1 to 60000, not 60001",
        ),
        (
            _say(r'base_url = ".*"', 'base_url = "http://10.0.0.1"'),
            "exchange.base_url: plain http to 10.0.0.1 is refused; use https",
        ),
        (_say("127.0.0.1:0", "0.0.0.0:0"), "sidecar.listen: 0.0.0.0:0 is beyond loopback"),
        (_say('token_file = "token"', ""), "sidecar.token_file: is missing"),
        (
            _say(r'(api_key = "\w+")((?:.|\n)*)api_key = "\w+"', r"\1\2\1"),
            "accounts: main and hedge have the same api_key",
        ),
        (
            _say(r"\Z", TWO_CLIENTS),
            "clients.b.api_key: clients.a has the same",
        ),
        (_say("sqlite:///scheduler.db", "mysql://x/y"), "journal: a URL that begins with 'mysql'"),
        (_say(r'url = "sqlite.*"', ""), "journal.url: is missing"),
    ],
)
def test_a_configuration_that_is_unsafe_ends_the_start_with_one_line(
    exchange: ExchangeProcess,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    spoil: Callable[[Path], None],
    said: str,
) -> None:
    path = configured(tmp_path, exchange)
    spoil(tmp_path)
    assert app.run([command, "--config", str(path)]) == 2
    assert_one_line(capsys, said.format(folder=tmp_path))


def _database(folder: Path, *statements: str) -> None:
    path = folder / "scheduler.db"
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def _newer(folder: Path) -> None:
    _database(folder, f"PRAGMA application_id = {JOURNAL_ID}", "PRAGMA user_version = 99")


def _foreign(folder: Path) -> None:
    _database(folder, "CREATE TABLE cats (name TEXT)")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_newer, "journal {folder}/scheduler.db: "),
        (_foreign, "journal {folder}/scheduler.db: "),
        (
            _say("sqlite:///scheduler.db", "sqlite:////nowhere/scheduler.db"),
            "journal /nowhere/scheduler.db: there is no directory /nowhere",
        ),
    ],
    ids=["newer", "foreign", "no directory"],
)
def test_a_journal_that_cannot_be_used_ends_the_start_with_one_line(
    exchange: ExchangeProcess, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    path = configured(tmp_path, exchange)
    spoil(tmp_path)
    refused = run("serve", "--config", str(path))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith(f"margin-scheduler: {said.format(folder=tmp_path)}")


def test_a_name_whose_account_is_another_one_than_before_ends_the_start(
    exchange: ExchangeProcess, tmp_path: Path
) -> None:
    main, hedge = exchange.accounts["main"], exchange.accounts["hedge"]
    path = str(configured(tmp_path, exchange, accounts={"main": main}))
    with serving("--config", path) as (process, _):
        ended(process)
    path = str(configured(tmp_path, exchange, accounts={"main": hedge}))
    refused = run("serve", "--config", path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(
        "margin-scheduler: accounts.main: the journal knows this name as uid "
    )


def test_unfinished_submissions_of_a_name_that_is_gone_end_the_start(
    exchange: ExchangeProcess, tmp_path: Path
) -> None:
    path = str(configured(tmp_path, exchange))
    with serving("--config", path) as (process, ready):
        address = ready["addresses"][0]
        call(f"{address}/v1/accounts/main/pause", {}, token=TOKEN)
        call(f"{address}/v1/submissions", {**BORROW, "key": "waits"}, token=TOKEN)
        ended(process)
    hedge = {"hedge": exchange.accounts["hedge"]}
    refused = run("serve", "--config", str(configured(tmp_path, exchange, accounts=hedge)))
    assert refused.returncode == 2
    assert refused.stderr == (
        "margin-scheduler: accounts: the journal holds unfinished submissions of main, "
        "which is not configured\n"
    )


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("sqlite:////nowhere/x.db", ("/nowhere/x.db", True)),
        ("memory:", ("memory:", True)),
        ("postgresql://me:pass@db:5432/x", ("postgresql://db/x", False)),
    ],
)
def test_the_journal_is_named_without_its_password(url: str, where: tuple[str, bool]) -> None:
    place = journal_place(url)
    assert (place["journal"], place["is_new"]) == where
