"""HPSv2 (arXiv 2306.09341): 100 x cosine of an open_clip ViT-H-14 fine-tuned on human preferences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.data.prompts import Prompt
from goldennoise.scorers.options import WeightsConfig, joined
from goldennoise.store.options import one_of, option

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from goldennoise.scorers.networks.open_clip_towers import OpenClipTowers

ARCHITECTURE = "ViT-H-14"
FILES = {"v2.0": "HPS_v2_compressed.pt", "v2.1": "HPS_v2.1_compressed.pt"}
SCALE = 100.0


@dataclass(frozen=True)
class Config(WeightsConfig):
    """Weights, and which of two releases."""

    kind: str = "hpsv2"
    path: str = option("xswu/HPSv2", identity=False)
    """Holds the weights of the release: a folder or a hub id."""
    release: str = option("v2.1", one_of(*FILES))
    """v2.0 or v2.1, whose scores do not compare. The reference's score() takes v2.0 by default; the tables of arXiv
    2411.09502 have v2.1."""


class HpsV2:
    """In [-100, 100], where the reference has the bare cosine."""

    name = "hpsv2"
    higher_is_better = True
    unit = "cosine x 100"
    differentiable = True
    may_select = True
    usual = (20.0, 35.0)
    """Ours, around published means of models: 26.5 to 32.7 (arXiv 2411.09502)."""

    def __init__(self, towers: "OpenClipTowers", version: str) -> None:
        self.version = version
        self.num_tokens = towers.num_tokens
        self._towers = towers

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":
        """(B,) on the CPU. images: (B, 3, height, width), float in [0, 1]; prompts: cut after 77 tokens."""
        texts = self._towers.texts([prompt.text for prompt in prompts])
        return SCALE * (self._towers.letterboxed(images) * texts).sum(dim=1).cpu()

    def num_cut(self, prompts: Sequence[Prompt]) -> int:
        """How many prompts are longer than `num_tokens`."""
        return self._towers.num_cut([prompt.text for prompt in prompts])

    def embed(self, images: "Tensor") -> "Tensor":
        """Image features (B, 1024) of unit length on the CPU, of the images that `score` takes."""
        return self._towers.letterboxed(images).cpu()


def version(config: Config) -> str | None:
    """Digests of the files; None where one is not on this machine."""
    return joined(config.release, config.digest(FILES[config.release]))


def build(config: Config, device: "torch.device") -> HpsV2:
    """Raises `ModelError` for missing weights, `ScorerError` for others than the published."""
    from goldennoise.scorers.networks.open_clip_towers import OpenClipTowers

    return HpsV2(OpenClipTowers(ARCHITECTURE, config, FILES[config.release], device), str(version(config)))
