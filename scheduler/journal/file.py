"""The file of a SQLite journal: whether it is safe to use, and who uses it now."""

import os
import re
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import ConfigurationError

if sys.platform != "win32":
    import fcntl

# Where a lock may not hold, or a sync may not reach a disk. Local ones by other names (FUSE itself,
# virtiofs, overlay) are let through.
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gpfs"}
    | {"lustre", "ncpfs", "nfs", "nfs4", "orangefs", "smb3", "smbfs", "webdav"}
    | {"fuse.ceph", "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs"}
    | {"fuse.sshfs", "macfuse.sshfs", "osxfuse.sshfs"}
)


def prepare(path: str, *, create: bool) -> None:
    """Makes sure that there is a file that may be used: an empty one, 0600, if there was none.

    Raises ConfigurationError where it is missing (and not to be made), no plain file, on a network
    file system, or open to other users. It never opens a file that exists: closing it again would
    drop the locks that this process may hold on it.
    """
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise ConfigurationError(f"journal {path}: there is no directory {directory}")
    file_system = mounted_at(_mounts(), directory)
    if file_system in NETWORK_FILE_SYSTEMS:
        raise ConfigurationError(
            f"journal {path}: it would be on a network file system ({file_system}),"
            " where its lock and its durability cannot be relied on"
        )
    for each in (path, path + "-wal"):
        _check_mode(path, each)
    if not os.path.exists(path):
        if not create:
            raise ConfigurationError(f"journal {path}: there is no such file")
        _make(path)


def identity(path: str) -> tuple[int, int] | None:
    """Which file stands under that path, None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def holder(path: str) -> str:
    """Who has a lock on the file, as far as the system tells: `process 1234`.

    Only for a file that has just been refused with "locked".
    """
    try:
        pid = _locking_pid(path)
    except OSError:
        pid = 0
    return f"process {pid}" if pid > 0 else "another process"


@contextmanager
def appearing(path: str) -> Iterator[str]:
    """The path of an empty file, 0600, that becomes `path` once its content is durable, or goes.

    Raises ConfigurationError if something has that name already, or its directory is missing.
    """
    path = os.path.realpath(path)
    part = path + ".part"
    if os.path.lexists(path):
        raise ConfigurationError(f"{path} exists already")
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be made: {error.strerror}") from error
    try:
        yield part
        os.fsync(descriptor)
        os.replace(part, path)
        sync_directory(os.path.dirname(path))
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    finally:
        os.close(descriptor)


def sync_directory(directory: str) -> None:
    """Makes the names in a directory durable."""
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def mounted_at(mounts: list[tuple[str, str]], directory: str) -> str:
    """The type of the file system that holds a directory, given (mount point, type) in the order of
    mounting; empty if none does."""
    found, length = "", -1
    for point, kind in mounts:
        prefix = point.rstrip("/") + "/"
        if (directory + "/").startswith(prefix) and len(prefix) >= length:
            found, length = kind, len(prefix)
    return found


def parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """Mount points and types in Linux's /proc/self/mountinfo."""
    mounts = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4])
        mounts.append((point, right.split()[0]))
    return mounts


def parse_mount_output(text: str) -> list[tuple[str, str]]:
    """Mount points and types in the output of macOS's `mount`."""
    return re.findall(r"^.* on (/.*) \(([^,)]+)", text, flags=re.MULTILINE)


def _mounts() -> list[tuple[str, str]]:
    """Nothing where the system does not tell."""
    try:
        if sys.platform == "darwin":
            listed = subprocess.run(
                ["/sbin/mount"], capture_output=True, text=True, timeout=5, check=True
            )
            return parse_mount_output(listed.stdout)
        return parse_mountinfo(Path("/proc/self/mountinfo").read_text())
    except (OSError, subprocess.SubprocessError):
        return []


def _check_mode(path: str, file: str) -> None:
    try:
        mode = os.stat(file).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise ConfigurationError(f"journal {path}: this is no plain file")
    if sys.platform != "win32" and mode & 0o077:
        raise ConfigurationError(
            f"journal {path}: other users may open {file} (mode {stat.S_IMODE(mode):04o});"
            " chmod 600 it"
        )


def _make(path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        sync_directory(os.path.dirname(path))
    except FileExistsError:
        pass  # another process was faster, and is refused or refuses us by its lock


def _locking_pid(path: str) -> int:
    """0 or less where the system does not tell."""
    if sys.platform == "win32":
        return 0
    descriptor = os.open(path, os.O_RDONLY)
    in_linux, in_macos = "@hhqqi4x", "@qqihh"  # the fields of `struct flock`, in the system's order
    if sys.platform == "darwin":
        asked = struct.pack(in_macos, 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
        _, _, pid, kind, _ = struct.unpack(in_macos, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    else:
        asked = struct.pack(in_linux, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(in_linux, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    if kind == fcntl.F_UNLCK:
        # No other process, so it is this one: the descriptor stays open for ever, because closing
        # it would drop the very lock that has just been met.
        return os.getpid()
    os.close(descriptor)
    return int(pid)
