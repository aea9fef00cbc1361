"""Scorers in a process of their own, for packages whose requirements exclude ours.

What runs there is `served.py`, which also says what the lines that go back and forth hold.
"""

import contextlib
import json
import logging
import os
import queue
import re
import shlex
import signal
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from goldennoise.data.prompts import Prompt
from goldennoise.errors import ScorerError
from goldennoise.scorers.protocol import require_scores
from goldennoise.store.options import Check, Options, option

if TYPE_CHECKING:
    from torch import Tensor

LAUNCHER = re.compile(r"((LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT)|TORCHELASTIC_\w+)")
"""Variables by which a process finds those that work with it: a child that read them would join or wait for them."""
SERVED = Path(__file__).with_name("served.py")
log = logging.getLogger(__name__)

END_S = 5.0
"""How long a process may take to end by itself when it has nothing more to read."""
NUM_LAST_LINES = 3

COMMAND = Check(lambda command: _words(command), "a command that a shell could read", repr)
SECONDS = Check(lambda value: 0 < value <= threading.TIMEOUT_MAX, "a number of seconds above 0")


@dataclass(frozen=True, kw_only=True)
class ProcessConfig(Options):
    """What every scorer in a process of its own takes."""

    command: str = option(check=COMMAND, identity=False)
    """A Python that has the scorer's package, as a shell would read it."""
    start_timeout_s: float = option(3600.0, SECONDS, identity=False)
    """For its environment, its weights and loading them, in seconds."""
    batch_timeout_s: float = option(600.0, SECONDS, identity=False)
    """For the scores of a batch, in seconds."""


class ProcessScorer:
    """A scorer that a child process computes. It ends with this object, and at the latest with this process."""

    higher_is_better = True
    differentiable = False
    may_select = True
    # Its package may compute in bfloat16, in which good images have equal scores.
    continuous = False

    def __init__(self, name: str, unit: str, config: ProcessConfig, arguments: Sequence[str]) -> None:
        """arguments: of `served.py`. Raises `ScorerError` if the process does not start, or is not ready in time."""
        self.name, self.unit = name, unit
        self._config = config
        self._folder = tempfile.TemporaryDirectory(prefix="goldennoise-")
        self._errors = Path(self._folder.name) / "stderr.txt"
        # Isolated: our PYTHONPATH and our folders are not for another environment.
        self._child = self._started([*_words(config.command), "-I", str(SERVED), *arguments])
        self._end = weakref.finalize(self, _end, self._child, self._folder)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        log.info(
            "scorer %s: waiting up to %g s for %s; what it says goes to %s",
            *(name, config.start_timeout_s, config.command, self._errors),
        )
        threading.Thread(target=_read, args=(self._child.stdout, self._lines), daemon=True).start()
        self.version = self._answer("version", str, config.start_timeout_s, "start")

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":
        """(B,) on the CPU. images: (B, 3, height, width), float in [0, 1]; the process sees them in 8 bits.

        Raises `ScorerError` if it has ended, takes too long, or does not answer with one finite number per image.
        """
        # The command line reads every Config before torch is loaded.
        import torch

        files = [self._written(number, image) for number, image in enumerate(images)]
        texts = [prompt.text for prompt in prompts]
        # That the process has ended is told by its answer.
        with contextlib.suppress(BrokenPipeError):
            assert self._child.stdin is not None, "it was opened with a pipe"
            self._child.stdin.write(json.dumps({"images": files, "prompts": texts}) + "\n")
            self._child.stdin.flush()
        values = self._answer("scores", list, self._config.batch_timeout_s, f"score {len(files)} images")
        if not all(isinstance(value, int | float) for value in values):
            raise self._failure(f"answered {values!r} in place of its scores")
        scores = torch.tensor(values, dtype=torch.float32)
        require_scores(self.name, scores, [f'"{text}"' for text in texts])
        return scores

    def _started(self, command: Sequence[str]) -> "subprocess.Popen[str]":
        try:
            with self._errors.open("wb") as errors:
                # A session of its own: Ctrl-C is ours to answer, and all it may have started can be ended with it.
                return subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                    env={name: value for name, value in os.environ.items() if not LAUNCHER.fullmatch(name)},
                )
        except OSError as error:
            raise ScorerError(
                f"scorer {self.name}: its option command={self._config.command} cannot be run "
                f"({error.strerror}); give the Python of an environment that has its package, which docs/scorers.md "
                "says how to make"
            ) from None

    def _written(self, number: int, image: "Tensor") -> str:
        pixels = (image.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        file = Path(self._folder.name) / f"{number}.png"
        Image.fromarray(pixels).save(file)
        return str(file)

    def _answer(self, key: str, kind: type, timeout_s: float, purpose: str) -> Any:
        """What the next line says under `key`, or `ScorerError`, after which the process is no more."""
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise self._failure(f"took longer than {timeout_s:g} s to {purpose}") from None
        if not line:
            # The next call gets the same answer.
            self._lines.put("")
            raise self._failure(f"ended with code {self._child.wait()}")
        try:
            answer = json.loads(line)
            found = answer[key]
        except (json.JSONDecodeError, KeyError, TypeError):
            found = None
        if not isinstance(found, kind):
            raise self._failure(f"answered {line.strip()[:200]!r} in place of its {key}")
        return found

    def _failure(self, what: str) -> ScorerError:
        _kill(self._child)
        lines = self._errors.read_text(encoding="utf-8", errors="replace").splitlines()
        last = " | ".join([line.strip() for line in lines if line.strip()][-NUM_LAST_LINES:])
        said = f"its last words: {last[-500:]}" if last else "it said nothing"
        return ScorerError(f"scorer {self.name}: its process ({self._config.command}) {what}; {said}")


def _words(command: str) -> list[str]:
    """As a shell would take it apart; none where quotes do not match."""
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _read(answers: IO[str], lines: "queue.SimpleQueue[str]") -> None:
    """Every line, and "" at the end."""
    try:
        with answers:
            for line in answers:
                lines.put(line)
    finally:
        lines.put("")


def _end(child: "subprocess.Popen[str]", folder: "tempfile.TemporaryDirectory[str]") -> None:
    """Let the process end by itself, then make it, and remove its folder."""
    assert child.stdin is not None, "it was opened with a pipe"
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(END_S)
    _kill(child)
    folder.cleanup()


def _kill(child: "subprocess.Popen[str]") -> None:
    """With all it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
