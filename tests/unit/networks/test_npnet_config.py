import subprocess
import sys
from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ValidationError

from goldennoise.errors import ConfigError, ModelError
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig


def test_omegaconf_gives_the_dataclass_back() -> None:
    schema = OmegaConf.structured(ArchitectureConfig)
    config: Any = OmegaConf.to_object(OmegaConf.merge(schema, {"depths": [2, 2], "heads": [3, 6]}))
    assert config == ArchitectureConfig(depths=(2, 2), heads=(3, 6))
    assert hash(config) == hash(ArchitectureConfig(depths=(2, 2), heads=(3, 6)))


@pytest.mark.parametrize("wrong", [{"depths": ["two"]}, {"embed_dim": "wide"}, {"svd_attention": "perhaps"}])
def test_omegaconf_refuses_wrong_types(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OmegaConf.merge(OmegaConf.structured(ArchitectureConfig), wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "unet"}, "kind=unet: kind must be npnet"),
        ({"embed_dim": 0}, "embed_dim=0: embed_dim must be at least 1"),
        ({"attention_heads": -1}, "attention_heads=-1"),
        ({"drop_path_rate": 1.0}, "drop_path_rate=1.0: drop_path_rate must be at least 0 and below 1"),
        ({"depths": ()}, "depths="),
        ({"depths": (2, 0, 6, 2)}, "depths="),
        ({"heads": (3, 6)}, "one number >= 1 for each of the 4 stages"),
        ({"heads": (3, 6, 12, 25)}, "25 is none of 768"),
        ({"image_size": 230}, "image_size=230: image_size must be a multiple of 32"),
        ({"pretrained_backbone": True, "window": 8}, "pretrained_backbone must be false unless"),
    ],
)
def test_out_of_range_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ArchitectureConfig(**options)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"latent_shape": (4, 8)}, r"latents \(C, h, w\)"),
        ({"latent_shape": (4, 8, 8), "num_tokens": 0}, "sizes >= 1"),
        ({"latent_shape": (4, 8, 8), "vector_mean": "none"}, "vector_mean=none: vector_mean must be before or after"),
        ({"latent_shape": (4, 9, 9)}, "attention_heads=8 does not divide the 18 singular values"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        NPNetConfig(**({"num_tokens": 5, "text_dim": 6} | config))


def test_sizes_of_the_published_network() -> None:
    config = NPNetConfig((4, 128, 128), 77, 2048)
    assert (config.channel_grid, config.matrix_shape, config.num_values) == ((2, 2), (256, 256), 256)
    assert config.architecture.feature_side == 7


@pytest.mark.parametrize("module", ["goldennoise", "goldennoise.networks.npnet", "goldennoise.networks.layouts"])
def test_torch_is_not_imported(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
