import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from goldennoise import GoldenNoise
from goldennoise.errors import ConfigError, ModelError
from goldennoise.networks.checkpoint import load_npnet, save_npnet
from goldennoise.networks.layouts import Config as LayoutArchitecture
from goldennoise.networks.layouts import NetworkConfig as LayoutNPNetConfig
from goldennoise.networks.layouts.network import LayoutNPNet
from goldennoise.networks.layouts.network import build as seeded_layout_npnet
from goldennoise.networks.publishing import save_published

SHAPE, NUM_TOKENS, TEXT_DIM = (4, 6, 8), 5, 6
SMALL = LayoutArchitecture(num_layouts=3, rank=20, width=16, depth=1, heads=2, hidden=24)


def make_network(**options: Any) -> LayoutNPNet:
    """Away from its start: layouts about as long as the noise, weights that differ, inputs fitted."""
    network = seeded_layout_npnet(LayoutNPNetConfig(SHAPE, NUM_TOKENS, TEXT_DIM, replace(SMALL, **options)), seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    network.fit_inputs(*make_data())
    return network.eval()


def make_data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(6)
    embeddings = torch.randn(40, NUM_TOKENS, TEXT_DIM, generator=generator) @ torch.randn(6, 6, generator=generator)
    return embeddings + 2, torch.randn(60, *SHAPE, generator=generator)


def make_inputs(num: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(num, *SHAPE, generator=generator)
    return noise, torch.randn(num, NUM_TOKENS, TEXT_DIM, generator=generator)


def by_the_formula(network: LayoutNPNet, noise: Tensor, prompt_embeds: Tensor) -> np.ndarray:
    """The docstring's equation, one sample after the other in float64."""
    architecture, golden = network.config.architecture, []
    coefficients, log_weights = (part.detach().double().numpy() for part in network.mixture(prompt_embeds))
    basis = network.basis.double().numpy()
    for row, x in enumerate(noise.double().flatten(1).numpy()):
        layouts = [sum(c * axis for c, axis in zip(own, basis, strict=True)) for own in coefficients[row]]
        values = [
            log_weights[row][k]
            + architecture.resemblance * len(x) ** 0.5 * (layout @ x) / np.sqrt((layout @ layout) * (x @ x))
            for k, layout in enumerate(layouts)
        ]
        moved = x + architecture.strength * layouts[int(np.argmax(values))]
        golden.append(moved * np.sqrt(x @ x) / np.sqrt(moved @ moved))
    return np.stack(golden).reshape(noise.shape)


@pytest.mark.parametrize("resemblance", [0.0, 1.0, 50.0])
def test_golden_noise_is_that_of_the_formula(resemblance: float) -> None:
    network = make_network(resemblance=resemblance)
    noise, text = make_inputs()
    expected = by_the_formula(network, noise, text)
    np.testing.assert_allclose(network(noise, text).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_what_the_noise_resembles_decides_among_layouts() -> None:
    noise, text = make_inputs(40)
    heaviest = make_network(resemblance=0.0)(noise, text)
    assert not torch.allclose(make_network(resemblance=50.0)(noise, text), heaviest)


def test_the_norm_is_kept_and_no_strength_changes_nothing() -> None:
    noise, text = make_inputs()
    golden = make_network()(noise, text)
    torch.testing.assert_close(golden.flatten(1).norm(dim=1), noise.flatten(1).norm(dim=1))
    assert not torch.allclose(golden, noise, atol=0.01)
    torch.testing.assert_close(make_network(strength=0.0)(noise, text), noise)


def test_a_batch_is_its_rows() -> None:
    network = make_network()
    noise, text = make_inputs()
    single = torch.cat([network(noise[row : row + 1], text[row : row + 1]) for row in range(len(noise))])
    torch.testing.assert_close(network(noise, text), single)


def test_a_gradient_reaches_every_weight_and_does_not_change_the_noise() -> None:
    network = make_network()
    noise, text = make_inputs()
    golden = network(noise, text)
    with torch.no_grad():
        torch.testing.assert_close(golden, network(noise, text), rtol=1e-5, atol=1e-5)
    (golden * noise.flip(0)).sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())


def test_half_precision_noise_stays_so() -> None:
    noise, text = make_inputs()
    golden = make_network()(noise.half(), text.half())
    assert golden.dtype == torch.float16
    assert golden.isfinite().all()


def test_inputs_are_whitened_and_the_basis_holds_the_principal_axes() -> None:
    network = make_network()
    embeddings, layouts = make_data()
    white = (embeddings.flatten(0, 1) - network.text_mean) @ network.text_whitening
    torch.testing.assert_close(torch.cov(white.T), torch.eye(TEXT_DIM), atol=1e-3, rtol=0)
    torch.testing.assert_close(white.mean(dim=0), torch.zeros(TEXT_DIM), atol=1e-4, rtol=0)
    coefficients, flat = network.coefficients_of(layouts), layouts.flatten(1)
    torch.testing.assert_close(coefficients.square().mean(), torch.tensor(1.0))
    kept = (coefficients @ network.basis).square().sum()
    torch.testing.assert_close(kept, torch.linalg.svdvals(flat)[: SMALL.rank].square().sum())
    nearest = torch.linalg.lstsq(network.basis.T, flat.T).solution.T
    torch.testing.assert_close(coefficients, nearest, atol=1e-4, rtol=1e-4)


def test_fewer_layouts_than_axes_are_refused() -> None:
    embeddings, layouts = make_data()
    with pytest.raises(ModelError, match="19 layouts have no 20 principal axes"):
        make_network().fit_inputs(embeddings, layouts[:19])


@pytest.mark.parametrize(
    ("noise", "text", "message"),
    [
        ((2, 4, 6, 6), (2, 5, 6), "use the network trained for this model"),
        ((2, 4, 6, 8), (2, 5, 7), "use the network trained for this model"),
        ((2, 4, 6, 8), (3, 5, 6), "every noise needs its own"),
    ],
)
def test_other_shapes_are_refused(noise: tuple[int, ...], text: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make_network()(torch.zeros(noise), torch.zeros(text))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "npnet"}, "kind=npnet"),
        ({"num_layouts": 0}, "num_layouts=0"),
        ({"heads": 3}, "heads=3"),
        ({"strength": -1.0}, "strength=-1"),
        ({"resemblance": float("nan")}, "resemblance=nan"),
    ],
)
def test_an_impossible_architecture_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **options)


def test_a_rank_above_the_number_of_latents_is_refused() -> None:
    with pytest.raises(ModelError, match="rank=300 is more than"):
        LayoutNPNetConfig(SHAPE, NUM_TOKENS, TEXT_DIM, replace(SMALL, rank=300))


def test_round_trip_is_bit_exact(tmp_path: Path) -> None:
    network = make_network()
    save_npnet(network, tmp_path, {"model": {"path": "shapes"}})
    state = torch.get_rng_state()
    loaded = load_npnet(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(loaded, LayoutNPNet)
    assert not loaded.training
    assert loaded.config == network.config
    assert torch.equal(loaded(*make_inputs()), network(*make_inputs()))


def _without_basis(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("basis")
    save_file(tensors, folder / "model.safetensors")


def _edited(**options: Any) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text())
        content["network"]["architecture"].update(options)
        (folder / "config.json").write_text(json.dumps(content))

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_basis, "it is without basis"),
        (_edited(num_layouts=4), "other shapes, coefficients.bias"),
        (_edited(strenght=1), r"missing or unknown fields \(strenght\)"),
        (_edited(rank="20"), "rank='20', which is of the wrong type"),
        (_edited(depth=0), "describes no NPNet: depth=0"),
        (_edited(kind="layout"), "missing or unknown fields"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    save_npnet(make_network(), tmp_path, {})
    damage(tmp_path)
    with pytest.raises(ModelError, match=message):
        load_npnet(tmp_path)


def test_no_published_layout_holds_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="this one draws layouts"):
        save_published(make_network(), tmp_path / "npnet.safetensors", "flat")
    assert not list(tmp_path.iterdir())


def test_its_model_card_says_what_it_is_for(tmp_path: Path) -> None:
    GoldenNoise(make_network(), {"model": {"path": "shapes"}}).save_pretrained(tmp_path)
    assert "4 x 6 x 8" in (tmp_path / "README.md").read_text()
    assert GoldenNoise.from_pretrained(tmp_path).record == {"model": {"path": "shapes"}}
