"""What a learned schedule reads of the denoiser, by hooks on its first and last layer and its time embedding."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from goldennoise.diffusion.plan import Features
from goldennoise.diffusion.schedules.schedulers import require_walked
from goldennoise.errors import ModelError

if TYPE_CHECKING:
    from goldennoise.diffusion.protocol import PromptEmbedding


@dataclass(frozen=True)
class Taps:
    """Names of a denoiser's submodules: first, whose output, last, whose input, and time, whose output is read."""

    first: str
    last: str
    time: str


class Tapped:
    """Filled by one pass of the denoiser."""

    def __init__(self) -> None:
        self.first: Tensor | None = None
        self.last: Tensor | None = None
        self.time: Tensor | None = None

    def features(self, num: int, guidance: float, grid: tuple[int, int]) -> Features:
        """Of `num` rows. grid: height and width of the tokens of a transformer."""
        assert self.first is not None, "a pass has been made"
        assert self.last is not None, "a pass has been made"
        assert self.time is not None, "a pass has been made"
        parts = [_guided(part.float(), num, guidance) for part in (self.first, self.last, self.time)]
        first, last = (part if part.ndim == 4 else part.transpose(1, 2).unflatten(2, grid) for part in parts[:2])
        return Features(torch.cat([first, last], dim=1), parts[2])


@contextmanager
def tapped(network: nn.Module, taps: Taps) -> Iterator[Tapped]:
    """Reads the passes of `network` inside; its hooks are removed at the end."""
    found = Tapped()

    def read_first(_: nn.Module, __: Any, output: Any) -> None:
        found.first = output

    def read_last(_: nn.Module, inputs: Any) -> None:
        found.last = inputs[0]

    def read_time(_: nn.Module, __: Any, output: Any) -> None:
        # Some give what modulates every block first, and the embedding itself last.
        found.time = output[-1] if isinstance(output, tuple) else output

    with ExitStack() as hooks:
        for handle in (
            network.get_submodule(taps.first).register_forward_hook(read_first),
            network.get_submodule(taps.last).register_forward_pre_hook(read_last),
            network.get_submodule(taps.time).register_forward_hook(read_time),
        ):
            hooks.callback(handle.remove)
        yield found


def _guided(part: Tensor, num: int, guidance: float) -> Tensor:
    """uncond + guidance (cond - uncond), where there were two passes of `num` rows."""
    if len(part) == num:
        return part
    uncond, cond = part.chunk(2)
    return uncond + guidance * (cond - uncond)


class LatentFeatures:
    """Of a pipeline: its denoiser's predictions with what a learned schedule reads of it."""

    taps: Taps
    patch_size: int
    _network: Any
    _pipe: Any

    def require_walked(self) -> None:
        require_walked(self._pipe.scheduler)

    @property
    def network(self) -> nn.Module:
        raise NotImplementedError

    @property
    def feature_width(self) -> int:
        self._refuse_compiled()
        last: Any = self.network.get_submodule(self.taps.last)
        width: int = last.in_channels if isinstance(last, nn.Conv2d) else last.in_features
        return width

    def predict_with_features(
        self, latents: Tensor, level: Tensor, embedding: "PromptEmbedding", guidance: float
    ) -> tuple[Tensor, Features]:
        self._refuse_compiled()
        height, width = (side // self.patch_size for side in latents.shape[-2:])
        with tapped(self.network, self.taps) as found:
            prediction = self.predict_at(latents, level, embedding, guidance)
        return prediction, found.features(len(latents), guidance, (height, width))

    def _refuse_compiled(self) -> None:
        # It runs what it was traced with, past hooks that came later.
        if self._network is not self.network or self.network._compiled_call_impl is not None:
            raise ModelError(
                "A compiled denoiser does not show its features, which a learned schedule reads: run it uncompiled "
                "(compute.compile=false)."
            )

    def predict_at(self, latents: Tensor, level: Tensor, embedding: "PromptEmbedding", guidance: float) -> Tensor:
        raise NotImplementedError
