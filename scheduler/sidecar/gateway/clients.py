"""Who may use the gateway: bots with key pairs of their own, and whoever holds an account's."""

import logging
from dataclasses import dataclass

from ...errors import ConfigurationError
from ...scheduler import Scheduler
from ...signing import signer
from ..options import Client, SidecarOptions
from .also import checked_also
from .signatures import PublicKeyVerifier, SecretVerifier, Verifier

NAME_MAX = 36
"""A client's name and a key made up here fit into one key of the scheduler's."""

_log = logging.getLogger("margin_scheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A client, as the gateway knows it."""

    name: str
    account: str
    verifier: Verifier
    patience_s: float
    also: frozenset[tuple[str, str]] = frozenset()

    def __repr__(self) -> str:
        return f"<Caller {self.name}>"


def callers(scheduler: Scheduler, options: SidecarOptions) -> dict[str, Caller]:
    """Everybody by API key. Raises ConfigurationError."""
    patience_s = options.gateway_patience_ms / 1000
    by_key: dict[str, Caller] = {}
    names: set[str] = set()
    for account, credentials in scheduler.credentials.items():
        if len(account) > NAME_MAX:
            _log.warning("accounts.%s: its own key is not taken by the gateway", account)
            continue
        names.add(account)
        by_key[credentials.api_key] = Caller(
            name=account,
            account=account,
            verifier=SecretVerifier(credentials.signer),
            patience_s=patience_s,
        )
    for client in options.clients:
        where = f"clients.{client.name}"
        if client.name in names:
            raise ConfigurationError(f"{where}: an account or another client has this name")
        if len(client.name) > NAME_MAX:
            raise ConfigurationError(f"{where}: a name has at most {NAME_MAX} characters")
        if client.api_key in by_key:
            raise ConfigurationError(f"{where}.api_key: somebody else has it")
        if client.account not in scheduler.credentials:
            raise ConfigurationError(f"{where}.account: {client.account!r} is not configured")
        names.add(client.name)
        by_key[client.api_key] = _caller(client, patience_s)
    return by_key


def _caller(client: Client, patience_s: float) -> Caller:
    where = f"clients.{client.name}"
    try:
        also = frozenset(checked_also(call) for call in client.also)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}.{error}") from None
    own_patience_ms = client.patience_ms
    return Caller(
        name=client.name,
        account=client.account,
        verifier=_verifier(client),
        patience_s=patience_s if own_patience_ms is None else own_patience_ms / 1000,
        also=also,
    )


def _verifier(client: Client) -> Verifier:
    where = f"clients.{client.name}"
    if (client.secret is None) == (client.public_key is None):
        raise ConfigurationError(f"{where}: needs a secret or a public key, and not both")
    try:
        if client.public_key is not None:
            return PublicKeyVerifier(client.public_key)
        assert client.secret is not None
        return SecretVerifier(signer(client.secret))
    except ValueError as error:
        field = "secret" if client.public_key is None else "public_key"
        raise ConfigurationError(f"{where}.{field}: {error}") from None
