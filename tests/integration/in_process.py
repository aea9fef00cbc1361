"""The command line in this process: its end, whether that end is allowed, and what else it changed on the disk."""

import hashlib
import io
import logging
import os
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from goldennoise import __main__ as command_line
from goldennoise.config.compose import RunConfig

LONGEST_S = 120
LONGEST_MESSAGE = 600
LARGE_BYTES = 1_000_000
NEVER = ("Traceback (most recent call last)", "full_key", "object_type")
"""What no user should read."""


class TooLong(BaseException):
    """A run that does not end; no `Exception`, which a run may catch."""


@dataclass(frozen=True)
class Ended:
    """How one command line ended. escaped: the traceback of an exception that is none of ours, or empty."""

    arguments: Sequence[str]
    code: object
    stdout: str
    stderr: str
    escaped: str

    @property
    def sentences(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if line.startswith("error: ")]

    def faults(self) -> list[str]:
        """What is wrong with the end; empty if the run did its work, or told the user's mistake in one sentence."""
        found = [self.escaped] if self.escaped else []
        if not self.escaped and self.code not in (0, None, 2):
            found.append(f"exit code {self.code}")
        printed = self.stdout + self.stderr
        found += [f"{word!r} in what is printed:\n{printed[-3000:]}" for word in NEVER if word in printed]
        several = any(argument in ("-m", "--multirun") or "hydra.mode" in argument for argument in self.arguments)
        if self.code == 2 and (not self.sentences or (len(self.sentences) > 1 and not several)):
            found.append(f"{len(self.sentences)} sentences for one mistake:\n{self.stderr[-3000:]}")
        if self.code == 2 and not several and not self.stderr.splitlines()[-1].startswith("error: "):
            found.append(f"more after the sentence:\n{self.stderr[-3000:]}")
        for sentence in self.sentences:
            message = sentence.removeprefix("error: ")
            if not (0 < len(message) <= LONGEST_MESSAGE and message.isprintable()):
                found.append(f"no sentence to show, {len(message)} characters: {sentence!r}")
        if self.code in (0, None) and self.sentences:
            found.append(f"exit code 0 after {self.sentences}")
        return found

    def __str__(self) -> str:
        return f"goldennoise {shlex.join(self.arguments)}"


def run(arguments: Sequence[str], folder: Path, stage: Callable[[RunConfig], None] | None = None) -> Ended:
    """`goldennoise <arguments>`, started in `folder`. stage: in place of what runs the stage of a config."""
    code: object = None
    escaped = ""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
    with _as_before(), _libraries_log_to(err), redirect_stdout(out), redirect_stderr(err):
        os.chdir(folder)
        sys.argv = ["goldennoise", *arguments]
        command_line.run_stage = stage or command_line.run_stage
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
        try:
            command_line.main()
        except SystemExit as left:
            code = left.code
        except BaseException:
            escaped = traceback.format_exc()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return Ended(arguments, code, _written(out), _written(err), escaped)


def _stop(*_: object) -> None:
    raise TooLong(f"after {LONGEST_S} s")


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode("utf-8")


@contextmanager
def _as_before() -> Iterator[None]:
    """What a run changes of this process is put back."""
    root = logging.getLogger()
    environment, folder, arguments = dict(os.environ), Path.cwd(), sys.argv
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    handled = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    run_stage, threads = command_line.run_stage, torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        command_line.run_stage = run_stage
        torch.set_num_threads(threads)
        for number, handler in handled.items():
            signal.signal(number, handler)
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:], logging.raiseExceptions = handlers, raising
        root.setLevel(level)
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        sys.argv = arguments
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)


@contextmanager
def _libraries_log_to(stream: TextIO) -> Iterator[None]:
    """Handlers that libraries have made keep the stream that was stderr then."""
    loggers = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    handlers = [handler for logger in loggers for handler in logger.handlers if type(handler) is logging.StreamHandler]
    streams = [handler.setStream(stream) or stream for handler in handlers]
    try:
        yield
    finally:
        for handler, before in zip(handlers, streams, strict=True):
            handler.setStream(before)


def snapshot(root: Path, without: Sequence[Path] = ()) -> dict[str, str]:
    """Path -> kind, of files the SHA-256, of large ones size and time, for all below `root` but for `without`."""
    found = {}
    for path in sorted(root.rglob("*")):
        if any(path == outside or outside in path.parents for outside in without):
            continue
        if path.is_symlink():
            found[str(path)] = f"link to {path.readlink()}"
        elif path.is_file() and path.stat().st_size > LARGE_BYTES:
            found[str(path)] = f"{path.stat().st_size} bytes of {path.stat().st_mtime_ns}"
        elif path.is_file():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[str(path)] = "folder"
    return found
