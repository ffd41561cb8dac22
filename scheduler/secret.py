"""Where a secret comes from: a file of its own, the environment, or the configuration itself.

What is refused is named by its setting, and nothing of a secret's content is ever repeated.
"""

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from .errors import ConfigurationError
from .signing import signer

SECRET_MAX_BYTES = 64 * 1024
"""No key is that long; something else was named by mistake."""


@dataclass(frozen=True, slots=True)
class Source:
    """The configuration file, as far as secrets are concerned."""

    path: Path
    mode: int

    @property
    def folder(self) -> Path:
        """What relative paths are relative to."""
        return self.path.parent

    def check_may_hold_secrets(self, setting: str) -> None:
        """Raises ConfigurationError where other users may open the file."""
        if sys.platform != "win32" and self.mode & 0o077:
            raise ConfigurationError(
                f"{setting}: a secret stands in {self.path}, which other users may open "
                f"(mode {self.mode:04o}); chmod 600 it"
            )


@dataclass(frozen=True, slots=True)
class Ways:
    """The settings that can give one secret, as the configuration has them."""

    setting: str
    """Of which the others are named after: `accounts.main.secret`."""
    value: str | None
    file: str | None
    env: str | None
    source: Source

    def __repr__(self) -> str:
        return f"<Ways {self.setting}>"

    @property
    def given(self) -> str | None:
        """The setting that is there; None where none is. Raises ConfigurationError for two."""
        ways = {"": self.value, "_file": self.file, "_env": self.env}
        given = [self.setting + ending for ending, way in ways.items() if way is not None]
        if len(given) > 1:
            raise ConfigurationError(f"{given[1]}: {given[0]} is there too, and one is enough")
        return given[0] if given else None

    def read(self) -> str | None:
        """The secret; None where no setting gives one. Raises ConfigurationError."""
        setting = self.given
        if setting is None:
            return None
        if self.file is not None:
            return read_secret_file(setting, self.source.folder / self.file)
        if self.env is not None:
            return from_environment(setting, self.env)
        assert self.value is not None
        self.source.check_may_hold_secrets(setting)
        return _not_empty(setting, self.value, "it")


def read_secret_file(setting: str, path: Path) -> str:
    """The file's text without white space around it.

    Raises ConfigurationError where it is missing, empty, no plain file, or open to others.
    """
    content, status = read_file(setting, path)
    if sys.platform != "win32" and status.st_mode & _closed_bits(status):
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigurationError(
            f"{setting}: other users may open {path} (mode {mode:04o}); chmod 600 it"
        )
    return _not_empty(setting, content, str(path))


def read_file(setting: str, path: Path) -> tuple[str, os.stat_result]:
    """The text of a small plain file, and what the system says of that very file.

    Raises ConfigurationError.
    """
    try:
        # Opened first and looked at then, so that nobody can put another file in between; and
        # without waiting for whoever might write to a pipe.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigurationError(f"{setting}: {path} is no plain file")
            content = file.read(SECRET_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"{setting}: there is no file {path}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such name is possible"
        raise ConfigurationError(f"{setting}: {path}: {why}") from None
    if len(content) > SECRET_MAX_BYTES:
        raise ConfigurationError(f"{setting}: {path} is longer than {SECRET_MAX_BYTES} bytes")
    try:
        return content.decode(), status
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}: {path} is not text") from None


def from_environment(setting: str, name: str) -> str:
    """The value of an environment variable. Raises ConfigurationError where it is not set."""
    value = os.environ.get(name)
    if value is None:
        raise ConfigurationError(f"{setting}: the environment has no {name}")
    return _not_empty(setting, value, f"{name} in the environment")


def without_passphrase(setting: str, secret: str, passphrase: str) -> str:
    """An encrypted PEM as a plain one, which from here on lives in memory alone.

    Raises ConfigurationError.
    """
    try:
        signer(secret, passphrase=passphrase.encode())
    except ValueError as error:
        raise ConfigurationError(f"{setting}: {error}") from None
    key = load_pem_private_key(secret.encode(), passphrase.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _closed_bits(status: os.stat_result) -> int:
    """What of a secret file's mode must not be set.

    A file of another owner is ours to read only because somebody made it so, as systemd and
    Kubernetes do through its group; our own is for nobody else.
    """
    return 0o077 if status.st_uid == os.geteuid() else 0o037


def _not_empty(setting: str, text: str, where: str) -> str:
    if not text.strip():
        raise ConfigurationError(f"{setting}: {where} is empty")
    return text.strip()
