"""What systemd is told, where it asked to be told."""

import socket
import sys
from pathlib import Path

import pytest

from scheduler.cli.notify import READY, notify

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no Unix datagrams")


def test_the_socket_of_the_environment_gets_the_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        notify(READY)
        assert listening.recv(100) == b"READY=1"


@pytest.mark.skipif(sys.platform != "linux", reason="names without a file are Linux's")
def test_a_name_without_a_file_is_reached_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@margin-scheduler-test")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0margin-scheduler-test")
        notify(READY)
        assert listening.recv(100) == b"READY=1"


@pytest.mark.parametrize("where", [None, "", "relative", "/nowhere/at/all"])
def test_nobody_there_is_no_trouble(monkeypatch: pytest.MonkeyPatch, where: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if where is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", where)
    notify(READY)
