"""Methods on a model that starts from pure noise (alpha-bar 0) and predicts v: they work where the step is defined."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import as_prompts, tiny_pipeline
from unit.methods.searching import Greenness
from unit.methods.test_methods import SMALL

from goldennoise import methods
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.errors import ModelError
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.tools import MethodTools
from goldennoise.networks.checkpoint import save_npnet
from goldennoise.networks.npnet import NetworkConfig
from goldennoise.networks.npnet.network import build as seeded_npnet
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["two red circles", "a red circle left of a blue square", "three red circles"]
DEFINED: list[tuple[str, dict[str, Any]]] = [
    ("standard", {}),
    ("standard", {"guidance": 2.0}),
    *(("fixed_schedule", {"spacing": spacing}) for spacing in ("uniform", "trailing", "karras", "ays")),
    ("fixed_schedule", {"timesteps": [999.0, 998.5, 998.0, 500.0]}),
    ("re_denoise", {}),
    ("re_denoise", {"num_steps": 4, "depth": 3, "num_rounds": 2, "keep_norm": True}),
    ("npnet", {"artifact": "small"}),
    ("layout", {}),
    ("best_of_n", {"num_candidates": 2}),
    ("zero_order", {"num_rounds": 1, "num_neighbours": 1}),
    ("gradient", {"num_iterations": 1}),
    ("find", {"num_updates": 1, "num_rollouts": 2, "num_epochs": 1}),
]
UNDEFINED: list[tuple[str, dict[str, Any], str]] = [
    ("re_paint", {}, r"^Position 0 of this model is pure noise \(alpha-bar 0\)"),
    ("re_denoise", {"variant": "published"}, r"^variant=published: .* starts from pure noise"),
]


@pytest.fixture(scope="module")
def model() -> Any:
    zero = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    model = from_pipeline(tiny_pipeline(**zero))
    model.num_steps = 4
    return model


def planned(model: Any, kind: str, options: dict[str, Any], folder: Path) -> Any:
    save_npnet(seeded_npnet(NetworkConfig(model.latent_shape, 77, 16, SMALL), seed=0), folder / "small", {})
    tools = MethodTools({"shapes_clip": Greenness()}, lambda _, reference: folder / reference)
    text = model.encode(PROMPTS)
    batch = SampleBatch(as_prompts(PROMPTS), [0, 1, 2], text, gaussian_noise(model.latent_shape, [1, 2, 3]))
    return methods.build(methods.component(kind).Config(**options), tools).plan(model, batch)


@pytest.mark.parametrize(("kind", "options"), DEFINED)
@torch.no_grad()
def test_a_step_from_pure_noise_is_defined(model: Any, tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    plan = planned(model, kind, options, tmp_path)
    latents = model.sample(plan, model.encode(PROMPTS))
    assert plan.noise.isfinite().all()
    assert plan.noise.std().item() == pytest.approx(1, abs=0.3)
    assert latents.isfinite().all()
    assert latents.std() < 10


@pytest.mark.parametrize(("kind", "options", "expected"), UNDEFINED)
@torch.no_grad()
def test_what_keeps_nothing_is_refused(
    model: Any, tmp_path: Path, kind: str, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ModelError, match=expected):
        planned(model, kind, options, tmp_path)
