"""What a run loads: its model and its scorers."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from goldennoise import scorers

if TYPE_CHECKING:
    from goldennoise.diffusion.protocol import DiffusionModel
    from goldennoise.scorers.protocol import Scorer


class Loader:
    """The model and the scorers of a run's config, loaded when they are first needed, then kept.

    Only the config is sent to another process: what it names is loaded there.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    @cached_property
    def scorers(self) -> "dict[str, Scorer]":
        """By the name the run gives them, on its device. Raises what their `build` raises."""
        return scorers.built(self.config.scorer, self.config.compute.torch_device())

    @cached_property
    def model(self) -> "DiffusionModel":
        """On the run's device, set up by its compute options. Raises what `diffusion.setup.load` raises."""
        # The command line knows that an artifact is complete before torch is loaded.
        from goldennoise.diffusion import setup

        return setup.load(self.config.model, self.config.compute)

    def __reduce__(self) -> tuple[type["Loader"], tuple[Any]]:
        return Loader, (self.config,)
