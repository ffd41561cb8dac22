"""Where the sidecar may listen, what it refuses, and what it leaves behind."""

import os
import socket
import stat
from pathlib import Path

import pytest

from scheduler import ConfigurationError
from scheduler.sidecar import SidecarOptions
from scheduler.sidecar.listeners import (
    TcpAddress,
    UnixAddress,
    checked_addresses,
    host_values,
    open_tcp,
    open_unix,
    socket_file,
    url,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8900", TcpAddress("127.0.0.1", 8900)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("[::1]:8900", TcpAddress("::1", 8900)),
        ("127.9.9.9:1", TcpAddress("127.9.9.9", 1)),
        ("unix:/run/x.sock", UnixAddress("/run/x.sock")),
        ("unix:x.sock", UnixAddress("x.sock")),
    ],
)
def test_what_can_be_listened_on(text: str, address: object) -> None:
    assert checked_addresses(SidecarOptions(listen=(text,))) == (address,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8900",
        ":8900",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "unix:",
        "unix:/a\0b",
        "127.0.0.1:٣",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sidecar\.listen"):
        checked_addresses(SidecarOptions(listen=(text,), token="t"))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:8900",
        "[::]:8900",
        "192.168.1.5:8900",
        "10.0.0.1:1",
        "myhost:8900",
        "127.0.0.1.evil:1",
        "::ffff:10.0.0.1:80",
    ],
)
def test_beyond_loopback_only_if_that_is_declared_and_there_is_a_token(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sidecar\.listen: .*trusted_network"):
        checked_addresses(SidecarOptions(listen=(text,), token="t"))
    with pytest.raises(ConfigurationError, match=r"sidecar\.token_file"):
        checked_addresses(SidecarOptions(listen=(text,), trusted_network=True))
    checked_addresses(SidecarOptions(listen=(text,), trusted_network=True, token="t"))


def test_a_mode_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match=r"sidecar\.socket_mode"):
        checked_addresses(SidecarOptions(socket_mode=0o1777))


def test_a_port_in_use_is_one_sentence() -> None:
    [taken] = open_tcp(TcpAddress("127.0.0.1", 0))
    with taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"sidecar\.listen: .*127.0.0.1:{port}"):
            open_tcp(TcpAddress("127.0.0.1", port))


def test_the_url_names_the_real_port() -> None:
    [sock] = open_tcp(TcpAddress("127.0.0.1", 0))
    with sock:
        assert url(sock) == f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_a_socket_file_has_its_mode_from_the_beginning(tmp_path: Path, mode: int) -> None:
    path = str(tmp_path / "api.sock")
    before = os.umask(0o022)
    try:
        with open_unix(UnixAddress(path), mode):
            assert stat.S_IMODE(os.stat(path).st_mode) == mode
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_what_a_dead_process_left_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "api.sock")
    open_unix(UnixAddress(path), 0o600).close()
    with open_unix(UnixAddress(path), 0o600) as living:
        living.listen()
        with pytest.raises(ConfigurationError, match="in use"):
            open_unix(UnixAddress(path), 0o600)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(ConfigurationError, match=r"sidecar\.listen"):
        open_unix(UnixAddress(str(path)), 0o600)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("path", ["/nowhere/at/all/x.sock", "/" + "x" * 200])
def test_a_path_that_cannot_be_is_one_sentence(path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^sidecar\.listen: cannot listen on unix:"):
        open_unix(UnixAddress(path), 0o600)


def test_a_socket_file_that_somebody_replaced_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with open_unix(UnixAddress(str(path)), 0o600):
        ours = socket_file(str(path))
        path.unlink()
        path.write_text("theirs")
        ours.remove()
        assert path.read_text() == "theirs"
        path.unlink()
        ours.remove()


def test_which_hosts_are_its_own() -> None:
    assert host_values(["http://127.0.0.1:8900", "unix:/x"]) == {"127.0.0.1:8900", "localhost:8900"}
    assert "[::1]:8900" in host_values(["http://[::1]:8900"])
    assert {"localhost", "127.0.0.1:80"} <= host_values(["http://127.0.0.1:80"])
