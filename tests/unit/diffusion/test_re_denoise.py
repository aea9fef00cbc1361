from typing import Any

import pytest
import torch
from tiny import TinyModel, tiny_scheduler
from torch import Tensor

from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.diffusion.re_denoise import re_denoise
from goldennoise.diffusion.schedules.ddim import DdimSchedule
from goldennoise.errors import ConfigError, ModelError
from goldennoise.runtime.seeding import gaussian_noise

PROMPTS = ["a red circle", "two blue squares", "a star", "a green ring"]
PUBLISHED: dict[str, Any] = {"denoise_guidance": 5.5, "invert_guidance": 1.0, "num_steps": 10}
DOWN, UP = 5.5, 1.0


class AffineModel(TinyModel):
    """On SDXL's schedule, predicts a constant that depends on the guidance alone; notes where it was asked."""

    def __init__(self, down: float, up: float) -> None:
        super().__init__((1, 1, 1))
        self.constants = {DOWN: down, UP: up}
        self.schedule = DdimSchedule(tiny_scheduler().config)
        self.asked: list[tuple[int, float]] = []

    def predict(
        self,
        latents: Tensor,
        position: int,
        embedding: PromptEmbedding,  # noqa: ARG002
        guidance: float,
        num_steps: int,
    ) -> Tensor:
        self.asked.append((self.schedule.timesteps(num_steps)[position], guidance))
        return torch.full_like(latents, self.constants[guidance])

    def move(self, latents: Tensor, prediction: Tensor, start: int, end: int, num_steps: int) -> Tensor:
        return self.schedule.move(latents, prediction, start, end, num_steps)


def golden(source: float, down: float, up: float, **arguments: Any) -> float:
    model = AffineModel(down, up)
    noise = torch.full((1, 1, 1, 1), source, dtype=torch.float64)
    arguments = {"denoise_guidance": DOWN, "invert_guidance": UP, "num_steps": 10} | arguments
    return float(re_denoise(model, noise, model.encode([""]), **arguments))


def coefficients(**arguments: Any) -> list[float]:
    """Of the source noise, eps_d and eps_i in the golden noise, which is affine in them for this model."""
    return [golden(*unit, **arguments) for unit in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))]


@pytest.mark.parametrize(("num_steps", "k"), [(10, 0.3854), (50, 0.1098), (4, 0.5885)])
def test_exact_coefficients_on_the_sdxl_schedule(num_steps: int, k: float) -> None:
    assert coefficients(num_steps=num_steps) == pytest.approx([1.0, -k, k], abs=5e-5)


@pytest.mark.parametrize(
    ("num_steps", "expected"),
    [(10, (1.0790, -0.4158, 0.3416)), (50, (1.0035, -0.1101, 0.1068)), (4, (1.4210, -0.8362, 0.4852))],
)
def test_coefficients_of_the_published_code(num_steps: int, expected: tuple[float, float, float]) -> None:
    assert coefficients(num_steps=num_steps, variant="published") == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize("depth", [1, 3, 10])
@pytest.mark.parametrize("num_rounds", [1, 2])
def test_the_same_prediction_down_and_up_is_the_identity(depth: int, num_rounds: int) -> None:
    assert golden(0.7, 0.4, 0.4, depth=depth, num_rounds=num_rounds) == pytest.approx(0.7, abs=1e-9)


def test_depth_adds_the_intervals_up() -> None:
    schedule = DdimSchedule(tiny_scheduler().config)
    top, bottom = schedule.alpha_bar(0, 10), schedule.alpha_bar(3, 10)
    k = (1 - top) ** 0.5 - (top / bottom) ** 0.5 * (1 - bottom) ** 0.5
    assert coefficients(depth=3) == pytest.approx([1.0, -k, k], abs=1e-9)


def test_rounds_start_from_the_round_before() -> None:
    once, twice = coefficients(), coefficients(num_rounds=2)
    assert twice == pytest.approx([1.0, 2 * once[1], 2 * once[2]], abs=1e-9)


@pytest.mark.parametrize("variant", ["exact", "published"])
def test_an_interval_is_predicted_at_its_upper_timestep_both_ways(variant: str) -> None:
    model = AffineModel(0.0, 0.0)
    arguments = PUBLISHED | {"depth": 2, "num_rounds": 2, "variant": variant}
    re_denoise(model, torch.zeros(1, 1, 1, 1), model.encode([""]), **arguments)
    assert model.asked == 2 * [(901, DOWN), (801, DOWN), (801, UP), (901, UP)]


@torch.no_grad()
def test_stronger_guidance_moves_the_noise_against_the_difference_of_the_predictions() -> None:
    model = TinyModel()
    noise = gaussian_noise(model.latent_shape, range(4))
    embedding = model.encode(PROMPTS)
    difference = model.predict(noise, 0, embedding, 1.0, 10) - model.predict(noise, 0, embedding, 0.0, 10)
    strong = re_denoise(model, noise, embedding, **PUBLISHED)
    weak = re_denoise(model, noise, embedding, **(PUBLISHED | {"denoise_guidance": 1.0}))
    cosine = torch.cosine_similarity((strong - weak).flatten(1), -difference.flatten(1))
    assert cosine.min() > 0.9


@pytest.mark.parametrize(("depth", "num_rounds"), [(1, 1), (2, 3)])
@torch.no_grad()
def test_evaluations(depth: int, num_rounds: int) -> None:
    model = TinyModel()
    noise = gaussian_noise(model.latent_shape, range(4))
    re_denoise(model, noise, model.encode(PROMPTS), **PUBLISHED, depth=depth, num_rounds=num_rounds)
    assert model.num_evaluations == 4 * depth * num_rounds * (2 + 1)


@torch.no_grad()
def test_a_row_does_not_depend_on_its_batch() -> None:
    model = TinyModel()
    noise = gaussian_noise(model.latent_shape, range(4))
    together = re_denoise(model, noise, model.encode(PROMPTS), **PUBLISHED, depth=2)
    for row, prompt in enumerate(PROMPTS):
        alone = re_denoise(model, noise[row : row + 1], model.encode([prompt]), **PUBLISHED, depth=2)
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "exakt"}, "variant=exakt.*exact, published"),
        ({"num_rounds": 0}, "num_rounds=0"),
        ({"num_steps": 0}, "num_steps=0: num_steps must be at least 1"),
        ({"depth": 0}, "depth=0.*from 1 to 10"),
        ({"depth": 11}, "depth=11.*from 1 to 10"),
        ({"depth": 10, "variant": "published"}, "depth=10.*from 1 to 9"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    model = TinyModel()
    noise = gaussian_noise(model.latent_shape, [0])
    with pytest.raises(ConfigError, match=message):
        re_denoise(model, noise, model.encode([""]), **(PUBLISHED | arguments))


def test_the_published_variant_is_refused_where_a_prediction_is_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    model = TinyModel()
    monkeypatch.setattr(model, "predicts_image", lambda position, num_steps: position == 0)  # noqa: ARG005
    noise = gaussian_noise(model.latent_shape, [0])
    with pytest.raises(ModelError, match=r"^variant=published: tiny starts from pure noise.* take variant=exact"):
        re_denoise(model, noise, model.encode([""]), **PUBLISHED, variant="published")
    assert re_denoise(model, noise, model.encode([""]), **PUBLISHED).shape == noise.shape


def test_half_precision_is_left_for_the_result() -> None:
    """The exact change, rounded once: rounded at every step it would be off by as much as it moves."""
    model = AffineModel(0.011, 0.003)
    noise = gaussian_noise((4, 8, 8), [0])[:, :1].to(torch.bfloat16)
    found = re_denoise(model, noise, model.encode([""]), **PUBLISHED)
    exact = re_denoise(model, noise.double(), model.encode([""]), **PUBLISHED)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.to(torch.bfloat16))
