"""all: the whole pipeline; the command line composes and runs its stages in turn."""

from dataclasses import dataclass

STAGES = ("collect", "train", "eval", "report")


@dataclass(frozen=True)
class Config:
    """No options of its own: what each stage does is set by an experiment, or by the stages' own files."""

    kind: str = "all"
