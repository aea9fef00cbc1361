import math
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from diffusers.models.normalization import AdaGroupNorm as ReferenceNorm
from naive_npnet import factors_of, golden_noise, matrix_of
from small_npnet import SMALL, make_inputs, make_network

from goldennoise.errors import ConfigError, ModelError
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import NPNet
from goldennoise.networks.npnet.network import build as seeded_npnet
from goldennoise.networks.npnet.singular_values import from_matrix, to_matrix
from goldennoise.networks.published import published_name
from goldennoise.store.identity import deciding

SHAPES = {(4, 8, 8): (2, 2), (4, 8, 6): (2, 2), (4, 5, 8): (2, 2), (16, 4, 4): (4, 4), (8, 4, 5): (2, 4)}


def _reference(network: NPNet, noise: torch.Tensor, text: torch.Tensor, grid: tuple[int, int]) -> np.ndarray:
    architecture = network.config.architecture
    arrays = {published_name(name): tensor.double().numpy() for name, tensor in network.state_dict().items()}
    sizes = {"num_heads": np.array(architecture.attention_heads), "image_size": np.array(architecture.image_size)}
    swin = (
        timm.models.swin_transformer.SwinTransformer(
            img_size=32, patch_size=2, window_size=4, embed_dim=24, depths=(2, 2), num_heads=(3, 6), num_classes=0
        )
        .double()
        .eval()
    )
    swin.load_state_dict(network.residual.swin.state_dict())
    rows = []
    for one, its_text in zip(noise.double().numpy(), text.double().numpy(), strict=True):
        factors = factors_of(matrix_of(one, grid), canonical=True)
        given = arrays | sizes, swin.forward_features, one, its_text, factors, grid
        rows.append(golden_noise(*given, network.config.vector_mean))
    return np.stack(rows)


@pytest.mark.parametrize(("attention", "vector_mean"), [(True, "before"), (False, "before"), (False, "after")])
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_equals_the_formulas_written_naively(
    shape: tuple[int, int, int],
    attention: bool,
    vector_mean: str,
) -> None:
    # In fp64: two fp32 decompositions of one matrix differ by more than a wrong formula might.
    network = make_network(shape, replace(SMALL, svd_attention=attention), vector_mean).double()
    noise, text = (tensor.double() for tensor in make_inputs(shape, num=2))
    with torch.no_grad():
        ours = network(noise, text).numpy()
    assert ours.shape == noise.shape
    np.testing.assert_allclose(ours, _reference(network, noise, text, SHAPES[shape]), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("shape", "grid"), SHAPES.items())
def test_layout_as_a_matrix_and_back(shape: tuple[int, int, int], grid: tuple[int, int]) -> None:
    noise = torch.arange(2 * math.prod(shape)).reshape(2, *shape)
    matrix = to_matrix(noise, grid)
    assert torch.equal(matrix[1], torch.from_numpy(matrix_of(noise[1].numpy(), grid)))
    assert NPNetConfig(shape, 1, 1, ArchitectureConfig(svd_attention=False)).channel_grid == grid
    assert torch.equal(from_matrix(matrix, shape, grid), noise)


def test_text_embedding_is_diffusers_ada_group_norm() -> None:
    norm = make_network().text_embedding
    reference = ReferenceNorm(embedding_dim=30, out_dim=4, num_groups=1, eps=1e-6)
    reference.load_state_dict(norm.state_dict())
    noise, text = make_inputs()
    torch.testing.assert_close(norm(noise, text), reference(noise, text.flatten(1)), rtol=0, atol=1e-6)


def test_starts_as_the_singular_value_branch() -> None:
    noise, text = make_inputs()
    fresh = seeded_npnet(NPNetConfig((4, 8, 8), 5, 6, SMALL), seed=0).eval()
    assert torch.equal(fresh(noise, text), fresh.singular_values(fresh.frozen_inputs(noise)))
    away = make_network()
    assert not torch.allclose(away(noise, text), away.singular_values(away.frozen_inputs(noise)), atol=0.1)


def test_a_batch_equals_its_samples_one_by_one() -> None:
    network = make_network()
    noise, text = make_inputs()
    together = network(noise, text)
    alone = torch.cat([network(noise[i : i + 1], text[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_every_sample_is_conditioned_on_its_own_prompt() -> None:
    network = make_network()
    noise, text = make_inputs()
    other = text.clone()
    other[2] = -other[2]
    moved = (network(noise, other) - network(noise, text)).abs().amax(dim=(1, 2, 3))
    assert moved[2] > 0.1
    assert moved[[0, 1, 3]].max() < 1e-5


def test_given_factors_are_used() -> None:
    network = make_network()
    noise, text = make_inputs()
    factors = network.frozen_inputs(noise)
    assert torch.equal(network(noise, text, *factors), network(noise, text))
    assert not torch.allclose(network(noise, text, *factors._replace(s=2 * factors.s)), network(noise, text), atol=0.1)


def test_stochastic_depth_acts_in_training_only() -> None:
    network = make_network(architecture=replace(SMALL, drop_path_rate=0.5))
    noise, text = make_inputs()
    assert torch.equal(network(noise, text), network(noise, text))
    network.train()
    with torch.random.fork_rng(devices=[]):
        assert not torch.equal(network(noise, text), network(noise, text))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_noise_is_decomposed_in_fp32(dtype: torch.dtype) -> None:
    network = make_network()
    noise, text = make_inputs()
    assert network.frozen_inputs(noise.to(dtype)).u.dtype == torch.float32
    golden = network(noise.to(dtype), text.to(dtype))
    assert golden.dtype == dtype
    reference = network(noise.to(dtype).float(), text.to(dtype).float())
    torch.testing.assert_close(golden.float(), reference, rtol=0, atol=0.03)


def test_autocast_rebuilds_the_noise_in_full_precision() -> None:
    network = make_network()
    noise, _ = make_inputs()
    with torch.no_grad():
        for parameter in network.singular_values.change.parameters():
            parameter.zero_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rebuilt = network.singular_values(network.frozen_inputs(noise))
    torch.testing.assert_close(rebuilt, noise, rtol=0, atol=1e-5)


@pytest.mark.parametrize("attention", [True, False])
def test_every_parameter_takes_part_in_training(attention: bool) -> None:
    network = make_network(architecture=replace(SMALL, svd_attention=attention))
    (network(*make_inputs()) ** 2).sum().backward()
    idle = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert idle == []
    assert all(parameter.grad.abs().sum() > 0 for parameter in (network.alpha, network.beta))  # type: ignore[union-attr]


def test_weights_follow_the_seed_and_leave_the_global_state() -> None:
    config = NPNetConfig((4, 8, 8), 5, 6, SMALL)
    before = torch.get_rng_state()
    one, same, other = (seeded_npnet(config, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["singular_values.values.weight"], other["singular_values.values.weight"])


@pytest.mark.parametrize(
    ("noise_shape", "text_shape", "message"),
    [
        ((2, 4, 8, 6), (2, 5, 6), r"takes noise \(B, 4, 8, 8\).* not \(2, 4, 8, 6\)"),
        ((2, 4, 8, 8), (2, 7, 6), r"embeddings \(B, 5, 6\), not .* \(2, 7, 6\)"),
        ((2, 4, 8, 8), (1, 5, 6), "2 noises came with 1 prompt embeddings"),
    ],
)
def test_other_shapes_are_refused(noise_shape: tuple[int, ...], text_shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make_network()(torch.zeros(noise_shape), torch.zeros(text_shape))


@pytest.mark.parametrize("branches", ["residual", "singular_values"])
def test_one_branch_alone_is_the_whole_without_the_other(branches: str) -> None:
    network = make_network()
    noise, text = make_inputs((4, 8, 8), num=2)
    alone = seeded_npnet(replace(network.config, architecture=replace(SMALL, branches=branches)), seed=0).eval()
    own = alone.state_dict()
    alone.load_state_dict({name: tensor for name, tensor in network.state_dict().items() if name in own})
    lost = {name.partition(".")[0] for name in network.state_dict().keys() - own.keys()}
    assert lost == ({"singular_values"} if branches == "residual" else {"residual", "beta"})
    with torch.no_grad():
        whole, found = network(noise, text), alone(noise, text)
        of_values = network.singular_values(network.frozen_inputs(noise))
        embedding = network.text_embedding(noise, text)
        of_residual = network.beta * network.residual(noise + embedding)
    left_out = of_values - noise if branches == "residual" else of_residual
    torch.testing.assert_close(found, whole - left_out, atol=1e-5, rtol=1e-5)
    assert left_out.abs().max() > 0.01, "the branch that is left out matters"


def test_a_branch_that_is_not_there_is_refused_and_default_ones_decide_nothing() -> None:
    with pytest.raises(ConfigError, match="branches=neither: branches must be one of both, residual, singular_values"):
        replace(SMALL, branches="neither")
    assert "branches" not in deciding(SMALL), "networks trained before there was a choice stay what they are"
    assert deciding(replace(SMALL, branches="residual"))["branches"] == "residual"
