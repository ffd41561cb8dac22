"""Another distribution installs a package called `scheduler`: the command tells whose it found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import scheduler
from scheduler.cli import identity
from scheduler.cli.launcher import DISTRIBUTION, stranger

from .command import ROOT, run


def test_our_own_package_is_no_stranger() -> None:
    assert stranger(scheduler) is None
    assert identity.DISTRIBUTION == DISTRIBUTION


@pytest.mark.parametrize("is_known", [True, False])
def test_a_stranger_is_named_in_one_line(tmp_path: Path, is_known: bool) -> None:
    # What installing both into one environment leaves behind: their file over ours.
    ours = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "scheduler", tmp_path / "scheduler", ignore=ours)
    (tmp_path / "scheduler" / "__init__.py").write_text("class Scheduler: ...\n")
    if is_known:
        metadata = tmp_path / "scheduler-0.8.8.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Name: scheduler\nVersion: 0.8.8\n")
        (metadata / "RECORD").write_text("scheduler/__init__.py,,\n")
    ran = run("--version", folder=tmp_path)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.count("\n") == 1
    assert ran.stderr.startswith("margin-scheduler: ")
    named = "scheduler 0.8.8" if is_known else str(tmp_path / "scheduler" / "__init__.py")
    assert named in ran.stderr


def test_a_package_that_hides_ours_altogether_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "scheduler.py").write_text("class Scheduler: ...\n")
    launcher = ROOT / "scheduler" / "cli" / "launcher.py"
    shutil.copy(launcher, tmp_path / "margin_scheduler_command.py")
    code = "import sys, margin_scheduler_command as it; sys.exit(it.main())"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert str(tmp_path / "scheduler.py") in ran.stderr
