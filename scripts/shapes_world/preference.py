"""The world's preference model: a small CLIP of open_clip's own class, trained against hard negatives."""

import json
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from groups import GROUP_SIZE, NUM_CAPTIONS, Groups
from loop import Recipe, fit
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur
from transformers import CLIPTokenizer

RECIPE = Recipe(num_steps=2400, batch_size=16, learning_rate=1e-3)
"""Batches of 16 groups of 9 scenes."""
MAX_BLUR_PX = 1.0
MAX_NOISE = 0.05
MAX_LOGIT_SCALE = 100.0


def config(tokenizer: CLIPTokenizer) -> dict:
    """open_clip's JSON model config."""
    return {
        "model_cfg": {
            "embed_dim": 128,
            "vision_cfg": {"image_size": 64, "layers": [2, 2, 2, 2], "width": 24},
            "text_cfg": {
                "context_length": tokenizer.model_max_length,
                "vocab_size": len(tokenizer),
                "hf_tokenizer_name": "local",
                "width": 128,
                "heads": 4,
                "layers": 3,
            },
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize_mode": "squash"},
    }


def write_config(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """The folder that open_clip's `local-dir:` reads, but for the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    (folder / "open_clip_config.json").write_text(json.dumps(config(tokenizer), indent=2) + "\n")


def train(groups: Groups, tokenizer: CLIPTokenizer, folder: Path) -> nn.Module:
    torch.manual_seed(RECIPE.seed)
    write_config(tokenizer, folder / "clip")
    model = open_clip.create_model(f"local-dir:{folder / 'clip'}", load_weights=False)
    tokenize = open_clip.get_tokenizer(f"local-dir:{folder / 'clip'}")
    tokens = torch.stack([tokenize(texts) for texts in groups.texts])
    truth = torch.from_numpy(groups.truth)

    def loss_of(step: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
        rows = torch.randint(len(tokens), (RECIPE.batch_size,), generator=generator).sort().values
        pixels = torch.from_numpy(groups.pixels[rows.numpy()]).flatten(0, 1).permute(0, 3, 1, 2).float()
        images = _augmented(pixels / 127.5 - 1, generator)
        image_features = model.encode_image(images, normalize=True).view(len(rows), GROUP_SIZE, -1)
        text_features = model.encode_text(tokens[rows].flatten(0, 1), normalize=True).view(len(rows), NUM_CAPTIONS, -1)
        scale = model.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE)
        return _contrast(scale * text_features @ image_features.mT, truth[rows])

    return fit("preference", model, RECIPE, loss_of, folder)


def _contrast(logits: Tensor, truth: Tensor) -> Tensor:
    """Symmetric InfoNCE within groups; what is true by chance is no negative. logits, truth: (n, captions, images)."""
    own = torch.eye(NUM_CAPTIONS, GROUP_SIZE, dtype=torch.bool)
    logits = logits.masked_fill(truth & ~own, -torch.inf)
    target = torch.arange(NUM_CAPTIONS).expand(len(logits), -1)
    per_caption = F.cross_entropy(logits.mT, target)
    per_image = F.cross_entropy(logits[:, :, :NUM_CAPTIONS], target)
    return (per_caption + per_image) / 2


def _augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur and noise as a decoder leaves them, so that the model looks at content."""
    blur = float(torch.rand((), generator=generator)) * MAX_BLUR_PX + 0.05
    noise = torch.randn(images.shape, generator=generator) * torch.rand(len(images), 1, 1, 1, generator=generator)
    return gaussian_blur(images, [5, 5], [blur, blur]) + MAX_NOISE * noise
