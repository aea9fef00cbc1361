"""The LAION aesthetic predictor: OpenAI's CLIP ViT-L/14 and the head sac+logos+ava1-l14-linearMSE. Ignores prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.data.prompts import Prompt
from goldennoise.scorers.options import SHA256, SOURCE, WeightsConfig, joined
from goldennoise.store.hub import digest
from goldennoise.store.options import option

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from goldennoise.scorers.networks.open_clip_towers import OpenClipTowers
    from goldennoise.scorers.networks.reward_head import RewardHead

ARCHITECTURE = "ViT-L-14-quickgelu"
FILE = "open_clip_model.safetensors"
HEAD_FILE = "sac+logos+ava1-l14-linearMSE.pth"


@dataclass(frozen=True)
class Config(WeightsConfig):
    """Weights of CLIP and of the predictor's head."""

    kind: str = "aesthetic"
    path: str = option("timm/vit_large_patch14_clip_224.openai", identity=False)
    """Holds open_clip_model.safetensors: a folder or a hub id."""
    head_path: str = option("camenduru/improved-aesthetic-predictor", SOURCE, identity=False)
    """The head's: a folder or a hub id."""
    head_revision: str | None = option(None, identity=False)
    """Of the hub repository; null for the newest."""
    head_sha256: str | None = option(
        "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0", SHA256, identity=False
    )
    """What the head's file must hash to; null checks nothing."""


class Aesthetic:
    """On the scale of the ratings it was fitted to, 1 to 10; nothing bounds it."""

    name = "aesthetic"
    higher_is_better = True
    unit = "rating, 1 to 10"
    differentiable = True
    may_select = True
    usual = (4.0, 7.0)
    """Ours, around published means of models: 5.5 to 6.1 (arXiv 2411.09502)."""

    def __init__(self, towers: "OpenClipTowers", head: "RewardHead", version: str) -> None:
        self.version = version
        self._towers = towers
        self._head = head

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":  # noqa: ARG002
        """(B,) on the CPU. images: (B, 3, height, width), float in [0, 1]; the prompts do not matter."""
        return self._head(self._towers.cropped(images))[:, 0].cpu()


def version(config: Config) -> str | None:
    """Digests of the files; None where one is not on this machine."""
    return joined(
        config.digest(FILE),
        digest(config.head_path, HEAD_FILE, revision=config.head_revision, sha256=config.head_sha256),
    )


def build(config: Config, device: "torch.device") -> Aesthetic:
    """Raises `ModelError` for missing weights, `ScorerError` for others than the published."""
    from goldennoise.scorers.networks.open_clip_towers import OpenClipTowers
    from goldennoise.scorers.networks.reward_head import RewardHead
    from goldennoise.scorers.networks.weights import frozen, load_strictly, read_weights

    towers = OpenClipTowers(ARCHITECTURE, config, FILE, device)
    head, tensors = RewardHead(), read_weights(config.head_path, HEAD_FILE, config.head_revision, config.head_sha256)
    load_strictly(head, tensors, f"{config.head_path}/{HEAD_FILE}")
    # The features are float32 whatever the towers compute in, and the head costs nothing.
    return Aesthetic(towers, frozen(head, device, "float32"), str(version(config)))
