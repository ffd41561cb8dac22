"""What the README says is so."""

import asyncio
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from scheduler import Account, Scheduler
from scheduler.simulator import Simulator

from . import virtual_time
from .state_diagram import README, with_diagram

TEXT = README.read_text("utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def run(code: str, names: dict[str, Any]) -> None:
    """Run an example that awaits at its top level, as the body of a coroutine."""
    source = f"async def example():\n{textwrap.indent(code, '    ')}"
    exec(compile(source, "README.md", "exec"), names)
    virtual_time.run(names["example"]())


def test_the_diagram_is_drawn_from_the_rules() -> None:
    assert with_diagram(TEXT) == TEXT


def test_the_ten_lines_run_and_borrow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(PYTHON[0].strip().splitlines()) <= 14

    async def main() -> None:
        async with Simulator(port=None) as sim:
            account = sim.account("main")
            monkeypatch.setattr("scheduler.scheduler.AiohttpTransport", lambda *_, **__: Kept(sim))
            code = PYTHON[0].replace('api_key="..."', f'api_key="{account.api_key}"')
            code = code.replace('secret="..."', f'secret="{account.secret}"')
            names: dict[str, Any] = {}
            exec(f"async def example():\n{textwrap.indent(code, '    ')}", names)
            await names["example"]()
            assert len(sim.ledger.booked()) == 2

    virtual_time.run(main())
    assert capsys.readouterr().out.strip().isdigit()


class Kept:
    """The simulator's transport, which the example's scheduler takes for its own and closes."""

    def __init__(self, sim: Simulator) -> None:
        self.send = sim.transport.send

    async def aclose(self) -> None:
        await asyncio.sleep(0)


def test_the_example_for_tests_runs_as_it_stands() -> None:
    code = next(code for code in PYTHON if "Simulator(seed=7)" in code)
    run(code.replace("Simulator(seed=7)", "Simulator(seed=7, port=None)"), {})


def test_the_lines_about_debts_run() -> None:
    code = next(code for code in PYTHON if "settle_debt" in code)

    async def main() -> None:
        async with Simulator(port=None) as sim:
            sim.set_debt(sim.account("main"), "USDT", "100")
            accounts = [sim.account("main")]
            async with Scheduler(accounts, journal="memory:", transport=sim.transport) as scheduler:
                names: dict[str, Any] = {"scheduler": scheduler}
                exec(f"async def example():\n{textwrap.indent(code, '    ')}", names)
                await names["example"]()
                assert not sim.ledger.debt("main", "USDT")

    virtual_time.run(main())


def test_every_method_that_is_named_exists() -> None:
    for name in ("borrow", "repay", "submit", "wait", "cancel", "quote", "status", "resolve"):
        assert f"`{name}`" in TEXT or f"scheduler.{name}(" in TEXT
        assert callable(getattr(Scheduler, name))
    assert Account("main", api_key="k", secret="s").exclusive
