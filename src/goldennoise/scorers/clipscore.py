"""CLIPScore (arXiv 2104.08718): 2.5 max(cosine, 0) between image and prompt, OpenAI's CLIP ViT-B/32."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.data.prompts import Prompt
from goldennoise.scorers.options import WeightsConfig, joined
from goldennoise.store.options import option

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from goldennoise.scorers.networks.open_clip_towers import OpenClipTowers

ARCHITECTURE = "ViT-B-32-quickgelu"
FILE = "open_clip_model.safetensors"
WEIGHT = 2.5


@dataclass(frozen=True)
class Config(WeightsConfig):
    """Weights of CLIP, and what stands before a prompt."""

    kind: str = "clipscore"
    path: str = option("timm/vit_base_patch32_clip_224.openai", identity=False)
    """Holds open_clip_model.safetensors: a folder or a hub id."""
    prefix: str = "A photo depicts"
    """"A photo depicts" in the paper and its code; "" for the bare prompt, as torchmetrics and many tables of text-to-
    image models have it. The two give different scores."""


class ClipScore:
    """In [0, 2.5]; where the cosine is negative the score is 0 and has no gradient."""

    name = "clipscore"
    higher_is_better = True
    unit = "2.5 max(cosine, 0)"
    differentiable = True
    may_select = True
    usual = (0.6, 0.9)
    """Ours, around published means of models: 0.80 to 0.84 (arXiv 2411.09502)."""

    def __init__(self, towers: "OpenClipTowers", version: str, prefix: str) -> None:
        """prefix: before every prompt, with a space between them."""
        self.version = version
        self.num_tokens = towers.num_tokens
        self._towers = towers
        self._prefix = f"{prefix.rstrip()} " if prefix.strip() else ""

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":
        """(B,) on the CPU. images: (B, 3, height, width), float in [0, 1]; prompts: cut after 77 tokens."""
        texts = self._towers.texts(self._read(prompts))
        cosines = (self._towers.cropped(images) * texts).sum(dim=1)
        return (WEIGHT * cosines.clamp(min=0)).cpu()

    def num_cut(self, prompts: Sequence[Prompt]) -> int:
        """How many prompts are longer than `num_tokens`, with the prefix."""
        return self._towers.num_cut(self._read(prompts))

    def embed(self, images: "Tensor") -> "Tensor":
        """Image features (B, 512) of unit length on the CPU, of the images that `score` takes."""
        return self._towers.cropped(images).cpu()

    def _read(self, prompts: Sequence[Prompt]) -> list[str]:
        return [self._prefix + prompt.text for prompt in prompts]


def version(config: Config) -> str | None:
    """Digests of the files; None where one is not on this machine."""
    return joined(config.digest(FILE), repr(config.prefix))


def build(config: Config, device: "torch.device") -> ClipScore:
    """Raises `ModelError` for missing weights, `ScorerError` for others than the published."""
    from goldennoise.scorers.networks.open_clip_towers import OpenClipTowers

    return ClipScore(OpenClipTowers(ARCHITECTURE, config, FILE, device), str(version(config)), config.prefix)
