"""Files that a SQLite journal does not open, and what it says then."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from scheduler.errors import ConfigurationError, JournalUnavailable
from scheduler.journal import file, schema
from scheduler.journal.store import Store
from scheduler.journal.verify import verify

from .entries import new


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = Store(str(path))
    store.open()
    try:
        yield store
    finally:
        store.close()


def refusal(path: Path) -> str:
    """In which words the journal refuses a file."""
    with pytest.raises(ConfigurationError) as caught, opened(path):
        pass
    said = str(caught.value)
    assert "\n" not in said
    assert str(path) in said
    return said


def add(store: Store, key: str = "k") -> None:
    ((_, error),) = store.commit([lambda: store.add(new(key), None)])
    if error is not None:
        raise error


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    assert "there is no directory" in refusal(tmp_path / "missing" / "journal.db")


def test_a_name_that_the_system_refuses_is_refused(tmp_path: Path) -> None:
    assert "File name too long" in refusal(tmp_path / ("x" * 300))


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "no plain file" in refusal(tmp_path)


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("dear diary, " * 100)
    path.chmod(0o600)
    assert "no SQLite file" in refusal(path)
    assert path.read_text() == "dear diary, " * 100


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_database_of_another_program_is_refused_and_left_alone(path: Path, mode: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE entries (theirs)")
    path.chmod(0o600)
    before = path.read_bytes()
    assert "another program's SQLite file" in refusal(path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch(mode=0o600)
    with opened(path) as store:
        add(store)
    assert verify(str(path)) == []


def test_a_newer_schema_is_refused(path: Path) -> None:
    with opened(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.STEPS) + 1}")
    assert f"schema version {len(schema.STEPS) + 1} is newer" in refusal(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_open_to_other_users_is_refused(path: Path, mode: int) -> None:
    with opened(path):
        pass
    path.chmod(mode)
    assert f"mode {mode:04o}" in refusal(path)
    path.chmod(0o600)
    with opened(path):
        pass


def test_a_wal_open_to_other_users_is_refused(path: Path) -> None:
    with opened(path):
        pass
    wal = Path(f"{path}-wal")
    wal.touch(mode=0o644)
    assert str(wal) in refusal(path)


def test_the_files_are_made_for_their_owner_alone(path: Path) -> None:
    umask = os.umask(0)
    try:
        with opened(path) as store:
            add(store)
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(umask)
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600}


def test_a_file_that_is_open_in_this_process_is_refused(path: Path) -> None:
    with opened(path) as store:
        assert f"in use by process {os.getpid()}" in refusal(path)
        with pytest.raises(ConfigurationError, match="in use"):
            verify(str(path))
        add(store)
        # The refusal must not have dropped the lock.
        assert "in use by process" in in_a_child(path)


HOLD = """
import sys
from scheduler.errors import ConfigurationError
from scheduler.journal.store import Store
try:
    store = Store(sys.argv[1])
    store.open()
except ConfigurationError as error:
    sys.exit(str(error))
print("open", flush=True)
sys.stdin.readline()
"""


def in_a_child(path: Path) -> str:
    """What another process is told that opens the file."""
    child = subprocess.run(
        [sys.executable, "-c", HOLD, path], capture_output=True, text=True, input="", check=False
    )
    return child.stderr.strip()


def test_a_second_process_is_refused_and_told_who_has_it(path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        said = f"in use by process {child.pid}"
        assert said in refusal(path)
        with pytest.raises(ConfigurationError, match=said):
            verify(str(path))
        child.kill()
        child.wait()
    with opened(path) as store:  # nothing stale is in the way
        add(store)


def test_a_shell_that_reads_the_file_keeps_the_journal_from_opening(path: Path) -> None:
    with opened(path) as store:
        add(store)
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("BEGIN")
        shell.execute("SELECT count(*) FROM entries").fetchall()
        assert "in use by" in refusal(path)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused(
    path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = [("/", "ext4"), (str(path.parent), kind)]
    monkeypatch.setattr(file, "_mounts", lambda: mounts)
    assert f"network file system ({kind})" in refusal(path)


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("/", "ext4"),
        ("/mnt", "ext4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/deeper/still", "nfs4"),
        ("/mnt/shared", "ext4"),
        ("/mnt/share/local", "xfs"),
        ("/over", "tmpfs"),
        ("/with space/x", "cifs"),
    ],
)
def test_the_innermost_and_latest_mount_counts(directory: str, expected: str) -> None:
    mounts = file.parse_mountinfo(
        "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
        "28 27 0:25 / /mnt/share rw,relatime shared:1 master:2 - nfs4 server:/x rw\n"
        "29 28 0:26 / /mnt/share/local rw - xfs /dev/vdb rw\n"
        "30 27 0:27 / /over rw - nfs server:/y rw\n"
        "31 27 0:28 / /over rw - tmpfs tmpfs rw\n"
        "32 27 0:29 / /with\\040space rw - cifs //server/z rw\n"
    )
    assert file.mounted_at(mounts, directory) == expected


def test_the_mounts_of_macos_are_read() -> None:
    mounts = file.parse_mount_output(
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
        "//me@server/share on /Volumes/share (x) (smbfs, nodev, nosuid, mounted by me)\n"
        "server:/x on /Volumes/nfs (nfs)\n"
    )
    assert mounts == [("/", "apfs"), ("/Volumes/share (x)", "smbfs"), ("/Volumes/nfs", "nfs")]


def test_a_file_that_is_removed_takes_nothing_more(path: Path) -> None:
    with opened(path) as store:
        add(store)
        path.unlink()
        with pytest.raises(JournalUnavailable, match="moved or removed"):
            add(store, "other")


def test_a_file_that_is_replaced_takes_nothing_more(path: Path, tmp_path: Path) -> None:
    with opened(path) as store:
        add(store)
        (tmp_path / "copy.db").write_bytes(path.read_bytes())
        (tmp_path / "copy.db").replace(path)
        with pytest.raises(JournalUnavailable, match="moved or removed"):
            add(store, "other")
