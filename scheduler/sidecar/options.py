"""How a sidecar is to be run, and which bots may use its gateway."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A key pair handed to a bot, which never sees the exchange's. Secrets stay out of its repr."""

    name: str
    """What its submissions' keys begin with."""
    account: str
    """Whose borrows and repayments it may ask for."""
    api_key: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    """An HMAC secret; None where it signs with a private key of its own."""
    public_key: str | None = field(default=None, repr=False)
    """The PEM of the public key (RSA or Ed25519) it signs with."""
    patience_ms: int | None = None
    """How long its requests may wait to be sent; None is the sidecar's `gateway_patience_ms`."""
    also: tuple[str, ...] = ()
    """Exact calls, as in `POST /sapi/v1/margin/order`, that are forwarded for it unscheduled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarOptions:
    """What `[sidecar]` and `[clients]` say, checked."""

    listen: tuple[str, ...] = ("127.0.0.1:8900",)
    """`HOST:PORT`, or `unix:PATH`."""
    token: str | None = field(default=None, repr=False)
    """What native calls carry as a bearer token; None asks for none."""
    hosts: tuple[str, ...] = ()
    """Values of `Host` that are taken besides the listen addresses and localhost."""
    trusted_network: bool = False
    """A bind beyond loopback is meant: there is TLS or a private network in front."""
    socket_mode: int = 0o600
    """Of a Unix socket; the peer's uid is checked at 0600 only."""
    drain_timeout_s: float = 8.0
    gateway_patience_ms: int = 8_000
    """How long a client's request may wait to be sent before it is taken back."""
    gateway_adopt_s: float = 60.0
    """How long an equal request may take over one whose client left without an outcome."""
    clients: tuple[Client, ...] = ()
