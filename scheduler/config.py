"""A whole configuration: what a configuration file says of the scheduler and of its sidecar."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from .account import Account
from .errors import ConfigurationError
from .secret import read_file
from .settings import Settings, settings_of
from .sidecar.gateway import checked_also
from .sidecar.gateway.clients import NAME_MAX
from .sidecar.listeners import UNIX, TcpAddress, checked_addresses
from .sidecar.options import Client, SidecarOptions
from .tables import Tables, read_tables

VARIABLE = "MARGIN_SCHEDULER_CONFIG"
"""Names the configuration file where no option does."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")
_MODE = re.compile(r"0?[0-7]{3}")
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What `serve` runs. Secrets stay out of its repr."""

    path: Path
    settings: Settings
    sidecar: SidecarOptions


def configured_path(given: Path | None) -> Path | None:
    """The configuration file to use: the given one, or the environment's; None for neither."""
    named = os.environ.get(VARIABLE)
    return given or (Path(named) if named else None)


def read_configuration(path: str | Path) -> Configuration:
    """Read a configuration file, and the files and variables that it names.

    Raises ConfigurationError, in one line that begins with the setting.
    """
    tables = read_tables(path)
    settings = settings_of(tables)
    return Configuration(
        path=tables.source.path,
        settings=settings,
        sidecar=_sidecar(tables, _clients(tables, settings.accounts)),
    )


# The sidecar


def _sidecar(tables: Tables, clients: tuple[Client, ...]) -> SidecarOptions:
    table = tables.sidecar
    if not table.listen:
        raise ConfigurationError("sidecar.listen: names no address; give at least one")
    for host in table.hosts:
        if not _HOST.fullmatch(host):
            raise ConfigurationError(f"sidecar.hosts: {host!r} is not of the form HOST[:PORT]")
    folder = tables.source.folder
    options = SidecarOptions(
        listen=tuple(_from_folder(address, folder) for address in table.listen),
        token=_token(tables),
        hosts=table.hosts,
        trusted_network=table.trusted_network,
        socket_mode=_socket_mode(table.socket_mode),
        drain_timeout_s=table.drain_timeout_s,
        gateway_patience_ms=table.gateway_patience_ms,
        gateway_adopt_s=table.gateway_adopt_s,
        clients=clients,
    )
    checked_addresses(options)
    if options.token is None:
        _check_needs_no_token(options)
    return options


def _from_folder(address: str, folder: Path) -> str:
    """A socket's path is relative to the configuration file, as every path in it."""
    path = address.removeprefix(UNIX)
    return UNIX + str(folder / path) if path and path != address else address


def _check_needs_no_token(options: SidecarOptions) -> None:
    why = "is missing; callers have to show a token because"
    for text, address in zip(options.listen, checked_addresses(options), strict=True):
        if isinstance(address, TcpAddress):
            raise ConfigurationError(
                f"sidecar.token_file: {why} every user of this machine can reach {text}"
            )
    if options.socket_mode & 0o077:
        mode = f'"{options.socket_mode:04o}"'
        raise ConfigurationError(
            f"sidecar.token_file: {why} sidecar.socket_mode = {mode} lets other users connect"
        )


def _socket_mode(text: str) -> int:
    if not _MODE.fullmatch(text):
        raise ConfigurationError('sidecar.socket_mode: must be an octal mode, such as "0600"')
    return int(text, 8)


def _token(tables: Tables) -> str | None:
    ways = tables.token()
    token = ways.read()
    if token is not None and not _TOKEN.fullmatch(token):
        raise ConfigurationError(f"{ways.given}: must be printable ASCII without spaces")
    return token


# Clients


def _clients(tables: Tables, accounts: tuple[Account, ...]) -> tuple[Client, ...]:
    holders = {account.api_key: f"accounts.{account.name}" for account in accounts}
    names = {account.name for account in accounts}
    clients = []
    for name, table in tables.clients.items():
        if name in names:
            raise ConfigurationError(f"clients.{name}: an account has this name")
        if len(name) > NAME_MAX:
            raise ConfigurationError(f"clients.{name}: a name has at most {NAME_MAX} characters")
        if table.account not in names:
            raise ConfigurationError(f"clients.{name}.account: {table.account!r} is not configured")
        if not _TOKEN.fullmatch(table.api_key):
            raise ConfigurationError(f"clients.{name}.api_key: must be plain text")
        if table.api_key in holders:
            raise ConfigurationError(
                f"clients.{name}.api_key: {holders[table.api_key]} has the same"
            )
        holders[table.api_key] = f"clients.{name}"
        clients.append(_client(tables, name))
    return tuple(clients)


def _client(tables: Tables, name: str) -> Client:
    table, ways = tables.clients[name], tables.secret_of_client(name)
    secret, public_key = ways.read(), _public_key(tables, name)
    if secret is not None and public_key is not None:
        raise ConfigurationError(
            f"clients.{name}.public_key_file: {ways.given} is there too, and one is enough"
        )
    if secret is None and public_key is None:
        raise ConfigurationError(f"{ways.setting}: is missing; give it, or public_key_file")
    if secret is not None and "-----BEGIN" in secret:
        raise ConfigurationError(
            f"{ways.given}: is a PEM; a client that signs with a private key gives its "
            "public_key_file here"
        )
    for call in table.also:
        try:
            checked_also(call)
        except ConfigurationError as error:
            raise ConfigurationError(f"clients.{name}.{error}") from None
    return Client(
        name=name,
        account=table.account,
        api_key=table.api_key,
        secret=secret,
        public_key=public_key,
        patience_ms=table.patience_ms,
        also=table.also,
    )


def _public_key(tables: Tables, name: str) -> str | None:
    file = tables.clients[name].public_key_file
    if file is None:
        return None
    setting, path = f"clients.{name}.public_key_file", tables.source.folder / file
    pem, status = read_file(setting, path)
    if sys.platform != "win32" and status.st_mode & 0o022:
        raise ConfigurationError(f"{setting}: other users may write to {path}; chmod 644 it")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{setting}: {path} holds no public key in PEM") from None
    if not isinstance(key, RSAPublicKey | Ed25519PublicKey):
        raise ConfigurationError(f"{setting}: the key is neither RSA nor Ed25519")
    return pem.strip()
