"""PickScore (arXiv 2305.01569): logit scale x cosine of a CLIP ViT-H/14 fine-tuned on Pick-a-Pic."""

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
NUM_TOKENS = 77


@dataclass(frozen=True)
class Config(WeightsConfig):
    """Weights and tokenizer."""

    kind: str = "pickscore"
    path: str = option("yuvalkirstain/PickScore_v1", identity=False)
    """Holds model.safetensors and config.json: a folder or a hub id."""
    tokenizer_path: str = option("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", SOURCE, identity=False)
    """A folder or a hub id of its tokenizer."""
    tokenizer_revision: str | None = option(None, identity=False)
    """Of the hub repository; null for the newest."""


class PickScore:
    """About 15 to 25. Of an image by itself: the softmax over the images of a prompt, which the paper takes for a
    probability, would make a score depend on what it is compared with.
    """

    name = "pickscore"
    higher_is_better = True
    unit = "logit scale x cosine"
    num_tokens = NUM_TOKENS
    differentiable = True
    may_select = True
    usual = (18.0, 24.0)
    """Ours, around published means of models: 21.5 to 23.0 (arXiv 2411.09502)."""

    def __init__(self, model: Any, tokenizer: Any, version: str) -> None:
        """model: a transformers `CLIPModel`; tokenizer: its `CLIPTokenizer`."""
        from goldennoise.scorers.networks.texts import KeptTexts

        self.version = version
        self._model = model
        self._tokenizer = tokenizer
        self._texts = KeptTexts(self._encode_texts)

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":
        """(B,) on the CPU. images: (B, 3, height, width), float in [0, 1]; prompts: cut after 77 tokens."""
        cosines = (self._encode_images(images) * self._texts([prompt.text for prompt in prompts])).sum(dim=1)
        return (self._model.logit_scale.float().exp() * cosines).cpu()

    def num_cut(self, prompts: Sequence[Prompt]) -> int:
        """How many prompts are longer than `num_tokens`."""
        from goldennoise.scorers.networks.texts import num_cut, padded

        return num_cut(padded(self._tokenizer), NUM_TOKENS, [prompt.text for prompt in prompts])

    def embed(self, images: "Tensor") -> "Tensor":
        """Image features (B, 1024) of unit length on the CPU, of the images that `score` takes."""
        return self._encode_images(images).cpu()

    def _encode_images(self, images: "Tensor") -> "Tensor":
        from torch.nn.functional import normalize

        from goldennoise.scorers.networks.transformers_clip import seen

        return normalize(self._model.visual_projection(seen(self._model, images).pooler_output).float(), dim=-1)

    def _encode_texts(self, prompts: Sequence[str]) -> "Tensor":
        from torch.nn.functional import normalize

        tokens = self._tokenizer(
            list(prompts), padding=True, truncation=True, max_length=NUM_TOKENS, return_tensors="pt"
        )
        pooled = self._model.text_model(**tokens.to(self._model.device)).pooler_output
        return normalize(self._model.text_projection(pooled).float(), dim=-1)


def version(config: Config) -> str | None:
    """Digests of the files; None where one is not on this machine."""
    return joined(
        config.digest(FILE),
        digest(config.path, "config.json", revision=config.revision),
        of_tokenizer(config.tokenizer_path, config.tokenizer_revision),
    )


def build(config: Config, device: "torch.device") -> PickScore:
    """Raises `ModelError` for missing weights, `ScorerError` for others than the published."""
    from transformers import CLIPTokenizer

    from goldennoise.scorers.networks.transformers_clip import POSITION_IDS, untrained_clip
    from goldennoise.scorers.networks.weights import frozen, load_strictly, load_tokenizer, read_weights

    tensors = read_weights(config.path, FILE, config.revision, config.sha256)
    model = untrained_clip(config.path, config.revision, tensors)
    tokenizer = load_tokenizer(CLIPTokenizer, config.tokenizer_path, config.tokenizer_revision)
    load_strictly(model, tensors, f"{config.path}/{FILE}", POSITION_IDS)
    return PickScore(frozen(model, device, config.dtype), tokenizer, str(version(config)))
