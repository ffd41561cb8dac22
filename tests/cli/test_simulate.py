"""`margin-scheduler simulate` as a process: what it prints, serves, and says at the end."""

import hashlib
import hmac
import json
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from .command import TIMEOUT_S, run, started

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM to catch")


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as reply:
        return json.load(reply)


def borrow(base_url: str, account: dict[str, Any], amount: str) -> Any:
    query = urlencode(
        {
            "asset": "USDT",
            "isIsolated": "FALSE",
            "amount": amount,
            "type": "BORROW",
            "timestamp": time.time_ns() // 1_000_000,
        }
    )
    secret, key = account["secret"].encode(), {"X-MBX-APIKEY": account["api_key"]}
    signature = hmac.new(secret, query.encode(), hashlib.sha256).hexdigest()
    request = urllib.request.Request(
        f"{base_url}/sapi/v1/margin/borrow-repay",
        data=f"{query}&signature={signature}".encode(),
        headers=key,
    )
    with urllib.request.urlopen(request, timeout=5) as reply:
        return json.load(reply)


def test_it_serves_an_exchange_until_it_is_told_to_stop() -> None:
    arguments = ["--account", "main", "--account", "hedge", "--processing-ms", "5", "--json"]
    with started("simulate", *arguments) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready"
        assert [account["name"] for account in ready["accounts"]] == ["main", "hedge"]
        base_url = ready["base_url"]

        time_ms = get(f"{base_url}/api/v3/time")["serverTime"]
        assert abs(time_ms - time.time() * 1000) < 5_000, "its time has to be this machine's"
        tran_id = borrow(base_url, ready["accounts"][1], "12.5")["tranId"]
        ledger = get(f"{base_url}/simulator/ledger")
        assert [t["tran_id"] for t in ledger["transactions"]] == [tran_id]

        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, err) == (0, "")
    stopped = json.loads(out)
    assert stopped["event"] == "stopped"
    assert stopped["statistics"]["arrivals"] == 2
    assert stopped["statistics"]["accounts"]["hedge"]["debts"] == {"USDT": "12.5"}


def test_people_get_keys_something_to_try_and_a_summary() -> None:
    with started("simulate", "--fault=-3045=1") as process:
        assert process.stdout is not None
        told = ""
        while "Ctrl-C stops it." not in told:
            told += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, err) == (0, "")
    assert "simulated" in told
    (base_url,) = set(re.findall(r"http://127\.0\.0\.1:\d+", told))
    assert f"curl {base_url}/api/v3/time" in told
    assert re.search(r"^secret   \w{64}$", told, re.MULTILINE)
    assert "0 requests arrived" in out


def test_a_scenario_happens_and_options_go_before_its_own(tmp_path: Path) -> None:
    scenario = tmp_path / "debt.toml"
    scenario.write_text(
        """
        [options]
        interest = "none"
        first_tran_id = 5
        [[events]]
        at_s = 0
        call = "order"
        account = "main"
        asset = "USDT"
        amount = "3"
        """
    )
    arguments = ["--scenario", str(scenario), "--first-tran-id", "70000", "--json"]
    with started("simulate", *arguments) as process:
        assert process.stdout is not None
        base_url = json.loads(process.stdout.readline())["base_url"]
        for _ in range(50):
            transactions = get(f"{base_url}/simulator/ledger")["transactions"]
            if transactions:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert [t["amount"] for t in transactions] == ["3"]
    assert transactions[0]["tran_id"] > 70_000


def test_a_scenario_that_goes_wrong_ends_it(tmp_path: Path) -> None:
    scenario = tmp_path / "wrong.toml"
    scenario.write_text('[[events]]\nat_s = 0\ncall = "drain"\nasset = "BTC"\nhow = "all"\n')
    ran = run("simulate", "--scenario", str(scenario), "--json")
    assert ran.returncode == 2
    assert ran.stderr.startswith("margin-scheduler: --scenario: drain: ")
    assert ran.stderr.count("\n") == 1
