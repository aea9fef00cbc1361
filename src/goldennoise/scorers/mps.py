"""MPS, the Multi-dimensional Preference Score (arXiv 2405.14705), overall preference.

A CLIP ViT-H/14 and a network in which the image's tokens attend to those words of the prompt that are near a fixed
condition text. The authors publish their model as a pickle of Python objects, which is never loaded here; the weights
are those that the package imscore stores as safetensors at the hub's RE-N-Y/mpsv1, a conversion by its authors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.data.prompts import Prompt
from goldennoise.scorers.options import SOURCE, WeightsConfig, joined, of_tokenizer
from goldennoise.store.hub import digest
from goldennoise.store.options import option

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FILE = "model.safetensors"
CONDITION = (
    "light, color, clarity, tone, style, ambiance, artistry, shape, face, hair, hands, limbs, structure, instance, "
    "texture, quantity, attributes, position, number, location, word, things."
)
"""The published condition for overall preference."""
NEARNESS = 0.01
"""Share of the nearest word's product with the condition above which a word counts, as in the published model; two
evaluation scripts beside it take 0.3."""
NUM_TOKENS = 77
NUM_KEPT = 256
"""Prompts whose 78 x 1024 numbers are kept."""


@dataclass(frozen=True)
class Config(WeightsConfig):
    """Weights, and the CLIP they continue."""

    kind: str = "mps"
    path: str = option("RE-N-Y/mpsv1", identity=False)
    """Holds model.safetensors: a folder or a hub id."""
    clip_path: str = option("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", SOURCE, identity=False)
    """A folder or a hub id with the config.json and the tokenizer of its CLIP."""
    clip_revision: str | None = option(None, identity=False)
    """Of the hub repository; null for the newest."""


class Mps:
    """Logit scale x cosine of one image. The published figure is the mean over prompts of the probability that one of
    two images is preferred, the softmax of the two images' scores, so that 50 % says no difference.
    """

    name = "mps"
    higher_is_better = True
    unit = "logit scale x cosine"
    num_tokens = NUM_TOKENS
    differentiable = True
    may_select = True

    def __init__(self, clip: Any, cross: Any, tokenizer: Any, version: str) -> None:
        """clip: a transformers `CLIPModel`; cross: a `CrossModel`; tokenizer: a `CLIPTokenizer`."""
        from goldennoise.scorers.networks.texts import KeptTexts

        self.version = version
        self._clip = clip
        self._cross = cross
        self._tokenizer = tokenizer
        self._texts = KeptTexts(self._encode_texts, NUM_KEPT)
        self._condition = KeptTexts(self._encode_texts)

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":
        """(B,) on the CPU. images: (B, 3, height, width), float in [0, 1]; prompts: cut after 77 tokens."""
        from torch.nn.functional import cosine_similarity

        from goldennoise.scorers.networks.transformers_clip import seen

        texts = self._texts([prompt.text for prompt in prompts])
        tokens, pooled = texts[:, :-1], texts[:, -1]
        patches = self._clip.visual_projection(seen(self._clip, images).last_hidden_state)
        preferred = self._cross(patches, tokens, self._near(tokens))[:, 0]
        cosines = cosine_similarity(pooled.float(), preferred.float(), dim=-1)
        return (self._clip.logit_scale.float().exp() * cosines).cpu()

    def num_cut(self, prompts: Sequence[Prompt]) -> int:
        """How many prompts are longer than `num_tokens`."""
        from goldennoise.scorers.networks.texts import num_cut, padded

        return num_cut(padded(self._tokenizer), NUM_TOKENS, [prompt.text for prompt in prompts])

    def _near(self, tokens: "Tensor") -> "Tensor":
        """Which words of each prompt count, (B, 77).

        By the prompt's own nearest word; the published code divides by the nearest word of the whole batch, so that a
        score there depends on what it is computed with, unless each image is scored by itself.
        """
        condition = self._condition([CONDITION])[0, :-1]
        products = (tokens @ condition.T).amax(dim=-1)
        return products / products.amax(dim=-1, keepdim=True) > NEARNESS

    def _encode_texts(self, texts: Sequence[str]) -> "Tensor":
        """Every token and then the pooled text, (B, 78, dim)."""
        import torch

        # Padding is text to this model: it attends to all 77 places, with no mask but that of nearness.
        from goldennoise.scorers.networks.texts import padded

        tokens = padded(self._tokenizer)(list(texts), NUM_TOKENS)
        encoded = self._clip.text_model(input_ids=tokens.to(self._clip.device))
        hidden = torch.cat([encoded.last_hidden_state, encoded.pooler_output[:, None]], dim=1)
        return self._clip.text_projection(hidden)


def version(config: Config) -> str | None:
    """Digests of the files; None where one is not on this machine."""
    return joined(
        config.digest(FILE),
        digest(config.clip_path, "config.json", revision=config.clip_revision),
        of_tokenizer(config.clip_path, config.clip_revision),
    )


def build(config: Config, device: "torch.device") -> Mps:
    """Raises `ModelError` for missing weights, `ScorerError` for others than the published."""
    from torch.nn import ModuleDict
    from transformers import CLIPTokenizer

    from goldennoise.scorers.networks.mps_cross_model import CrossModel
    from goldennoise.scorers.networks.transformers_clip import POSITION_IDS, untrained_clip
    from goldennoise.scorers.networks.weights import frozen, load_strictly, load_tokenizer, read_weights

    tensors = read_weights(config.path, FILE, config.revision, config.sha256)
    clip = untrained_clip(config.clip_path, config.clip_revision, tensors)
    tokenizer = load_tokenizer(CLIPTokenizer, config.clip_path, config.clip_revision)
    networks = ModuleDict({"model": clip, "cross_model": CrossModel(clip.config.projection_dim)})
    tensors = {name.removeprefix("mps.").replace(".fn.", "."): tensor for name, tensor in tensors.items()}
    load_strictly(networks, tensors, f"{config.path}/{FILE}", [f"model.{name}" for name in POSITION_IDS])
    frozen(networks, device, config.dtype)
    return Mps(clip, networks["cross_model"], tokenizer, str(version(config)))
