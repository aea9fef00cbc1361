"""ImageReward (arXiv 2304.05977): BLIP-large reads the prompt while it looks at the image, a head scores that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.data.prompts import Prompt
from goldennoise.scorers.options import SOURCE, WeightsConfig, joined, of_tokenizer
from goldennoise.store.options import option

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from goldennoise.scorers.networks.blip_reward import BlipReward

FILE = "ImageReward.pt"
MEAN, STD = 0.16717362830052426, 1.0333394966054072
"""Of the head's output over the authors' data, taken out of the score."""
NUM_TOKENS = 35
"""Longer prompts are cut, begin and end included, as in the reference."""


@dataclass(frozen=True)
class Config(WeightsConfig):
    """Weights and tokenizer."""

    kind: str = "imagereward"
    path: str = option("THUDM/ImageReward", identity=False)
    """Holds ImageReward.pt: a folder or a hub id."""
    tokenizer_path: str = option("google-bert/bert-base-uncased", SOURCE, identity=False)
    """A folder or a hub id of BERT's tokenizer."""
    tokenizer_revision: str | None = option(None, identity=False)
    """Of the hub repository; null for the newest."""


class ImageReward:
    """About -2 to 2, mean 0 and deviation 1 over the authors' data; tables often give it x 100."""

    name = "imagereward"
    higher_is_better = True
    unit = "standard deviations"
    num_tokens = NUM_TOKENS
    differentiable = True
    may_select = True
    usual = (-2.0, 2.0)
    """Two deviations around the mean of the authors' data, by their scale (arXiv 2304.05977)."""

    def __init__(self, network: "BlipReward", tokenizer: Any, version: str) -> None:
        """tokenizer: a transformers `BertTokenizer`."""
        self.version = version
        self._network = network
        self._tokenizer = tokenizer

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":
        """(B,) on the CPU. images: (B, 3, height, width), float in [0, 1]; prompts: cut after 35 tokens."""
        from goldennoise.scorers.networks.preprocess import cropped

        tokens = self._tokenizer(
            [prompt.text for prompt in prompts],
            padding="max_length",
            truncation=True,
            max_length=NUM_TOKENS,
            return_tensors="pt",
        )
        pixels = cropped(images.to(self._network.device), self._network.side_px)
        return ((self._network(pixels, tokens) - MEAN) / STD).cpu()

    def num_cut(self, prompts: Sequence[Prompt]) -> int:
        """How many prompts are longer than `num_tokens`."""
        from goldennoise.scorers.networks.texts import num_cut, padded

        return num_cut(padded(self._tokenizer), NUM_TOKENS, [prompt.text for prompt in prompts])


def version(config: Config) -> str | None:
    """Digests of the files; None where one is not on this machine."""
    return joined(config.digest(FILE), of_tokenizer(config.tokenizer_path, config.tokenizer_revision))


def build(config: Config, device: "torch.device") -> ImageReward:
    """Raises `ModelError` for missing weights, `ScorerError` for others than the published."""
    from transformers import BertTokenizer

    from goldennoise.scorers.networks.blip_reward import UNUSED, BlipReward
    from goldennoise.scorers.networks.weights import frozen, load_strictly, load_tokenizer, read_weights

    tokenizer = load_tokenizer(BertTokenizer, config.tokenizer_path, config.tokenizer_revision)
    tensors = read_weights(config.path, FILE, config.revision, config.sha256)
    network = BlipReward()
    load_strictly(network, tensors, f"{config.path}/{FILE}", UNUSED)
    return ImageReward(frozen(network, device, config.dtype), tokenizer, str(version(config)))
