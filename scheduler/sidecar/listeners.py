"""Where the sidecar listens: reads `sidecar.listen`, refuses what is unsafe, opens the sockets."""

import errno
import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from ..errors import ConfigurationError
from .options import SidecarOptions

UNIX = "unix:"
BACKLOG = 128
PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """`HOST:PORT`; port 0 finds a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a socket file."""

    path: str


Address = TcpAddress | UnixAddress


def checked_addresses(options: SidecarOptions) -> tuple[Address, ...]:
    """Where to listen. Raises ConfigurationError for what is malformed or would let strangers in.

    Reads no more than the options: nothing is opened or looked up.
    """
    if not 0 <= options.socket_mode <= 0o777:
        raise ConfigurationError('sidecar.socket_mode: must be file permissions, such as "0600"')
    addresses = tuple(_address(text) for text in options.listen)
    for address in addresses:
        if isinstance(address, TcpAddress) and not address.is_loopback:
            _check_wide(address, options)
    return addresses


def _address(text: str) -> Address:
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if not path or "\0" in path:
            raise ConfigurationError("sidecar.listen: unix: must be followed by a path")
        return UnixAddress(path)
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if colon and host and port.isascii() and port.isdecimal() and int(port) <= PORT_MAX:
        return TcpAddress(host, int(port))
    raise ConfigurationError(f"sidecar.listen: {text!r} must be HOST:PORT or unix:PATH")


def _check_wide(address: TcpAddress, options: SidecarOptions) -> None:
    where = f"{address.host}:{address.port}"
    if not options.trusted_network:
        raise ConfigurationError(
            f"sidecar.listen: {where} is beyond loopback; put TLS or a private network in front "
            "and set sidecar.trusted_network = true"
        )
    if options.token is None:
        raise ConfigurationError(
            f"sidecar.token_file: required, because {where} is beyond loopback"
        )


def open_tcp(address: TcpAddress) -> list[socket.socket]:
    """The bound sockets, one for each address that the host has here. Raises ConfigurationError."""
    opened: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, where in dict.fromkeys(found):
            opened.append(_bound(family, where))
    except OSError as error:
        for sock in opened:
            sock.close()
        raise _cannot_listen(f"{address.host}:{address.port}", error) from None
    return opened


def _bound(family: int, where: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two processes share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
    except OSError:
        sock.close()
        raise
    return sock


def open_unix(address: UnixAddress, mode: int) -> socket.socket:
    """The bound socket, whose file has this mode from its first moment on. What a dead process
    left there is replaced. Raises ConfigurationError."""
    sock = None
    try:
        if not hasattr(socket, "AF_UNIX"):
            raise OSError(errno.EAFNOSUPPORT, "there are no Unix sockets on this system")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        _remove_dead(address.path)
        before = os.umask(0o777 & ~mode)
        try:
            sock.bind(address.path)
        finally:
            os.umask(before)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise _cannot_listen(f"{UNIX}{address.path}", error) from None
    return sock


def _remove_dead(path: str) -> None:
    """Removes a socket that nobody listens on; raises OSError if somebody does."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "a file that is not a socket is in its place")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


@dataclass(frozen=True, slots=True)
class SocketFile:
    """The file of a Unix socket, to be removed in the end unless somebody replaced it."""

    path: str
    inode: int

    def remove(self) -> None:
        with suppress(OSError):
            if os.lstat(self.path).st_ino == self.inode:
                os.unlink(self.path)


def socket_file(path: str) -> SocketFile:
    return SocketFile(path, os.lstat(path).st_ino)


def url(sock: socket.socket) -> str:
    """How a client writes where this socket listens."""
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return f"{UNIX}{os.path.abspath(name)}"
    return f"http://{_bracketed(name[0])}:{name[1]}"


def host_values(urls: Iterable[str]) -> set[str]:
    """What clients of these addresses put into `Host`, in lower case."""
    hosts: set[str] = set()
    for each in urls:
        if each.startswith(UNIX):
            continue
        host, _, port = each.removeprefix("http://").rpartition(":")
        for name in (host, "localhost", "127.0.0.1"):
            hosts.add(f"{name}:{port}".lower())
            if port == "80":
                hosts.add(name.lower())
    return hosts


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _cannot_listen(where: str, error: OSError) -> ConfigurationError:
    why = error.strerror or str(error)
    return ConfigurationError(f"sidecar.listen: cannot listen on {where}: {why}")
