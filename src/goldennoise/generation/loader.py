"""What a run loads: its model and its scorers."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from goldennoise import scorers
from goldennoise.scorers.protocol import Scorer

if TYPE_CHECKING:
    from goldennoise.diffusion.protocol import DiffusionModel


class Loader:
    """The model and the scorers of a run's config, loaded when they are first needed, then kept.

    Only the config is sent to another process: what it names is loaded there.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self._built: dict[str, Scorer] = {}

    @property
    def scorers(self) -> dict[str, Scorer]:
        """All of the run, by the names it gives them."""
        return {name: self.scorer(name) for name in self.config.scorer}

    def scorer(self, name: str) -> Scorer:
        """The one of this name, on the run's device. Raises what its `build` raises."""
        if name not in self._built:
            self._built |= scorers.built({name: self.config.scorer[name]}, self.config.compute.torch_device())
        return self._built[name]

    @cached_property
    def model(self) -> "DiffusionModel":
        """On the run's device, set up by its compute options. Raises what `diffusion.setup.load` raises."""
        # The command line knows that an artifact is complete before torch is loaded.
        from goldennoise.diffusion import setup

        return setup.load(self.config.model, self.config.compute)

    def __reduce__(self) -> tuple[type["Loader"], tuple[Any]]:
        return Loader, (self.config,)
