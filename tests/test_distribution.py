"""What is installed by pip: everything that the command needs, from the sources and from a copy of
them."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_sdist, build_wheel

ROOT = Path(__file__).parents[1]


LAUNCHER = "scheduler/cli/launcher.py"
"""It is moved out of the package: nothing that is installed may look for it there."""


def modules() -> set[str]:
    """All of ours, as paths in a wheel."""
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "scheduler").rglob("*.py")}
    return package - {LAUNCHER} | {"margin_scheduler_command.py"}


def wheel_of(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> zipfile.ZipFile:
    monkeypatch.chdir(source)
    return zipfile.ZipFile(folder / build_wheel(str(folder)))


def test_a_wheel_holds_every_module_and_its_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = wheel_of(ROOT, tmp_path, monkeypatch)
    assert modules() <= set(wheel.namelist())
    wheel.extractall(tmp_path / "site")
    code = "import sys, margin_scheduler_command as it; sys.exit(it.main())"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, "--help"],
        env={"PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "serve" in ran.stdout


def test_the_sources_that_are_handed_on_make_the_same_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with tarfile.open(tmp_path / build_sdist(str(tmp_path))) as sources:
        sources.extractall(tmp_path / "sources", filter="data")
    (copy,) = (tmp_path / "sources").iterdir()
    assert modules() <= set(wheel_of(copy, tmp_path, monkeypatch).namelist())
