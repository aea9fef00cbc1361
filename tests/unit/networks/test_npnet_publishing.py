"""Published layouts written here: read back, and by code that is not ours and knows nothing but the formulas."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small_npnet
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from goldennoise.errors import ModelError
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import NPNet
from goldennoise.networks.npnet.network import build as seeded_npnet
from goldennoise.networks.published import load_published
from goldennoise.networks.publishing import FILES, save_published

PUBLISHED = ArchitectureConfig(canonical_signs=False)
CONFIG = NPNetConfig((4, 16, 16), 77, 6, PUBLISHED)


def make_network(config: NPNetConfig = CONFIG) -> NPNet:
    """Every part contributes to the output."""
    network = seeded_npnet(config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.singular_values.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        network.alpha.fill_(0.9)
        network.beta.fill_(0.7)
    return network.eval()


def make_inputs(config: NPNetConfig = CONFIG) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(2, *config.latent_shape, generator=generator)
    return noise, torch.randn(2, config.num_tokens, config.text_dim, generator=generator)


def mlp(size: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, size))


class OtherCode(nn.Module):
    """The published network for square latents, from its formulas (arXiv 2411.09502, section 3.2) and tensor names."""

    def __init__(self, side: int, text: int) -> None:
        super().__init__()
        size = 2 * side
        self.alpha, self.beta = nn.Parameter(torch.empty(1)), nn.Parameter(torch.empty(1))
        self.text_embedding = nn.ModuleDict({"linear": nn.Linear(text, 8)})
        attention = nn.ModuleDict({"qkv": nn.Linear(size, 3 * size, bias=False), "proj": nn.Linear(size, size)})
        three = nn.Sequential(nn.Linear(size, size))
        parts = {"mlp1": mlp(size, 64), "mlp2": mlp(size, 64), "mlp3": three, "mlp4": mlp(size, 1024)}
        self.unet_svd = nn.ModuleDict({**parts, "attention": attention, "bn": nn.BatchNorm2d(size)})
        swin: Any = timm.create_model("swin_tiny_patch4_window7_224", pretrained=False)
        convolutions = {"downconv": nn.Conv2d(4, 3, 1), "upconv": nn.Conv2d(7, 4, 1)}
        self.unet_embedding = nn.ModuleDict({**convolutions, "swin": swin})

    def forward(self, noise: Tensor, text: Tensor) -> Tensor:
        scale, shift = self.text_embedding["linear"](text.flatten(1)).chunk(2, dim=1)
        mean, variance = noise.mean((1, 2, 3), keepdim=True), noise.var((1, 2, 3), correction=0, keepdim=True)
        normal = (noise - mean) / (variance + 1e-6).sqrt()
        embedding = normal * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
        gate = 2 * torch.sigmoid(self.alpha) - 1
        return self.singular(noise) + gate * embedding + self.beta * self.residual(noise + embedding)

    def singular(self, noise: Tensor) -> Tensor:
        part = self.unet_svd
        top, bottom = torch.cat([noise[:, 0], noise[:, 1]], dim=2), torch.cat([noise[:, 2], noise[:, 3]], dim=2)
        u, s, vh = torch.linalg.svd(torch.cat([top, bottom], dim=1))
        m = part["mlp1"](u.transpose(1, 2)) + part["mlp2"](vh) + part["mlp3"](s)[:, None]
        query, key, value = part["attention"]["qkv"](m).chunk(3, dim=2)
        heads = []
        for q, k, v in zip(query.chunk(8, dim=2), key.chunk(8, dim=2), value.chunk(8, dim=2), strict=True):
            heads.append(torch.softmax(q @ k.transpose(1, 2) / q.shape[2] ** 0.5, dim=2) @ v)
        m = part["attention"]["proj"](torch.cat(heads, dim=2)).mean(1)
        matrix = u @ torch.diag_embed(part["mlp4"](m) + s) @ vh
        side = noise.shape[2]
        rows = matrix[:, :side], matrix[:, side:]
        return torch.stack([rows[0][..., :side], rows[0][..., side:], rows[1][..., :side], rows[1][..., side:]], dim=1)

    def residual(self, x: Tensor) -> Tensor:
        part = self.unet_embedding
        features = part["swin"].forward_features(F.interpolate(part["downconv"](x), (224, 224)))
        return part["upconv"](F.interpolate(features, x.shape[2:]))


def read_elsewhere(path: Path) -> OtherCode:
    """Strictly, as code in circulation reads its two kinds of files."""
    other = OtherCode(CONFIG.latent_shape[1], CONFIG.num_tokens * CONFIG.text_dim)
    if path.suffix == ".safetensors":
        other.load_state_dict(load_file(path), strict=True)
        return other.eval()
    content = torch.load(path, weights_only=True)
    for part in ("unet_svd", "unet_embedding"):
        getattr(other, part).load_state_dict(content[part], strict=True)
    other.text_embedding.load_state_dict(content["embeeding"], strict=True)
    assert content.keys() == {"unet_svd", "unet_embedding", "embeeding", "alpha", "beta"}
    other.alpha.data, other.beta.data = content["alpha"], content["beta"]
    return other.eval()


@torch.no_grad()
@pytest.mark.parametrize(("layout", "attention"), [("nested", True), ("flat", False)])
def test_other_code_and_ours_read_the_same_network(tmp_path: Path, layout: str, attention: bool) -> None:
    network = make_network(replace(CONFIG, architecture=replace(PUBLISHED, svd_attention=attention)))
    path = tmp_path / FILES[layout]
    save_published(network, path, layout)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    noise, text = make_inputs()
    golden = network(noise, text)
    assert (golden - noise).norm() / noise.norm() > 0.1
    theirs = read_elsewhere(path)(noise, text)
    assert (theirs - golden).norm() / golden.norm() < 1e-4

    again = load_published(path)
    assert again.config == CONFIG
    state = again.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    torch.testing.assert_close(again(noise, text), golden, rtol=0, atol=0.0 if attention else 1e-4)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (replace(CONFIG, architecture=replace(PUBLISHED, canonical_signs=True)), "canonical_signs=True, not False"),
        (replace(CONFIG, architecture=replace(PUBLISHED, value_hidden=64)), "value_hidden=64, not 1024"),
        (replace(CONFIG, architecture=replace(PUBLISHED, attention_heads=4)), "attention_heads=4, not 8"),
        (replace(CONFIG, latent_shape=(16, 16, 16)), "16 latent channels, not 4"),
        (replace(CONFIG, num_tokens=64), "64 tokens, not 77"),
        (replace(CONFIG, vector_mean="after"), "vector_mean=after, not before"),
    ],
)
def test_what_a_published_layout_cannot_hold_is_refused_by_name(config: NPNetConfig, expected: str) -> None:
    with pytest.raises(ModelError) as caught:
        config.refuse_unpublishable()
    assert f"this NPNet has {expected}; keep it in the layout goldennoise" in str(caught.value)


def test_a_network_that_is_refused_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="canonical_signs=True, not False"):
        save_published(small_npnet.make_network(), tmp_path / "npnet.pth", "nested")
    assert not list(tmp_path.iterdir())


def test_every_difference_is_named_and_training_options_are_none() -> None:
    replace(CONFIG, architecture=replace(PUBLISHED, drop_path_rate=0.3)).refuse_unpublishable()
    with pytest.raises(ModelError, match="image_size=32, not 224; canonical_signs=True, not False; 64 tokens, not 77"):
        NPNetConfig((4, 16, 16), 64, 6, ArchitectureConfig(image_size=32)).refuse_unpublishable()


def test_an_interrupted_write_leaves_no_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: object, target: Path) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("goldennoise.networks.publishing.save_file", stop)
    with pytest.raises(KeyboardInterrupt):
        save_published(make_network(), tmp_path / "npnet.safetensors", "flat")
    assert not (tmp_path / "npnet.safetensors").exists()
