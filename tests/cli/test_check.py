"""`margin-scheduler check`: a line for each thing that was looked at, and the exit code."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler import Account
from scheduler.cli import app

from ..exchange_process import ExchangeProcess, exchange_process
from .configuration import TOKEN, configured


@pytest.fixture(scope="module")
def exchange() -> Iterator[ExchangeProcess]:
    with exchange_process(accounts=("main", "hedge")) as running:
        yield running


def checked(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> tuple[int, str]:
    code = app.run(["check", "--config", str(path), *options])
    captured = capsys.readouterr()
    assert captured.err == ""
    assert TOKEN not in captured.out
    return code, captured.out


def test_a_line_for_each_thing_and_zero_when_all_is_well(
    capsys: pytest.CaptureFixture[str], exchange: ExchangeProcess, tmp_path: Path
) -> None:
    path = configured(tmp_path, exchange)
    code, out = checked(capsys, path)
    lines = out.splitlines()
    assert code == 0
    assert [line.split(":")[0] for line in lines] == [
        "ok      configuration",
        "ok      journal.url",
        "ok      sidecar.listen",
        "ok      exchange.base_url",
        "ok      accounts.main",
        "ok      accounts.hedge",
    ]
    assert f"{tmp_path}/scheduler.db (new)" in lines[1]
    assert "this machine's clock is" in lines[3]
    assert "uid " in lines[4]
    assert not (tmp_path / "scheduler.db").exists(), "looking must not make a journal"
    assert all(account.secret not in out for account in exchange.accounts.values())


def test_the_same_as_json(
    capsys: pytest.CaptureFixture[str], exchange: ExchangeProcess, tmp_path: Path
) -> None:
    code, out = checked(capsys, configured(tmp_path, exchange), "--json")
    told: dict[str, Any] = json.loads(out)
    assert (code, told["ok"]) == (0, True)
    assert {finding["mark"] for finding in told["findings"]} == {"ok"}
    assert told["findings"][-1]["subject"] == "accounts.hedge"


def test_a_key_that_the_exchange_does_not_know_fails(
    capsys: pytest.CaptureFixture[str], exchange: ExchangeProcess, tmp_path: Path
) -> None:
    unknown = Account("main", api_key="nobody", secret="knows")
    path = configured(tmp_path, exchange, accounts={"main": unknown})
    code, out = checked(capsys, path)
    assert code == 2
    assert "failed  accounts.main: the exchange does not answer for its key: HTTP 4" in out


def test_a_uid_that_is_another_one_fails(
    capsys: pytest.CaptureFixture[str], exchange: ExchangeProcess, tmp_path: Path
) -> None:
    path = configured(tmp_path, exchange)
    path.write_text(path.read_text().replace("[accounts.main]", "[accounts.main]\nuid = 7"))
    code, out = checked(capsys, path)
    assert code == 2
    assert "failed  accounts.main: is 7, and its key belongs to uid" in out


def test_a_key_without_margin_fails_by_the_exchanges_word(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with exchange_process() as exchange:
        exchange.control("set_account_refusal", account="main", code=-3003)
        code, out = checked(capsys, configured(tmp_path, exchange))
    assert code == 2
    assert "failed  accounts.main: its key may not borrow and repay (enableMargin is off" in out


def test_an_exchange_that_is_not_there_fails(
    capsys: pytest.CaptureFixture[str], exchange: ExchangeProcess, tmp_path: Path
) -> None:
    path = configured(tmp_path, exchange)
    path.write_text(path.read_text().replace(exchange.base_url, "http://127.0.0.1:9"))
    code, out = checked(capsys, path)
    assert code == 2
    assert out.splitlines()[-1] == (
        "failed  exchange.base_url: http://127.0.0.1:9 does not tell the time"
    )


def test_a_wrong_configuration_is_one_line_on_standard_error_and_one_of_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[journal]\nurl = 7\n")
    line = "journal.url: must be a string, not a whole number"
    assert app.run(["check", "--config", str(path)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"margin-scheduler: {line}\n")
    assert app.run(["check", "--config", str(path), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "ok": False,
        "findings": [
            {
                "mark": "failed",
                "subject": "journal.url",
                "detail": "must be a string, not a whole number",
            }
        ],
    }


def test_it_needs_a_configuration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MARGIN_SCHEDULER_CONFIG", raising=False)
    assert app.run(["check"]) == 2
    assert capsys.readouterr().err == (
        "margin-scheduler: --config: is missing, and so is MARGIN_SCHEDULER_CONFIG\n"
    )


def test_the_environment_may_name_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MARGIN_SCHEDULER_CONFIG", str(tmp_path / "nowhere.toml"))
    assert app.run(["check"]) == 2
    assert "nowhere.toml: there is no such file" in capsys.readouterr().err
