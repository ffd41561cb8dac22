"""Every number and choice of the simulator is an option of the command."""

from dataclasses import fields
from typing import Any

import pytest

from scheduler.cli import simulator_options
from scheduler.simulator import Options


def test_there_is_an_option_for_each_field() -> None:
    names = {parameter.name for parameter in simulator_options.parameters()}
    assert names | simulator_options.NOT_SERVED == {field.name for field in fields(Options)}
    assert not names & simulator_options.NOT_SERVED


def test_what_is_not_given_is_left_to_the_simulator() -> None:
    nothing = {parameter.name: None for parameter in simulator_options.parameters()}
    assert simulator_options.read(nothing) == {}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "7", "7"),
        ("seed", "monday", "monday"),
        ("epoch_ms", "1700000000000", 1_700_000_000_000),
        ("clock_offset_ms", "-250", -250.0),
        ("processing_ms", "12.5", 12.5),
        ("answers", "at_once", "at_once"),
        ("charge_refusals", False, False),
        ("charge_refusals", True, True),
        ("record_lag_ms", "50,500", (50.0, 500.0)),
        ("record_lag_ms", "50", (50.0, 50.0)),
        ("credit", "0.00000001", "0.00000001"),
        ("assets", "BTC,USDT", ("BTC", "USDT")),
        ("weights", '{"POST /x": 3000}', {"POST /x": 3000}),
        ("fault_status", '{"-1003": 400}', {-1003: 400}),
    ],
)
def test_text_becomes_what_the_simulator_takes(name: str, text: Any, value: Any) -> None:
    assert simulator_options.read({name: text}) == {name: value}
    Options(**{name: value})


def test_the_defaults_that_the_help_shows_are_the_simulators() -> None:
    defaults = Options()
    for parameter in simulator_options.parameters():
        (option,) = parameter.annotation.__metadata__
        shown = option.help.partition("[default: ")[2].removesuffix("]")
        if shown in {"", "yes", "no"}:
            continue
        value = simulator_options.read({parameter.name: shown})[parameter.name]
        default = getattr(defaults, parameter.name)
        assert value == (str(default) if parameter.name == "seed" else default), parameter.name
