"""What the command says about itself."""

import re

import pytest

from scheduler.cli import app
from scheduler.cli.identity import version

COMMANDS = [
    *("demo", "simulate", "serve", "check"),
    *("borrow", "repay", "status", "list", "show", "cancel", "resolve", "pause", "resume"),
    *("debt", "settle-debt", "max-borrowable", "asset", "journal"),
]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = app.run(arguments)
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, captured.out


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)])
def test_every_help_ends_in_examples(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, out = said(capsys, *arguments, "--help")
    assert code == 0
    examples = out.partition("Examples:\n")[2].splitlines()
    assert len(examples) >= 2
    beginning = " ".join(["  margin-scheduler", *arguments])
    assert all(line.strip().startswith(beginning.strip()) for line in examples)


def test_every_command_is_known_to_this_test(capsys: pytest.CaptureFixture[str]) -> None:
    _, out = said(capsys, "--help")
    listed = out.partition("Commands:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^  ([\w-]+)", listed, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_can_be_typed(capsys: pytest.CaptureFixture[str], name: str) -> None:
    _, out = said(capsys, name, "--help")
    for line in out.partition("Examples:\n")[2].splitlines():
        flags = re.findall(r"--[a-z-]+", line.partition("|")[0])
        assert all(f"  {flag}" in out for flag in flags), line


def test_help_fits_into_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        _, out = said(capsys, name, "--help")
        assert max(len(line) for line in out.splitlines()) <= 80


def test_no_command_shows_the_help_and_is_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = said(capsys)
    assert code == 2
    assert out.startswith("Usage: margin-scheduler")


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--version") == (0, f"margin-scheduler {version()}\n")
