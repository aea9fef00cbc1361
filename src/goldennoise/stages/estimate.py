"""What a stage would make and what that takes, as a dry run tells it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from goldennoise import methods
from goldennoise.diffusion.evaluations import ZERO, Amount, Sampling
from goldennoise.runtime.resources import shown_size


@dataclass(frozen=True)
class Size:
    """Bytes, None where nobody says. words: of what, and what is assumed."""

    bytes: Amount | None
    words: str = ""

    def __str__(self) -> str:
        told = "unknown" if self.bytes is None else shown_bytes(self.bytes)
        return f"{told}: {self.words}" if self.words else told


@dataclass(frozen=True)
class Estimate:
    """What one stage would make.

    artifact: kind and name, such as "scores/shapes"; empty for a stage without one. complete: reference of the one that
    this config has made already. inputs: reference as written -> what is known of it. counts: what is made.
    evaluations: of the model; None where no end is known. storage: of the artifact; None for one of some files. memory:
    that is taken at least; None for a stage without a model. notes: further rows.
    """

    stage: str
    artifact: str
    complete: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Amount] = field(default_factory=dict)
    evaluations: Amount | None = ZERO
    storage: Size | None = None
    memory: Size | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """A line, and a row for each thing that is known."""
        if not self.artifact:
            return f"stage {self.stage} makes no artifact"
        made = f"{self.artifact} (not made yet)"
        if self.complete is not None:
            made = f"{self.complete} (complete, the run makes nothing)"
        rows = [(f"input {reference}", known) for reference, known in self.inputs.items()]
        rows += [(noun, str(amount)) for noun, amount in self.counts.items()]
        rows += [] if self.evaluations is None else [("model evaluations", str(self.evaluations))]
        rows += self.notes.items()
        rows += [(name, str(size)) for name, size in (("storage", self.storage), ("memory", self.memory)) if size]
        return f"stage {self.stage} -> {made}\n{aligned(rows)}"


def image_costs(chosen: Mapping[str, Any], sampling: Sampling) -> dict[str, Amount]:
    """Model evaluations of an image by each of the run's methods, by name."""
    return {
        name: methods.golden_evaluations(method, chosen, sampling) + method.image_evaluations(sampling)
        for name, method in chosen.items()
    }


def num_batches(num: int, num_per_piece: int, batch_size: int) -> int:
    """Of `num` samples that are cut into pieces first: no batch reaches into two."""
    full, rest = divmod(num, num_per_piece)
    return full * -(-num_per_piece // batch_size) - (-rest // batch_size)


def total(estimates: Iterable[Estimate]) -> str:
    """Of those that are not complete: the sum of evaluations and storage, the largest memory."""
    ahead = [each for each in estimates if each.complete is None]
    evaluations, stored, memory = ZERO, ZERO, Amount(0, None)
    for each in ahead:
        evaluations += each.evaluations or ZERO
        if each.storage is not None:
            stored += Amount(0, None) if each.storage.bytes is None else each.storage.bytes
        if each.memory is not None and each.memory.bytes is not None:
            memory = Amount(max(memory.least, each.memory.bytes.least), None)
    rows = [("model evaluations", str(evaluations)), ("storage", shown_bytes(stored))]
    rows += [("memory", shown_bytes(memory))] if memory.least else []
    return f"total of {len(ahead)} stages to run\n{aligned(rows)}"


def aligned(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def shown_bytes(amount: Amount) -> str:
    """In the largest unit that makes it at least 1: "1.4 GiB to 2.9 GiB"."""
    if amount.is_known:
        return shown_size(amount.least)
    if amount.most is None:
        return f"at least {shown_size(amount.least)}"
    return f"{shown_size(amount.least)} to {shown_size(amount.most)}"
