"""all: the whole pipeline; the command line composes and runs its stages in turn."""

from dataclasses import dataclass

from goldennoise.errors import require


@dataclass(frozen=True)
class Config:
    """Several stages as one."""

    kind: str = "all"
    stages: tuple[str, ...] = ("collect", "train", "eval", "report")
    """What runs, one after the other, each as stage=NAME would. Overrides of that stage alone may follow a name, as in
    "eval name=steps_10 model.num_steps=10"; they come after those of the command line."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        names = [entry.partition(" ")[0] for entry in self.stages]
        fits = bool(names) and all(name not in ("", "all") for name in names)
        require(fits, "stages", list(self.stages), "names of other stages, each with its overrides after it")
