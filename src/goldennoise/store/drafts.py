"""Drafts: unfinished artifacts in `<version>.partial/`, written by one process at a time, complete by one rename."""

import fcntl
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TextIO
from weakref import WeakSet

from goldennoise.errors import ArtifactError
from goldennoise.store.files import UNFINISHED, disk_full, file_digest, remove, sync, write_json
from goldennoise.store.origin import origin, timestamp
from goldennoise.store.record import RECORD, Artifact

DRAFT = "draft.json"

_locked: WeakSet[TextIO] = WeakSet()


def _forget_locks() -> None:
    for file in _locked:
        file.close()


# A forked data loader worker shares its parent's locks and would keep them for some seconds after the parent is killed.
os.register_at_fork(after_in_child=_forget_locks)


class Lock:
    """An exclusive lock on a file, held from construction until `release`; it vanishes with the process."""

    def __init__(self, path: Path, wait: bool = False) -> None:
        self._file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            self._file.seek(0)
            owner = self._file.read().strip() or "another process"
            self._file.close()
            version = path.name.removeprefix(".").removesuffix(".lock")
            raise ArtifactError(
                f"{path.parent / version} is being written by {owner}: wait until it is done, or stop it"
            ) from None
        except OSError as error:
            self._file.close()
            raise ArtifactError(
                f"{path.parent} cannot be locked ({error.strerror}): choose a folder on another file system with "
                "outputs=DIR"
            ) from None
        _locked.add(self._file)
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def release(self) -> None:
        """Let the next one in; harmless when repeated."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class Draft:
    """An artifact in the making; a context manager that holds the lock on its version.

    config: of the run that began it. resumed: whether work was done on it before. damaged: files of it that were
    complete once and were removed.

    `commit` removes what `files.whole` did not finish.
    Of several processes under torchrun only rank 0 may hold one.
    """

    def __init__(
        self,
        path: Path,
        header: dict[str, Any],
        lock: Lock,
        resumed: bool,
        damaged: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.resumed = resumed
        self.damaged = damaged
        self._header = header
        self._lock = lock

    @property
    def reference(self) -> str:
        """What it will be called, for example "pairs/shapes@v1"."""
        return f"{self._header['kind']}/{self._header['name']}@{self._header['version']}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides the content."""
        return str(self._header["fingerprint"])

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config of the run that began it."""
        return dict(self._header["config"])

    def commit(self, counts: dict[str, Any]) -> Artifact:
        """Write the record with the SHA-256 of every file, sync, rename, release the lock.

        counts: what was made, for example {"pairs": 400, "kept": 231}. Raises `ArtifactError` when the disk is full;
        the draft then stays as it is.
        """
        try:
            return self._commit(counts)
        except OSError as error:
            if not disk_full(error):
                raise
            raise ArtifactError(
                f"no space left on the disk of {self.path}: free some and run the same command again, "
                "finished work is kept"
            ) from None

    def _commit(self, counts: dict[str, Any]) -> Artifact:
        files = {}
        for path in sorted(self.path.rglob("*")):
            if path.name.endswith(UNFINISHED):
                remove(path)
            elif path.is_file() and path not in (self.path / DRAFT, self.path / RECORD):
                sync(path)
                files[path.relative_to(self.path).as_posix()] = file_digest(path)
        header, version = self._header, self._header["version"]
        kept = ("kind", "name", "version", "fingerprint", "identity", "inputs", "config", "start")
        record = {key: header[key] for key in kept} | origin() | {"end": timestamp()}
        record |= {"counts": counts, "files": files}
        write_json(self.path / RECORD, record)
        final = self.path.with_name(version)
        self.path.rename(final)
        sync(final.parent)
        # Until the rename the draft file is what a rerun would find the folder by.
        (final / DRAFT).unlink()
        self.release()
        return Artifact(header["kind"], header["name"], version, final, record)

    def release(self) -> None:
        """Give the lock back; the unfinished folder stays for the next run."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
