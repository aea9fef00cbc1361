"""The network of One More Step: the published sizes, diffusers' UNet without time, its files, and who refuses it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from unit.networks.small_npnet import make_network as make_npnet
from unit.networks.small_one_more_step import SMALL, make_inputs, make_network

from goldennoise import GoldenNoise
from goldennoise.errors import ConfigError, ModelError
from goldennoise.methods import build
from goldennoise.methods.npnet import Config as NPNetMethodConfig
from goldennoise.methods.tools import MethodTools
from goldennoise.networks.checkpoint import load_npnet, save_npnet
from goldennoise.networks.network import blank_network
from goldennoise.networks.one_more_step import Config, NetworkConfig
from goldennoise.networks.publishing import save_published

PUBLISHED_LIKE = Config(block_out_channels=(32, 64), layers_per_block=1)


def published_file(path: Path, **changes: Tensor | None) -> Path:
    """A file with the names of a UNet without time; changes: tensors by name with _ for ., None to leave one out."""
    network = make_network(architecture=PUBLISHED_LIKE)
    tensors = {name.removeprefix("unet."): tensor.contiguous() for name, tensor in network.state_dict().items()}
    for name, tensor in changes.items():
        tensors.pop(name.replace("__", "."), None)
        if tensor is not None:
            tensors[name.replace("__", ".")] = tensor
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("linear_projection", [True, False])
def test_the_default_is_the_published_network(linear_projection: bool) -> None:
    with torch.device("meta"):
        network = blank_network(NetworkConfig((4, 64, 64), 77, 1024, Config(linear_projection=linear_projection)))
    tensors = network.state_dict()
    assert len(tensors) == 458
    assert sum(tensor.numel() for tensor in tensors.values()) == 154_014_564
    assert not [name for name in tensors if "time" in name]


@torch.no_grad()
def test_it_is_diffusers_unet_where_time_adds_nothing() -> None:
    network, (noise, text) = make_network(), make_inputs()
    whole = UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=6,
        attention_head_dim=(1, 2),
        norm_num_groups=4,
        use_linear_projection=True,
    ).eval()
    missing, unexpected = whole.load_state_dict(network.unet.state_dict(), strict=False)
    assert not unexpected
    assert missing
    assert all("time_emb" in name for name in missing)
    for name, weight in whole.named_parameters():
        if "time_emb_proj" in name:
            weight.zero_()
    expected = -whole(noise, 321, text).sample
    assert expected.std() > 0.05
    torch.testing.assert_close(network(noise, text), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(network(noise, text)[1:2], network(noise[1:2], text[1:2]), rtol=0, atol=1e-5)


def test_it_takes_any_size_of_latents_and_no_other_channels_or_text() -> None:
    network, (noise, text) = make_network(), make_inputs((4, 6, 10))
    assert network(noise, text[:, :3]).shape == noise.shape
    with pytest.raises(ModelError, match=r"4 latent channels and prompt embeddings of width 6, not 4 and 7: .*text_"):
        network(noise, torch.zeros(4, 5, 7))
    with pytest.raises(ModelError, match="width 6, not 3 and 6"):
        network(noise[:, :3], text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"head_dim": 6}, r"head_dim=6: .*a divisor of each of block_out_channels=\[8, 16\]"),
        ({"norm_groups": 3}, "norm_groups=3"),
        ({"block_out_channels": ()}, "block_out_channels=.*one number >= 1 per block"),
        ({"layers_per_block": 0}, "layers_per_block=0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(SMALL, **options)


def test_it_is_kept_like_every_network(tmp_path: Path) -> None:
    network, inputs = make_network(), make_inputs()
    save_npnet(network, tmp_path, {})
    loaded = load_npnet(tmp_path)
    assert loaded.config == network.config
    assert torch.equal(loaded(*inputs), network(*inputs))


@pytest.mark.parametrize("linear_projection", [True, False])
def test_a_published_file_tells_its_sizes(linear_projection: bool, tmp_path: Path) -> None:
    architecture = Config(block_out_channels=(32, 64, 96), layers_per_block=2, linear_projection=linear_projection)
    network, inputs = make_network(architecture=architecture), make_inputs()
    tensors = {name.removeprefix("unet."): tensor for name, tensor in network.state_dict().items()}
    save_file(tensors, tmp_path / "oms.safetensors")
    loaded = load_npnet(tmp_path / "oms.safetensors")
    assert loaded.config == NetworkConfig((4, 64, 64), 77, 6, architecture)
    assert torch.equal(loaded(*inputs), network(*inputs))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conv_out__bias": None}, r"it is without conv_out\.bias"),
        ({"time_embedding__linear_1__bias": torch.zeros(3)}, r"with unexpected time_embedding\.linear_1\.bias"),
        ({"conv_norm_out__weight": torch.zeros(3)}, r"other shapes, conv_norm_out\.weight \(3,\) instead of \(32,\)"),
        (
            {"mid_block__attentions__0__transformer_blocks__0__attn2__to_k__weight": None},
            r"no network of One More Step: it lacks mid_block.*attn2\.to_k\.weight of 2 dimensions",
        ),
        ({"down_blocks__0__resnets__0__conv1__weight": None}, r"it lacks down_blocks\.0\.resnets\.0\.conv1\.weight"),
        ({"conv_in__weight": torch.zeros(3)}, r"it lacks conv_in\.weight of 4 dimensions"),
        ({"conv_in__weight": None}, "is no published NPNet"),
    ],
)
def test_another_file_is_refused_by_the_names_of_its_tensors(changes: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        load_npnet(published_file(tmp_path / "other.safetensors", **changes))


def test_a_published_file_of_it_has_no_attention_over_singular_vectors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"svd_attention=False.*which is no NPNet"):
        load_npnet(published_file(tmp_path / "oms.safetensors"), svd_attention=False)


def test_what_needs_golden_noise_refuses_it(tmp_path: Path) -> None:
    words = r"predicts an image, not noise: give it to method=\[one_more_step\]"
    save_npnet(make_network(), tmp_path, {})
    with pytest.raises(ModelError, match=words):
        GoldenNoise.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match=words):
        build(NPNetMethodConfig(), MethodTools({}, lambda *_: tmp_path))
    with pytest.raises(ModelError, match="draws images by another architecture"):
        save_published(make_network(), tmp_path / "file.pth", "nested")
    assert GoldenNoise(make_npnet()).network.config.architecture.output == "noise"
