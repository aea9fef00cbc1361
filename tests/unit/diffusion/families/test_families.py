"""What the protocol promises, for every family and for the stand-in in closed form that other tests use."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TinyModel, tiny_pipeline, tiny_xl_pipeline
from tiny_flows import FLOWS, tiny_flux_pipeline
from tiny_transformers import TRANSFORMERS

from goldennoise.diffusion import families
from goldennoise.diffusion.families.latent_flux import Flux
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.errors import ConfigError, ModelError
from goldennoise.runtime.seeding import gaussian_noise

CPU = torch.device("cpu")
PROMPTS = ["a red circle", "two blue squares", "a green ring above a star", ""]
FAMILIES: dict[str, Any] = {
    "stable_diffusion": tiny_pipeline,
    "stable_diffusion_xl": partial(tiny_xl_pipeline, force_zeros=False),
    **TRANSFORMERS,
    **FLOWS,
}
ONE_PASS = ("flux",)
"""Families that take the scale of guidance as an input."""


@cache
def shared(kind: str) -> Any:
    """One pipeline for all tests that do not change it."""
    return FAMILIES[kind]()


def make_model(pipe: Any) -> Any:
    model: Any = from_pipeline(pipe)
    model.num_steps, model.guidance = 4, 3.0
    return model


@pytest.fixture(params=["closed form", *FAMILIES])
def model(request: pytest.FixtureRequest) -> DiffusionModel:
    return TinyModel() if request.param == "closed form" else make_model(shared(request.param))


@pytest.fixture
def noise(model: DiffusionModel) -> torch.Tensor:
    return gaussian_noise(model.latent_shape, range(len(PROMPTS)))


@torch.no_grad()
def test_a_row_does_not_depend_on_its_batch(model: DiffusionModel, noise: torch.Tensor) -> None:
    latents = model.sample(SamplingPlan(noise), model.encode(PROMPTS))
    images = model.decode(latents)
    for row, prompt in enumerate(PROMPTS):
        alone = model.sample(SamplingPlan(noise[row : row + 1]), model.encode([prompt]))
        torch.testing.assert_close(alone[0], latents[row], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.decode(alone)[0], images[row], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_every_row_has_its_own_prompt(model: DiffusionModel, noise: torch.Tensor) -> None:
    same = noise[:1].expand(4, -1, -1, -1)
    latents = model.sample(SamplingPlan(same), model.encode(PROMPTS))
    for row in range(1, 4):
        assert (latents[row] - latents[0]).abs().max() > 1e-3


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 5.5])
@torch.no_grad()
def test_evaluations_are_counted_per_sample_and_pass(
    model: DiffusionModel, noise: torch.Tensor, guidance: float
) -> None:
    passes = 1 if guidance in (0.0, 1.0) or isinstance(model, Flux) else 2
    embedding = model.encode(PROMPTS)
    assert model.num_evaluations == 0
    model.predict(noise, 0, embedding, guidance, 10)
    assert model.num_evaluations == 4 * passes
    model.sample(SamplingPlan(noise[:3], guidance=guidance, num_steps=5), embedding[:3])
    assert model.num_evaluations == 4 * passes + 3 * 5 * passes


@pytest.mark.parametrize("kind", [kind for kind in FAMILIES if kind not in ONE_PASS])
@torch.no_grad()
def test_guidance_is_a_straight_line_through_both_predictions(kind: str) -> None:
    model = make_model(shared(kind))
    noise = gaussian_noise(model.latent_shape, range(len(PROMPTS)))
    embedding = model.encode(PROMPTS)
    uncond, cond, half, strong = (model.predict(noise, 1, embedding, w, 4) for w in (0.0, 1.0, 0.5, 5.5))
    assert (cond - uncond)[:3].abs().mean() > 1e-2
    torch.testing.assert_close(half, (uncond + cond) / 2, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(strong, uncond + 5.5 * (cond - uncond), rtol=1e-4, atol=1e-4)
    if kind != "sana":  # which puts an instruction before the prompt, and none before the negative one
        torch.testing.assert_close(cond[3], uncond[3])


@torch.no_grad()
def test_sampling_is_predicting_and_moving(model: DiffusionModel, noise: torch.Tensor) -> None:
    embedding = model.encode(PROMPTS)
    latents = noise
    for position in range(6):
        prediction = model.predict(latents, position, embedding, 4.0, 6)
        latents = model.move(latents, prediction, position, position + 1, 6)
    torch.testing.assert_close(
        model.sample(SamplingPlan(noise, guidance=4.0, num_steps=6), embedding), latents, rtol=1e-4, atol=1e-4
    )


@torch.no_grad()
def test_there_and_back_with_one_prediction_is_the_identity(model: DiffusionModel, noise: torch.Tensor) -> None:
    prediction = model.predict(noise, 0, model.encode(PROMPTS), 3.0, 4)
    for start, end in ((0, 1), (1, 3), (3, 4)):
        moved = model.move(noise, prediction, start, end, 4)
        torch.testing.assert_close(model.move(moved, prediction, end, start, 4), noise, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_images_are_float32_between_0_and_1(model: DiffusionModel, noise: torch.Tensor) -> None:
    images = model.decode(20 * noise)
    assert images.shape[:2] == (4, 3)
    assert images.shape[2:] == tuple(side * (images.shape[2] // noise.shape[2]) for side in noise.shape[2:])
    assert images.dtype == torch.float32
    assert 0 <= float(images.min()) < float(images.max()) <= 1


@pytest.mark.parametrize("kind", FAMILIES)
@torch.no_grad()
def test_images_are_encoded_into_the_latents_they_are_decoded_from(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(shared(kind))
    images = torch.rand(3, 3, *(side * model._pipe.vae_scale_factor for side in model.latent_shape[1:]))
    latents = model.encode_images(images)
    assert latents.shape == (3, *model.latent_shape)
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(model._pipe.vae, "decode", lambda latents, **_: (seen.append(latents), latents)[1:])
    model.decode(latents)
    encoded = model._pipe.vae.encode(2 * images - 1)
    expected = encoded.latent if kind == "sana" else encoded.latent_dist.mean
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.encode_images(images[1:2]), latents[1:2], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_scale_of_a_distilled_model_is_an_input() -> None:
    model = make_model(shared("flux"))
    noise = gaussian_noise(model.latent_shape, [0])
    embedding = model.encode(["a ring"])
    weak, strong = (model.predict(noise, 1, embedding, guidance, 4) for guidance in (1.0, 5.5))
    assert (strong - weak).abs().mean() > 1e-2
    assert torch.equal(embedding.uncond, embedding.cond)


@torch.no_grad()
def test_a_model_without_guidance_says_once_that_a_scale_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    model = make_model(tiny_flux_pipeline(distilled=True))
    noise = gaussian_noise(model.latent_shape, [0])
    embedding = model.encode(["a ring"])
    model.sample(SamplingPlan(noise), embedding)
    assert not caplog.records
    weak, strong = (model.sample(SamplingPlan(noise, guidance=guidance), embedding) for guidance in (1.0, 5.5))
    assert torch.equal(weak, strong)
    assert [record.getMessage() for record in caplog.records] == [
        f"FluxPipeline takes no guidance, so a scale of {guidance} changes nothing" for guidance in (1.0, 5.5)
    ]


@pytest.mark.parametrize("kind", FAMILIES)
@torch.no_grad()
def test_a_half_precision_model_stays_close_to_the_full_one(kind: str) -> None:
    full, half = make_model(shared(kind)), make_model(FAMILIES[kind]().to(torch.bfloat16))
    noise = gaussian_noise(full.latent_shape, range(len(PROMPTS)))
    assert half.dtype == torch.bfloat16
    latents, expected = (model.sample(SamplingPlan(noise), model.encode(PROMPTS)) for model in (half, full))
    assert latents.dtype == torch.float32
    assert (latents - expected).abs().mean() < 0.1 * expected.abs().mean()
    assert (half.decode(latents) - full.decode(expected)).abs().mean() < 0.1


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_loaded_model_is_frozen_and_lets_gradients_through_to_the_noise(kind: str, tmp_path: Path) -> None:
    shared(kind).save_pretrained(tmp_path)
    component = families.component(kind)
    side_px = 8 * shared(kind).vae_scale_factor if kind == "flux" else None  # the class alone knows it
    model: Any = component.build(component.Config(path=str(tmp_path), height=side_px, width=side_px), CPU)
    noise = gaussian_noise(model.latent_shape, [0]).requires_grad_()
    model.decode(model.sample(SamplingPlan(noise, num_steps=1), model.encode(["a"]))).sum().backward()
    assert noise.grad is not None
    assert noise.grad.abs().max() > 0
    for network in (part for part in model._pipe.components.values() if isinstance(part, torch.nn.Module)):
        assert not any(module.training for module in network.modules())
        assert not any(weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_pipeline_without_one_of_its_parts_is_refused(kind: str) -> None:
    pipe = FAMILIES[kind]()
    parts = [name for name in pipe.components if name.startswith(("text_encoder", "tokenizer", "vae"))]
    for part in parts:
        if part == "text_encoder_3":
            continue  # Stable Diffusion 3 does without T5
        whole = getattr(pipe, part)
        setattr(pipe, part, None)
        with pytest.raises(ModelError, match=f"{type(pipe).__name__} comes without {part}: load it whole"):
            make_model(pipe)
        setattr(pipe, part, whole)


def test_every_family_is_tested_here() -> None:
    assert sorted(FAMILIES) == sorted(families.kinds())


@pytest.mark.parametrize(("distilled", "num_tokens"), [(False, 512), (True, 256)])
def test_flux_reads_as_many_tokens_as_its_pipeline(distilled: bool, num_tokens: int) -> None:
    model = from_pipeline(tiny_flux_pipeline(distilled=distilled))
    assert model.encode(["a red circle"]).cond.shape[1] == num_tokens


@pytest.mark.parametrize("kind", sorted(set(FAMILIES) - set(ONE_PASS)))
def test_guidance_0_is_refused_where_it_would_leave_out_the_prompt(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"guidance=0\.0: .* 1 is the prompt alone, which diffusers samples at 0"):
        families.component(kind).Config(guidance=0.0)


def test_a_model_works_where_its_pipeline_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tiny_pipeline()
    monkeypatch.setattr(type(pipe), "_execution_device", torch.device("meta"))  # as offloading has it
    assert from_pipeline(pipe).device == torch.device("meta")
