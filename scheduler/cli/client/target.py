"""Where the sidecar is, and what shows it that we may talk to it."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from ...secret import read_secret_file
from ..failed import Failed

DEFAULT_URL = "http://127.0.0.1:8900"
URL_VARIABLE = "MARGIN_SCHEDULER_URL"
TOKEN_FILE_VARIABLE = "MARGIN_SCHEDULER_TOKEN_FILE"  # noqa: S105 - the name of a variable

_UNIX = "unix:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One sidecar. The token stays out of its repr."""

    name: str
    """As its user wrote it, for messages."""
    base_url: str
    socket: str | None = None
    """The path of its Unix socket; None for TCP."""
    token: str | None = field(default=None, repr=False)


def target(url: str, token_file: Path | None) -> Target:
    """What `--url` and `--token-file` mean. Raises Failed and
    ConfigurationError, naming the one that cannot be used."""
    socket = _socket(url)
    parts = None if socket is not None else _parts(url)
    token = None if token_file is None else _token(token_file)
    if parts is None:
        # The sidecar wants a Host that it knows; a socket has none of its own.
        return Target(name=url, base_url="http://localhost", socket=socket, token=token)
    if token is not None and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise Failed(
            f"--url: {url} would carry the token unencrypted to another machine; "
            "use https, or a tunnel that ends on 127.0.0.1"
        )
    return Target(name=url, base_url=f"{parts.scheme}://{parts.netloc}", token=token)


def _socket(url: str) -> str | None:
    if not url.startswith(_UNIX):
        return None
    path = url.removeprefix(_UNIX)
    if not path:
        raise Failed("--url: unix: needs the path of a socket, as in unix:/run/x/api.sock")
    return path


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        is_usable = False
    if not is_usable:
        raise Failed("--url: must be http://HOST:PORT, https://HOST:PORT or unix:PATH")
    if "@" in parts.netloc:  # and a password would stand in the list of processes
        raise Failed("--url: must not hold a user or a password; the token goes into --token-file")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise Failed("--url: must end after the port: paths are the command's own")
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _token(path: Path) -> str:
    """The token in a file that nobody else can read. Raises ConfigurationError."""
    token = read_secret_file("--token-file", path)
    if not all("!" <= letter <= "~" for letter in token):
        raise Failed(f"--token-file: {path} does not hold one token on one line")
    return token
