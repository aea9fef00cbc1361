from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TinyModel, as_prompts
from unit.methods.searching import Greenness
from unit.networks.small_one_more_step import make_network as one_more_step

from goldennoise import methods
from goldennoise.diffusion.re_denoise import re_denoise
from goldennoise.errors import ArtifactError, ConfigError, ModelError
from goldennoise.methods.base import After, Method
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.search.selector import Selector
from goldennoise.methods.tools import MethodTools
from goldennoise.networks.checkpoint import save_npnet
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import NPNet
from goldennoise.networks.npnet.network import build as seeded_npnet
from goldennoise.runtime.seeding import derive_seed, gaussian_noise, prompt_id

PROMPTS = ["a red circle", "two blue squares", "a ring", "a red circle"]
SMALL = ArchitectureConfig(
    image_size=16,
    patch_size=2,
    window=4,
    embed_dim=8,
    depths=(1, 1),
    heads=(1, 2),
    vector_hidden=4,
    value_hidden=8,
    attention_heads=2,
)


def make_batch(prompts: list[str] = PROMPTS, seeds: tuple[int, ...] = (0, 0, 1, 2), root_seed: int = 7) -> SampleBatch:
    samples = [
        derive_seed(root_seed, "test", prompt_id(prompt), seed) for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    model = TinyModel()
    return SampleBatch(
        as_prompts(prompts), list(seeds), model.encode(prompts), gaussian_noise(model.latent_shape, samples), root_seed
    )


def make_network(latent_shape: tuple[int, int, int] = (4, 8, 8)) -> NPNet:
    model = TinyModel()
    network = seeded_npnet(NPNetConfig(latent_shape, model.num_tokens, model.text_dim, SMALL), seed=0)
    with torch.no_grad():
        network.alpha.fill_(0.8)
        network.beta.fill_(0.5)
    return network


@pytest.fixture
def tools(tmp_path: Path) -> MethodTools:
    save_npnet(make_network(), tmp_path / "npnet" / "small", {})
    images = one_more_step(text=(TinyModel().num_tokens, TinyModel().text_dim))
    save_npnet(images, tmp_path / "npnet" / "images", {})

    def artifact_folder(kind: str, reference: str) -> Path:
        if not (tmp_path / kind / reference).is_dir():
            raise ArtifactError(f"There is no {kind} called {reference}.")
        return tmp_path / kind / reference

    return MethodTools({"greenness": Greenness()}, artifact_folder)


SETTINGS: dict[str, dict[str, Any]] = {
    "standard": {},
    "fixed_schedule": {"num_steps": 3},
    "re_denoise": {"depth": 2, "num_rounds": 2},
    "npnet": {"artifact": "small"},
    "best_of_n": {"num_candidates": 3, "scorer": "greenness"},
    "early_stop": {"num_candidates": 3, "num_steps": 2, "scorer": "greenness"},
    "zero_order": {"num_neighbours": 2, "num_rounds": 2, "scorer": "greenness"},
    "gradient": {"num_iterations": 2, "num_steps": 3, "scorer": "greenness"},
    "find": {"num_updates": 2, "num_rollouts": 3, "learning_rate": 0.1, "scorer": "greenness"},
    "layout": {},
    "one_more_step": {"artifact": "images", "guidance": 2.0},
    "scaled": {"factor": 0.9},
    "time_prediction": {"artifact": None},
    "tone": {"num_images": 8},
    "re_paint": {"num_rounds": 2, "depth": 2},
}


def make_method(kind: str, tools: MethodTools, **settings: Any) -> Method:
    return methods.build(methods.component(kind).Config(**(SETTINGS[kind] | settings)), tools)


@pytest.fixture(params=sorted(SETTINGS))
def method(request: pytest.FixtureRequest, tools: MethodTools) -> Method:
    return make_method(request.param, tools)


def test_every_method_is_tested_here() -> None:
    assert methods.kinds() == sorted(SETTINGS)
    for kind in methods.kinds():
        assert methods.component(kind).Config(**SETTINGS[kind]).kind == kind


@pytest.mark.parametrize(("kind", "nearest"), [("re-denoise", "re_denoise"), ("npnett", "npnet"), ("protocol", "")])
def test_an_unknown_kind_names_the_nearest(kind: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"{kind}.*best_of_n.*{nearest}"):
        methods.component(kind)


def test_golden_noise_is_noise_of_the_same_kind(method: Method) -> None:
    batch = make_batch()
    source = batch.source.clone()
    golden = method.golden(TinyModel(), batch)
    assert golden.shape == source.shape
    assert golden.dtype == source.dtype
    assert not golden.requires_grad
    assert torch.equal(batch.source, source)


def test_a_row_depends_on_its_sample_alone(method: Method) -> None:
    golden = method.golden(TinyModel(), make_batch())
    for row in range(4):
        alone = method.golden(TinyModel(), make_batch(PROMPTS[row : row + 1], (make_batch().seeds[row],)))
        torch.testing.assert_close(alone[0], golden[row], rtol=1e-4, atol=1e-5)
    order = [2, 0, 3, 1]
    shuffled = make_batch([PROMPTS[row] for row in order], tuple(make_batch().seeds[row] for row in order))
    torch.testing.assert_close(method.golden(TinyModel(), shuffled), golden[order], rtol=1e-4, atol=1e-5)


def test_the_same_batch_gives_the_same_noise_twice(method: Method) -> None:
    assert torch.equal(method.golden(TinyModel(), make_batch()), method.golden(TinyModel(), make_batch()))


def test_fresh_noise_is_new_for_every_purpose_and_sample() -> None:
    batch = make_batch()
    fresh = batch.fresh_noise("a")
    assert torch.equal(fresh, make_batch().fresh_noise("a"))
    others = (batch.source, batch.fresh_noise("b"), make_batch(root_seed=8).fresh_noise("a"))
    rows = torch.cat([fresh, *others]).flatten(1)
    assert len(torch.unique(rows, dim=0)) == len(rows)


@pytest.mark.parametrize(
    ("kind", "per_sample"),
    [
        ("standard", 0),
        ("fixed_schedule", 0),
        ("npnet", 0),
        ("re_denoise", 2 * 2 * (2 + 1)),
        ("re_paint", 2 * 2 * 2),
        ("best_of_n", 3 * 4 * 2),
        ("early_stop", 3 * 2 * 2),
        ("zero_order", (1 + 2 * 2) * 4 * 2),
        # Forward, forward again where checkpointing forgot, backward at two; a last forward pass scores the result.
        ("gradient", (2 * 4 + 1) * 3 * 2),
        ("find", 2 * 3 * 4 * 2),
    ],
)
def test_evaluations_of_the_model(kind: str, per_sample: int, tools: MethodTools) -> None:
    model = TinyModel()
    make_method(kind, tools).golden(model, make_batch())
    assert model.num_evaluations == 4 * per_sample


def test_standard_is_the_source_noise(tools: MethodTools) -> None:
    batch = make_batch()
    assert torch.equal(make_method("standard", tools).golden(TinyModel(), batch), batch.source)


def test_re_denoise_passes_every_setting_on(tools: MethodTools) -> None:
    settings = {
        "denoise_guidance": 4.0,
        "invert_guidance": 0.5,
        "num_steps": 7,
        "num_rounds": 2,
        "depth": 3,
        "variant": "published",
    }
    batch = make_batch()
    expected = re_denoise(TinyModel(), batch.source, batch.embedding, **settings)  # type: ignore[arg-type]
    assert torch.equal(make_method("re_denoise", tools, **settings).golden(TinyModel(), batch), expected)


@torch.no_grad()
def test_npnet_is_the_network_on_every_prompt(tools: MethodTools) -> None:
    batch = make_batch()
    golden = make_method("npnet", tools).golden(TinyModel(), batch)
    expected = make_network().eval()(batch.source, batch.embedding.cond)
    torch.testing.assert_close(golden, expected)
    assert (golden - batch.source).abs().mean() > 1e-3


def test_npnet_for_another_model_is_refused(tools: MethodTools, tmp_path: Path) -> None:
    save_npnet(make_network((4, 16, 16)), tmp_path / "npnet" / "large", {})
    method = make_method("npnet", tools, artifact="large")
    with pytest.raises(ModelError, match="16, 16"):
        method.golden(TinyModel(), make_batch())


def test_npnet_that_does_not_exist_is_refused(tools: MethodTools) -> None:
    with pytest.raises(ArtifactError, match="nothing"):
        make_method("npnet", tools, artifact="nothing")


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("re_denoise", "denoise_guidance", -1.0),
        ("re_denoise", "invert_guidance", float("nan")),
        ("re_denoise", "num_steps", 0),
        ("re_denoise", "num_rounds", 0),
        ("re_denoise", "depth", 0),
        ("re_denoise", "depth", 11),
        ("re_denoise", "variant", "publisched"),
        ("npnet", "artifact", ""),
        ("fixed_schedule", "spacing", "carras"),
        ("fixed_schedule", "timesteps", []),
        ("fixed_schedule", "timesteps", [3, 7]),
        ("fixed_schedule", "timesteps", [7, 7, 3]),
        ("fixed_schedule", "timesteps", [7, -1]),
        ("best_of_n", "num_candidates", 0),
        ("best_of_n", "scorer", ""),
        ("gradient", "guidance", 0.0),
        ("gradient", "guidance", float("inf")),
        ("find", "regulariser", "kll"),
        ("find", "surrogate", "max"),
        ("find", "parameter", "mu"),
        ("find", "momentum", 1.0),
        ("find", "momentum", -0.1),
    ],
)
def test_an_option_out_of_range_is_refused(kind: str, option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{option}="):
        methods.component(kind).Config(**{option: value})


def test_the_published_variant_needs_one_step_more() -> None:
    config = methods.component("re_denoise").Config
    config(num_steps=2, depth=1, variant="published")
    with pytest.raises(ConfigError, match=r"^depth=2.*from 1 to 1"):
        config(num_steps=2, depth=2, variant="published")


def test_keeping_the_norm_changes_nothing_else(tools: MethodTools) -> None:
    batch = make_batch()
    golden = make_method("re_denoise", tools).golden(TinyModel(), batch).flatten(1)
    kept = make_method("re_denoise", tools, keep_norm=True).golden(TinyModel(), batch).flatten(1)
    source = batch.source.flatten(1)
    assert not torch.allclose(golden.norm(dim=1), source.norm(dim=1), rtol=1e-3)
    torch.testing.assert_close(kept.norm(dim=1), source.norm(dim=1))
    torch.testing.assert_close(torch.cosine_similarity(kept, golden), torch.ones(len(kept)))


def test_only_standard_can_sample_with_another_guidance_or_number_of_steps(tools: MethodTools) -> None:
    batch = make_batch()
    for keep_norm, num_steps in ((False, None), (True, None), (False, 5)):
        chosen = {"guidance": 1.5, "num_steps": num_steps, "keep_norm": keep_norm}
        plan = make_method("standard", tools, **chosen).plan(TinyModel(), batch)
        assert (plan.guidance, plan.num_steps, plan.is_noise_alone) == (1.5, num_steps, False)
        torch.testing.assert_close(plan.noise, batch.source)
    others = {kind for kind in SETTINGS if not make_method(kind, tools).plan(TinyModel(), batch).is_noise_alone}
    assert others == {"fixed_schedule", "time_prediction"}


def test_one_method_after_another_plans_from_its_noise(tools: MethodTools) -> None:
    batch, first = make_batch(), make_method("re_denoise", tools)
    golden = first.golden(TinyModel(), batch)
    plan = After(first, make_method("standard", tools, guidance=1.5)).plan(TinyModel(), batch)
    assert torch.equal(plan.noise, golden)
    assert plan.guidance == 1.5


@pytest.mark.parametrize("kind", ["best_of_n", "early_stop", "zero_order", "gradient", "find"])
def test_a_searching_method_needs_a_scorer_of_the_run_that_may_select(kind: str, tools: MethodTools) -> None:
    with pytest.raises(ConfigError, match=r"scorer=pickscore.*the run has greenness"):
        make_method(kind, tools, scorer="pickscore")
    judge = Greenness(may_select=False)
    with pytest.raises(ConfigError, match="scorer=greenness: greenness only reports"):
        make_method(kind, MethodTools({"greenness": judge}, tools.artifact_folder))


@pytest.mark.parametrize(
    ("kind", "budget"),
    [
        ("best_of_n", "num_candidates"),
        ("early_stop", "num_candidates"),
        ("early_stop", "num_steps"),
        ("zero_order", "num_neighbours"),
        ("zero_order", "num_rounds"),
        ("gradient", "num_iterations"),
        ("gradient", "num_steps"),
        ("find", "num_updates"),
        ("find", "num_rollouts"),
        ("find", "num_epochs"),
        ("re_paint", "num_rounds"),
        ("re_denoise", "num_rounds"),
        ("fixed_schedule", "num_steps"),
    ],
)
def test_a_budget_of_zero_is_refused(kind: str, budget: str) -> None:
    with pytest.raises(ConfigError, match=f"{budget}=0: {budget} must be (null or )?at least 1"):
        methods.component(kind).Config(**{budget: 0})


def test_a_config_says_which_scorers_and_networks_its_method_uses() -> None:
    used = {kind: methods.component(kind).Config() for kind in ("standard", "best_of_n", "gradient", "npnet")}
    assert {kind: config.scorers() for kind, config in used.items()} == {
        "standard": (),
        "best_of_n": ("shapes_clip",),
        "gradient": ("shapes_clip",),
        "npnet": (),
    }
    assert used["npnet"].networks() == ("npnet/shapes@latest",)
    assert used["standard"].networks() == ()


class Toned(TinyModel):
    """Its initial noise lies far off N(0, I)."""

    is_toned = True

    def initial_noise(self, seeds: Sequence[int]) -> torch.Tensor:
        return super().initial_noise(seeds) + 5


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("best_of_n", {}),
        ("zero_order", {"cosine": 0.0, "num_rounds": 1}),
        ("find", {"learning_rate": 1e-9, "num_updates": 1}),
    ],
)
def test_what_a_search_tries_is_initial_noise_of_the_model(
    kind: str, settings: dict[str, Any], tools: MethodTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[torch.Tensor] = []
    of_noise = Selector.of_noise

    def watched(self: Selector, model: Any, noise: torch.Tensor, batch: SampleBatch) -> torch.Tensor:
        tried.append(noise)
        return of_noise(self, model, noise, batch)

    monkeypatch.setattr(Selector, "of_noise", watched)
    batch = make_batch()
    make_method(kind, tools, **settings).golden(Toned(), batch)
    fresh = [noise for noise in tried if not torch.equal(noise, batch.source)]
    assert fresh
    # At a right angle to the centre zero_order keeps the length, not the mean.
    assert all(float(noise.mean()) > 0.5 for noise in fresh)
