"""Where the sidecar is, and with which token: what can be wrong about it is said before a call."""

import sys
from pathlib import Path

import pytest

from scheduler import ConfigurationError
from scheduler.cli.client.target import Target, target
from scheduler.cli.failed import Failed


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("canary\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("url", "base_url", "socket"),
    [
        ("http://127.0.0.1:8900", "http://127.0.0.1:8900", None),
        ("http://127.0.0.1:8900/", "http://127.0.0.1:8900", None),
        ("http://[::1]:8900", "http://[::1]:8900", None),
        ("https://sidecar.example", "https://sidecar.example", None),
        ("unix:/run/x/api.sock", "http://localhost", "/run/x/api.sock"),
        ("unix:api.sock", "http://localhost", "api.sock"),
    ],
)
def test_a_url_names_a_host_or_a_socket(url: str, base_url: str, socket: str | None) -> None:
    assert target(url, None) == Target(name=url, base_url=base_url, socket=socket, token=None)


@pytest.mark.parametrize(
    "url",
    [
        *("", "127.0.0.1:8900", "localhost", "ftp://127.0.0.1", "http://", "unix:"),
        *(
            "http://127.0.0.1:port",
            "http://127.0.0.1:99999",
            "http://[::1",
            "http://user@127.0.0.1",
        ),
        *("http://user:canary@127.0.0.1", "http://127.0.0.1/v1", "http://127.0.0.1?token=canary"),
        "http://127.0.0.1#x",
    ],
)
def test_any_other_url_is_refused_by_its_name_and_not_repeated(url: str) -> None:
    with pytest.raises(Failed, match=r"^--url: ") as caught:
        target(url, None)
    assert caught.value.exit_code == 2
    assert "canary" not in str(caught.value)


def test_the_token_is_the_files_text_without_its_line_end(token_file: Path) -> None:
    assert target("http://127.0.0.1:8900", token_file).token == "canary"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1",
        "http://127.9.9.9:1",
        "http://[::1]:1",
        "http://localhost:1",
        "http://LOCALHOST:1",
        "https://sidecar.example",
        "unix:/run/x/api.sock",
    ],
)
def test_a_token_travels_on_this_machine_or_encrypted(url: str, token_file: Path) -> None:
    assert target(url, token_file).token == "canary"


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.5:8900",
        "http://sidecar.example",
        "http://0.0.0.0:8900",
        "http://localhost.example",
        "http://[fe80::1]:8900",
        "http://127.0.0.1.example:8900",
    ],
)
def test_a_token_does_not_travel_in_the_open(url: str, token_file: Path) -> None:
    with pytest.raises(Failed, match=r"--url: .* unencrypted"):
        target(url, token_file)
    assert target(url, None).token is None


@pytest.mark.skipif(sys.platform == "win32", reason="has no modes")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_token_file_that_others_can_open_is_refused(token_file: Path, mode: int) -> None:
    token_file.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"^--token-file: .*chmod 600"):
        target("http://127.0.0.1:8900", token_file)


@pytest.mark.parametrize("content", ["", "\n", "two words", "two\nlines", "naïve", "bell\x07"])
def test_a_file_that_holds_no_token_is_refused(token_file: Path, content: str) -> None:
    token_file.write_text(content)
    with pytest.raises((Failed, ConfigurationError), match=r"^--token-file: ") as caught:
        target("http://127.0.0.1:8900", token_file)
    assert "canary" not in str(caught.value)


def test_a_token_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^--token-file: .*none"):
        target("http://127.0.0.1:8900", tmp_path / "none")


def test_the_token_is_not_shown_by_repr(token_file: Path) -> None:
    assert "canary" not in repr(target("http://127.0.0.1:8900", token_file))
