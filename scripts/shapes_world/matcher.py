"""Two towers that tell which latents belong to which prompt embedding, trained against look-alike captions.

Not part of the world: `layouts.py` finds layouts with it. Random captions differ in what stands in an image; among the
captions whose mean tokens lie nearest, the same words in other roles, only the order of the objects and their relation
tell right from wrong. Order and relation are learnt in the second phase, with hardly any other captions.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from loop import Recipe, fit
from torch import Tensor, nn

RECIPES = {
    "matcher": Recipe(num_steps=2000, batch_size=384, learning_rate=1e-3, weight_decay=0.05, ema_decay=0.995),
    "matcher_roles": Recipe(
        num_steps=900, batch_size=368, learning_rate=1e-3, weight_decay=0.05, ema_decay=0.99, seed=1
    ),
}
NUM_ANCHORS = 8
NUM_LOOK_ALIKES = {"matcher": 40, "matcher_roles": 44}
"""Of every anchor, itself among them; the rest of a batch is random captions."""
WIDTH, KEY_DIM = 128, 256
TOKEN_NOISE, LATENT_NOISE = 0.1, 0.2
"""Without them the towers begin to learn their 60,000 images by heart."""


class TextTower(nn.Module):
    def __init__(self, num_tokens: int, text_dim: int) -> None:
        super().__init__()
        self.into = nn.Linear(text_dim, WIDTH)
        self.whole = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.places = nn.Parameter(torch.randn(num_tokens + 1, WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 3 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, KEY_DIM)

    def forward(self, tokens: Tensor) -> Tensor:
        """Keys (B, KEY_DIM) of unit length of prompt embeddings (B, tokens, dim)."""
        sequence = torch.cat([self.whole.expand(len(tokens), -1, -1), self.into(tokens)], dim=1) + self.places
        return F.normalize(self.out(self.layers(sequence)[:, 0]), dim=1)


class ImageTower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(6, 64, 4, 2, 1), nn.SiLU(), _block(64, 64, 1), _block(64, 128, 2), _block(128, 128, 1),
            nn.Flatten(), nn.Linear(128 * 16, KEY_DIM),
        )  # fmt: skip
        line = torch.linspace(-1, 1, 16)
        self.register_buffer("places", torch.stack(torch.meshgrid(line, line, indexing="ij"))[None])

    def forward(self, latents: Tensor) -> Tensor:
        """Keys (B, KEY_DIM) of unit length of latents (B, 4, 16, 16)."""
        placed = torch.cat([latents, self.places.expand(len(latents), -1, -1, -1)], dim=1)
        return F.normalize(self.layers(placed), dim=1)


class Matcher(nn.Module):
    """Prompt and image belong together as far as the keys of their towers have a large cosine."""

    def __init__(self, mean: Tensor, deviation: Tensor, num_tokens: int) -> None:
        """mean, deviation: (dim,) of the prompt embeddings' tokens."""
        super().__init__()
        self.text = TextTower(num_tokens, len(mean))
        self.image = ImageTower()
        self.log_scale = nn.Parameter(torch.tensor(2.7))
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def normal(self, embeddings: Tensor) -> Tensor:
        """What the text tower takes, of prompt embeddings (B, tokens, dim)."""
        return (embeddings - self.mean) / self.deviation


def train(embeddings: Tensor, latents: Tensor, caption_of_image: Tensor, folder: Path) -> Matcher:
    """A matcher in evaluation mode; a killed training goes on from `folder`.

    embeddings: (captions, tokens, dim). latents: (images, 4, 16, 16), unit scale. caption_of_image: (images,) rows of
    `embeddings`, every one of which has an image.
    """
    torch.manual_seed(0)
    model = Matcher(embeddings.mean(dim=(0, 1)), embeddings.std(dim=(0, 1)), embeddings.shape[1])
    for name in RECIPES:
        _train_phase(name, model, embeddings, latents, caption_of_image, folder)
    return model


def _train_phase(
    name: str, model: Matcher, embeddings: Tensor, latents: Tensor, caption_of_image: Tensor, folder: Path
) -> None:
    tokens, look_alikes = model.normal(embeddings), _look_alikes(embeddings, NUM_LOOK_ALIKES[name])
    num_others = RECIPES[name].batch_size - NUM_ANCHORS * NUM_LOOK_ALIKES[name]
    images = caption_of_image.argsort()
    first = torch.searchsorted(caption_of_image[images], torch.arange(len(embeddings) + 1))

    def loss_of(step: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
        anchors = torch.randint(len(embeddings), (NUM_ANCHORS,), generator=generator)
        others = torch.randint(len(embeddings), (num_others,), generator=generator)
        asked = torch.cat([look_alikes[anchors].flatten(), others]).unique()
        counts = first[asked + 1] - first[asked]
        chosen = images[first[asked] + (torch.rand(len(asked), generator=generator) * counts).long()]
        keys = model.text(_noisy(tokens[asked], TOKEN_NOISE, generator))
        logits = model.log_scale.exp() * keys @ model.image(_noisy(latents[chosen], LATENT_NOISE, generator)).T
        own = torch.arange(len(asked))
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    fit(name, model, RECIPES[name], loss_of, folder)


def _look_alikes(embeddings: Tensor, number: int) -> Tensor:
    """(captions, number) captions of the nearest mean tokens, which hold the words and not their order."""
    means = embeddings.mean(dim=1)
    means = F.normalize(means - means.mean(dim=0), dim=1)
    return torch.cat([(rows @ means.T).topk(number, dim=1).indices for rows in means.split(1000)])


def _noisy(values: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    return values + amount * torch.randn(values.shape, generator=generator)


def _block(channels_in: int, channels_out: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, stride, 1), nn.GroupNorm(8, channels_out), nn.SiLU())
