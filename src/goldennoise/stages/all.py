"""all: the whole pipeline; the command line composes and runs its stages in turn."""

from dataclasses import dataclass

from goldennoise.errors import require


@dataclass(frozen=True)
class Config:
    """Several stages as one."""

    kind: str = "all"
    stages: tuple[str, ...] = ("collect", "train", "eval", "report")
    """What runs, one after the other, each as stage=NAME would; an experiment, or the stages' own files, set their
    options."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        require(bool(self.stages) and "all" not in self.stages, "stages", list(self.stages), "names of other stages")
