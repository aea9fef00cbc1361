"""No public call changes what it is given, nor any global state: everything is compared before and after."""

import os
import random
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from peft import LoraConfig
from torch import nn
from unit.diffusion.families.test_families import FAMILIES
from unit.test_api import ARCHITECTURE, CONFIG, _network

from goldennoise import GoldenNoise, load_npnet, re_denoise
from goldennoise.api import golden_noise
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.errors import ModelError
from goldennoise.networks.checkpoint import save_npnet
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares"]
LONG = "a b c d e f g h " * 50
"""More than any text encoder reads."""


def plain(value: Any) -> Any:
    """Something that compares: content of tensors and containers, identity of everything else."""
    if isinstance(value, torch.Tensor):
        content = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        grad = None if not value.is_leaf or value.grad is None else plain(value.grad)
        return id(value), value.shape, value.dtype, str(value.device), value.requires_grad, hash(content), grad
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, Mapping):
        return {plain(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(part) for part in value]
    return value if isinstance(value, str | bytes | int | float | None) else (type(value).__name__, id(value))


def changes(before: Any, after: Any, path: str = "") -> list[str]:
    """Where two states differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [change for key in keys for change in changes(before.get(key), after.get(key), f"{path}/{key}")]
    return [] if before == after else [f"{path}: {before} -> {after}"]


def state_of_network(network: nn.Module) -> Any:
    """Flags, hooks, tensors, adapters and whatever else stands in any submodule."""
    return {name: plain(vars(module)) for name, module in network.named_modules()}


def state_of(pipe: Any) -> Any:
    found: dict[str, Any] = {"pipeline": plain(vars(pipe))}
    for name, part in pipe.components.items():
        if isinstance(part, nn.Module):
            found[name] = state_of_network(part)
            continue
        # The last is transformers' note of the warnings that it has given, each of which it gives once.
        others = {key: value for key, value in getattr(part, "__dict__", {}).items() if key != "deprecation_warnings"}
        found[name] = plain(others)
        if hasattr(part, "backend_tokenizer"):
            found[f"{name} as saved"] = part.backend_tokenizer.to_str()
    return found


def global_state() -> Any:
    backends = torch.backends
    return {
        "random": [plain(torch.get_rng_state().numpy()), plain(np.random.get_state()), random.getstate()],
        "grad": [torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")],
        "dtypes": [torch.get_default_dtype(), torch.get_float32_matmul_precision(), torch.get_num_threads()],
        "kernels": [torch.are_deterministic_algorithms_enabled(), backends.cudnn.benchmark, backends.mkldnn.enabled],
        "logging": [transformers.logging.get_verbosity(), diffusers.logging.get_verbosity(), list(warnings.filters)],
        "environment": dict(os.environ),
        "folder": Path.cwd(),
    }


def training_pipeline(kind: str) -> Any:
    """As in fine-tuning: some submodules train, others do not, and dropout is everywhere."""
    pipe = FAMILIES[kind]()
    networks = [part for part in pipe.components.values() if isinstance(part, nn.Module)]
    for number, module in enumerate(module for network in networks for module in network.modules()):
        module.training = number % 5 != 0
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    for number, weight in enumerate(weight for network in networks for weight in network.parameters()):
        weight.requires_grad_(number % 7 != 0)
    networks[0].register_forward_hook(lambda *_: None)
    return pipe


@cache
def resting(kind: str) -> Any:
    """A pipeline of the same weights that is not in training, and never looked at for changes."""
    return FAMILIES[kind]()


def network_for(kind: str) -> Any:
    model = from_pipeline(resting(kind))
    with torch.no_grad():
        text = model.encode(PROMPTS).cond
    return _network(NPNetConfig(model.latent_shape, *text.shape[1:], ARCHITECTURE)).train()


def source_for(kind: str) -> torch.Tensor:
    return gaussian_noise(from_pipeline(resting(kind)).latent_shape, range(2))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def by_network(pipe: Any, network: Any, **arguments: Any) -> Any:
    return GoldenNoise(network)(pipe, PROMPTS, **arguments)


def by_re_denoise(pipe: Any, network: Any, **arguments: Any) -> Any:  # noqa: ARG001
    return re_denoise(pipe, PROMPTS, num_steps=2, **arguments)


def interrupted(call: Callable[..., Any], pipe: Any, network: Any, **arguments: Any) -> None:
    """The call, stopped in the middle of a text encoder."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    hook = list(pipe.text_encoder.modules())[-1].register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        call(pipe, network, **arguments)
    hook.remove()


CALLS: dict[str, tuple[Callable[..., Any], str]] = {
    "GoldenNoise": (by_network, "generator"),
    "re_denoise": (by_re_denoise, "latents"),
    "GoldenNoise, interrupted": (partial(interrupted, by_network), "latents"),
    "re_denoise, interrupted": (partial(interrupted, by_re_denoise), "generator"),
}
"""The calls, and what each is given."""


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_pipeline_in_training_is_left_as_it_was(kind: str, name: str) -> None:
    pipe = training_pipeline(kind)
    call, given = CALLS[name]
    network = network_for(kind)
    arguments = {"latents": source_for(kind)} if given == "latents" else {"generator": generator()}
    before = state_of(pipe), state_of_network(network), plain(arguments), global_state()
    call(pipe, network, **arguments)
    after = state_of(pipe), state_of_network(network), plain(arguments), global_state()
    assert [changes(*states) for states in zip(before, after, strict=True)] == [[], [], [], []]


@pytest.mark.parametrize("kind", FAMILIES)
def test_golden_noise_of_a_pipeline_in_training_is_that_of_one_at_rest(kind: str) -> None:
    pipe, network, source = training_pipeline(kind), network_for(kind), source_for(kind)
    for call in (by_network, by_re_denoise):
        assert torch.equal(call(pipe, network, latents=source), call(resting(kind), network, latents=source))


@pytest.mark.parametrize("kind", FAMILIES)
def test_training_goes_on_after_golden_noise(kind: str) -> None:
    pipe = training_pipeline(kind)
    network = network_for(kind)
    for call in (by_network, by_re_denoise):
        call(pipe, network, generator=generator())
    model = from_pipeline(pipe)
    model.decode(model.sample(SamplingPlan(source_for(kind), num_steps=1), model.encode(PROMPTS))).sum().backward()
    for name in (model.denoiser, "vae", *model.text_encoders):
        trained = [weight for weight in getattr(pipe, name).parameters() if weight.requires_grad]
        assert any(weight.grad is not None and weight.grad.any() for weight in trained), name


@pytest.mark.parametrize("kind", [kind for kind in FAMILIES if hasattr(FAMILIES[kind](), "load_lora_weights")])
def test_an_adapter_in_training_is_left_as_it_was(kind: str) -> None:
    pipe = training_pipeline(kind)
    denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    denoiser.requires_grad_(False)
    lora = LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False, lora_dropout=0.5)
    denoiser.add_adapter(lora, "tuned")
    denoiser.train()
    network, source = network_for(kind), source_for(kind)
    before = state_of(pipe)
    for call in (by_network, by_re_denoise):
        assert torch.equal(call(pipe, network, latents=source), call(pipe, network, latents=source))
    assert changes(before, state_of(pipe)) == []
    model = from_pipeline(pipe)
    model.sample(SamplingPlan(source, num_steps=1), model.encode(PROMPTS)).sum().backward()
    assert all(weight.grad is not None for weight in denoiser.parameters() if weight.requires_grad)


@pytest.mark.parametrize("call", [by_network, by_re_denoise])
def test_without_a_generator_torch_draws_as_it_does_for_the_pipeline(call: Callable[..., Any]) -> None:
    pipe, network, source = resting("stable_diffusion"), network_for("stable_diffusion"), source_for("stable_diffusion")
    before = torch.get_rng_state()
    pipe.prepare_latents(len(source), 4, 32, 32, torch.float32, "cpu", None)
    expected = torch.get_rng_state()
    torch.set_rng_state(before)
    call(pipe, network)
    assert torch.equal(torch.get_rng_state(), expected)


def test_a_prompt_too_long_leaves_the_tokenizer_as_it_was() -> None:
    for kind in FAMILIES:
        pipe = FAMILIES[kind]()
        before = state_of(pipe)
        re_denoise(pipe, LONG, num_steps=2, generator=generator())
        assert changes(before, state_of(pipe)) == []


def test_the_network_given_is_copied() -> None:
    network = _network().train()
    golden = GoldenNoise(network)
    pipe, source = FAMILIES["stable_diffusion"](), torch.randn(2, 4, 8, 8, generator=generator())
    first = golden(pipe, PROMPTS, latents=source)
    with torch.no_grad():
        network.alpha.fill_(-1.0)  # the next step of its training
    assert torch.equal(golden(pipe, PROMPTS, latents=source), first)
    assert not torch.equal(GoldenNoise(network)(pipe, PROMPTS, latents=source), first)


def push(golden: GoldenNoise, folder: Path) -> None:  # noqa: ARG001
    golden.push_to_hub("owner/name", license="mit")


def refused(golden: GoldenNoise, folder: Path) -> None:  # noqa: ARG001
    with pytest.raises(ModelError):
        load_npnet(folder / "v2")


STORING: dict[str, Callable[[GoldenNoise, Path], Any]] = {
    "save_pretrained": lambda golden, folder: golden.save_pretrained(folder / "copy", license="mit"),
    "push_to_hub": push,
    "from_pretrained": lambda _, folder: GoldenNoise.from_pretrained(folder / "v1"),
    "load_npnet": lambda _, folder: load_npnet(folder / "v1"),
    "packaged": lambda *_: load_npnet("packaged/shapes"),
    "refused": refused,
}


@pytest.mark.parametrize("call", STORING)
def test_storing_and_loading_change_nothing_but_the_new_folder(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden_noise, "upload", lambda folder, repository: f"{folder} to {repository}")
    network, record = _network(CONFIG).train(), {"identity": {"model": {"path": "shapes"}}}
    save_npnet(network, tmp_path / "v1", record)
    golden = GoldenNoise(network, record)
    files = {path: path.read_bytes() for path in (tmp_path / "v1").iterdir()}
    before = state_of_network(network), state_of_network(golden.network), plain(record), global_state()
    STORING[call](golden, tmp_path)
    assert (state_of_network(network), state_of_network(golden.network), plain(record), global_state()) == before
    assert {path: path.read_bytes() for path in (tmp_path / "v1").iterdir()} == files
