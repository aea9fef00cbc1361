"""A LoRA that changes the noise: what it computes in each family, that it leaves the model alone, and its files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import LCMScheduler
from tiny import tiny_pipeline, tiny_xl_pipeline
from tiny_flows import tiny_flux_pipeline, tiny_sana_pipeline, tiny_sd3_pipeline
from tiny_transformers import tiny_hunyuan_pipeline, tiny_pixart_pipeline
from torch import Tensor

from goldennoise import GoldenNoise
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.errors import ModelError
from goldennoise.networks import network_config
from goldennoise.networks.checkpoint import load_npnet, save_npnet
from goldennoise.networks.network import seeded_network
from goldennoise.networks.noise_lora import Config
from goldennoise.networks.noise_lora.network import NoiseLora
from goldennoise.runtime.seeding import gaussian_noise

PIPELINES: dict[str, Callable[[], Any]] = {
    "sd": tiny_pipeline,
    "sdxl": tiny_xl_pipeline,
    "sd3": tiny_sd3_pipeline,
    "flux": tiny_flux_pipeline,
    "sana": tiny_sana_pipeline,
    "pixart": tiny_pixart_pipeline,
    "hunyuan": tiny_hunyuan_pipeline,
}
PROMPTS = ["red", "two blue squares"]


def network_for(model: Any, seed: int = 0, *, trained: bool = True) -> NoiseLora:
    """With random weights in place of the zeros that it begins with, unless it is not `trained`."""
    cond = model.encode(["red"]).cond
    config = network_config(Config(rank=3), model.latent_shape, *cond.shape[1:]).on(model)
    network: Any = seeded_network(config, seed)
    if trained:
        generator = torch.Generator().manual_seed(seed)
        for name, weight in network.named_parameters():
            if name.endswith("lora_B.weight"):
                weight.data = 0.1 * torch.randn(weight.shape, generator=generator)
    return network.eval()


def predicted(network: NoiseLora, model: Any) -> tuple[Tensor, Tensor]:
    """Source and golden noise."""
    noise = gaussian_noise(model.latent_shape, [1, 2])
    with torch.no_grad():
        return noise, network.predict(model, noise, model.encode(PROMPTS))


@pytest.mark.parametrize("family", PIPELINES)
def test_it_is_the_denoiser_with_the_lora_added_to_its_weights_and_the_last_layer_of_the_lora_alone(
    family: str,
) -> None:
    model: Any = from_pipeline(PIPELINES[family]())
    network = network_for(model)
    assert not any(name.split(".")[-1] == "weight" and "lora" not in name for name in network.state_dict())
    noise, golden = predicted(network, model)
    before = model.num_evaluations
    predicted(network, model)
    assert model.num_evaluations == before + len(noise)
    # The same by other means: weights W + B A, and the last layer's B A without W and without its bias.
    adapters = {
        name.rpartition(".lora_A")[0]: weight for name, weight in network.named_parameters() if "lora_A" in name
    }
    denoiser = model.network
    for path, first in adapters.items():
        second = network.get_parameter(f"{path}.lora_B.weight")
        name = path.split(".", 1)[1]
        layer = denoiser.get_submodule(name)
        both = torch.einsum("or,r...->o...", second.flatten(1), first)
        if name in ("conv_out", "proj_out"):
            layer.weight.data.zero_()
            if layer.bias is not None:
                layer.bias.data.zero_()
        layer.weight.data += both
    with torch.no_grad():
        change = model.first_output(noise, model.encode(PROMPTS), model.num_steps)
    assert change.abs().max() > 1e-3
    torch.testing.assert_close(golden - noise, change, rtol=1e-3, atol=1e-4)


def test_before_training_nothing_changes_and_the_model_is_left_as_it_was() -> None:
    model: Any = from_pipeline(tiny_pipeline())
    weights = {name: weight.clone() for name, weight in model.network.state_dict().items()}
    noise, golden = predicted(network_for(model, trained=False), model)
    assert torch.equal(noise, golden)
    predicted(network_for(model), model)
    assert all(torch.equal(weight, weights[name]) for name, weight in model.network.state_dict().items())
    assert not any(module._forward_hooks for module in model.network.modules())


def test_rows_do_not_meet_and_a_gradient_reaches_every_adapter_and_no_weight() -> None:
    model: Any = from_pipeline(tiny_xl_pipeline())
    network = network_for(model)
    noise, golden = predicted(network, model)
    with torch.no_grad():
        alone = network.predict(model, noise[1:], model.encode(PROMPTS[1:]))
    torch.testing.assert_close(alone, golden[1:], rtol=1e-4, atol=1e-5)
    network.predict(model, noise, model.encode(PROMPTS)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_it_is_evaluated_at_the_first_timestep_of_the_sampler_that_it_was_trained_with() -> None:
    pipe = tiny_pipeline()
    model: Any = from_pipeline(pipe)
    model.num_steps = 4
    network = network_for(model)
    seen: list[float] = []
    model.network.register_forward_pre_hook(lambda _, args: seen.append(float(args[1])))
    predicted(network, model)
    model.num_steps = 50
    predicted(network, model)
    assert seen == [751.0, 751.0]
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    predicted(network, model)
    assert seen[2:] == [999.0]


def test_a_denoiser_that_was_compiled_and_used_is_adapted_all_the_same() -> None:
    model: Any = from_pipeline(tiny_pipeline())
    network = network_for(model)
    _, golden = predicted(network, model)
    for in_place in (True, False):
        pipe = tiny_pipeline()
        if in_place:
            pipe.unet.compile(backend="eager")
        else:
            pipe.unet = torch.compile(pipe.unet, backend="eager")
        other: Any = from_pipeline(pipe)
        other.num_steps = model.num_steps
        noise = gaussian_noise(other.latent_shape, [1, 2])
        with torch.no_grad():
            other.first_output(noise, other.encode(PROMPTS), other.num_steps)
        torch.testing.assert_close(predicted(network, other)[1], golden, rtol=1e-4, atol=1e-5)
        assert network_for(other).config == network.config


def test_diffusers_loads_its_file_and_gives_the_same_noise(tmp_path: Path) -> None:
    pipe = tiny_pipeline()
    model: Any = from_pipeline(pipe)
    network = network_for(model)
    noise, golden = predicted(network, model)
    save_npnet(network, tmp_path, {})
    again: Any = load_npnet(tmp_path)
    assert torch.equal(predicted(again, model)[1], golden)

    pipe.load_lora_weights(tmp_path, weight_name="model.safetensors")
    last = pipe.unet.conv_out.base_layer
    last.weight.data.zero_()
    last.bias.data.zero_()
    text, _ = pipe.encode_prompt(PROMPTS, "cpu", 1, do_classifier_free_guidance=False)
    pipe.scheduler.set_timesteps(model.num_steps)
    with torch.no_grad():
        change = pipe.unet(noise, pipe.scheduler.timesteps[0], text).sample
    torch.testing.assert_close(noise + change, golden, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["sd", "sdxl", "flux"])
def test_three_lines_of_python(family: str) -> None:
    pipe = PIPELINES[family]()
    model: Any = from_pipeline(pipe)
    network = network_for(model)
    noise, golden = predicted(network, model)
    found = GoldenNoise(network)(pipe, PROMPTS, latents=noise)
    torch.testing.assert_close(found, model.for_pipeline(golden), rtol=1e-4, atol=1e-5)


def test_a_network_for_another_denoiser_is_one_sentence() -> None:
    model, other = (from_pipeline(PIPELINES[family]()) for family in ("sd", "sdxl"))
    config = network_for(other).config
    network: Any = network_for(model)
    object.__setattr__(network.config, "layers", config.layers)
    with pytest.raises(ModelError, match="adapts layers that the UNet2DConditionModel of this model does not have"):
        predicted(network, model)
    with pytest.raises(ModelError, match="call predict, with the model"):
        network(torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize(
    "layers",
    [
        {"conv_out": [4]}, {"conv_out": [4, 0]}, {"conv_out": [4, 4, 3, 0, 1]}, {"conv_out": [4, 4, 3, 1, -1]},
        {"conv_out": "ab"}, {"conv_out": 3}, {"conv out": [4, 4]}, {"": [4, 4]}, {"conv_out": [4, 4.0]},
    ],
)  # fmt: skip
def test_a_damaged_configuration_is_one_sentence(tmp_path: Path, layers: dict[str, Any]) -> None:
    save_npnet(network_for(from_pipeline(tiny_pipeline())), tmp_path, {})
    content = json.loads((tmp_path / "config.json").read_text())
    content["network"]["layers"] = layers
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="is no linear layer and no convolution"):
        load_npnet(tmp_path)


def test_layers_that_the_weights_do_not_fit_are_one_sentence(tmp_path: Path) -> None:
    save_npnet(network_for(from_pipeline(tiny_pipeline())), tmp_path, {})
    content = json.loads((tmp_path / "config.json").read_text())
    content["network"]["layers"]["conv_in"][0] = 5
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="does not hold the tensors of its NPNet"):
        load_npnet(tmp_path)
    content["network"]["layers"]["forward"] = [4, 4]
    content["network"]["layers"]["conv_in.weight.forward"] = [4, 4]
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ModelError):
        load_npnet(tmp_path)
