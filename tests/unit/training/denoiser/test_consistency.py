"""Consistency distillation against diffusers' own steps: the teacher's by DDIM, the student's by LCM, TCD or DDIM."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler
from tiny import tiny_scheduler
from torch import Tensor
from unit.training.denoiser.world import world

from goldennoise.diffusion import families
from goldennoise.errors import ModelError
from goldennoise.training.denoiser.base import LatentBatch, Levels, of_row
from goldennoise.training.denoiser.consistency import HUBER, ConsistencyLoss
from goldennoise.training.denoiser.networks import teacher
from goldennoise.training.denoiser.options import DistilOptions

GUIDANCE, NUM_SOLVER = 4.0, 50
SHAPE = (4, 8, 8)


class Known:
    """A model whose outputs are a function of what it is given, and of whether there is a prompt."""

    def __init__(self, prediction: str, slope: float) -> None:
        self.alpha_bars = tiny_scheduler().alphas_cumprod
        self.guidance, self.prediction, self.slope = GUIDANCE, prediction, slope
        self.name, self.pipeline = "known", SimpleNamespace(components={})
        self.timesteps: list[float] = []

    def encode(self, prompts: list[str]) -> Any:
        from goldennoise.diffusion.protocol import PromptEmbedding

        assert prompts == [""]
        return PromptEmbedding(torch.ones(1, 2, 3), torch.zeros(1, 2, 3), {})

    def output(self, latents: Tensor, timesteps: Tensor, told: dict[str, Tensor]) -> Tensor:
        self.timesteps += timesteps.tolist()
        strength = 1 + told["text"].mean(dim=(1, 2)) + timesteps / 1000
        return of_row(strength) * torch.tanh(self.slope * latents)


def batch_at(timesteps: list[int], alpha_bars: Tensor) -> LatentBatch:
    generator = torch.Generator().manual_seed(0)
    num, chosen = len(timesteps), torch.tensor(timesteps)
    clean, noise = (torch.randn(num, *SHAPE, generator=generator) for _ in range(2))
    levels = Levels(chosen, alpha_bars[chosen], torch.ones(num))
    return LatentBatch(clean, noise, levels, (), torch.zeros(num, dtype=torch.bool), num)


def image_by_lcm(output: Tensor, timestep: int, latents: Tensor, prediction: str) -> Tensor:
    """f(z, t) as diffusers' scheduler has it."""
    scheduler: Any = LCMScheduler.from_config(tiny_scheduler(prediction_type=prediction).config)
    scheduler.set_timesteps(timesteps=[timestep])
    return scheduler.step(output, timestep, latents).denoised


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_student_and_target_are_those_of_diffusers_schedulers(prediction: str) -> None:
    guide, student = Known(prediction, 0.5), Known(prediction, 0.7)
    loss = ConsistencyLoss(guide, prediction, DistilOptions(solver_steps=NUM_SOLVER))  # type: ignore[arg-type]
    timesteps = [999, 519, 39, 19]
    batch = batch_at(timesteps, guide.alpha_bars)
    told = {"text": torch.full((4, 2, 3), 1.0)}
    errors = loss.validation_errors(student, told, batch)  # type: ignore[arg-type]
    losses = loss.losses(student, told, batch, nullcontext)  # type: ignore[arg-type]

    ddim: Any = DDIMScheduler.from_config(tiny_scheduler(prediction_type=prediction).config)
    ddim.set_timesteps(NUM_SOLVER)
    for row, timestep in enumerate(timesteps):
        noisy = ddim.add_noise(batch.clean, batch.noise, torch.tensor([timestep] * 4))[row : row + 1]
        one, text, none = torch.tensor([timestep]), told["text"][:1], torch.zeros(1, 2, 3)
        given, without = (guide.output(noisy, one, {"text": part}) for part in (text, none))
        moved = ddim.step(without + GUIDANCE * (given - without), timestep, noisy).prev_sample
        following = max(timestep - 1000 // NUM_SOLVER, 0)
        found = image_by_lcm(student.output(noisy, one, {"text": text}), timestep, noisy, prediction)
        output = student.output(moved, torch.tensor([following]), {"text": text})
        distance = found - image_by_lcm(output, following, moved, prediction)
        torch.testing.assert_close(errors[row], distance.square().mean(), rtol=1e-4, atol=1e-7)
        huber = ((distance.square() + HUBER**2).sqrt() - HUBER).mean()
        torch.testing.assert_close(losses[row], huber, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_student_of_deterministic_steps_arrives_where_diffusers_step_does(prediction: str) -> None:
    guide, student = Known(prediction, 0.5), Known(prediction, 0.7)
    options = DistilOptions(student_steps=4, solver_steps=40)
    loss = ConsistencyLoss(guide, prediction, options)  # type: ignore[arg-type]
    # First, middle and last of a step of the student, last of all.
    ends = {999: 749, 624: 499, 524: 499, 24: 0}
    batch = batch_at([*ends], guide.alpha_bars)
    told = {"text": torch.full((4, 2, 3), 1.0)}
    errors = loss.validation_errors(student, told, batch)  # type: ignore[arg-type]
    losses = loss.losses(student, told, batch, nullcontext)  # type: ignore[arg-type]

    ddim: Any = DDIMScheduler.from_config(tiny_scheduler(prediction_type=prediction).config)

    def stepped(output: Tensor, noisy: Tensor, start: int, end: int) -> Tensor:
        # One step of this length.
        ddim.register_to_config(num_train_timesteps=start - end)
        ddim.num_inference_steps = 1
        return ddim.step(output, start, noisy).prev_sample

    for row, (timestep, end) in enumerate(ends.items()):
        noisy = ddim.add_noise(batch.clean, batch.noise, torch.tensor([timestep] * 4))[row : row + 1]
        one, text, none = torch.tensor([timestep]), told["text"][:1], torch.zeros(1, 2, 3)
        given, without = (guide.output(noisy, one, {"text": part}) for part in (text, none))
        following = max(timestep - 25, 0)
        target = moved = stepped(without + GUIDANCE * (given - without), noisy, timestep, following)
        if following != end:
            target = stepped(student.output(moved, torch.tensor([following]), {"text": text}), moved, following, end)
        distance = stepped(student.output(noisy, one, {"text": text}), noisy, timestep, end) - target
        torch.testing.assert_close(errors[row], distance.square().mean(), rtol=1e-4, atol=1e-7)
        huber = ((distance.square() + HUBER**2).sqrt() - HUBER).mean()
        torch.testing.assert_close(losses[row], huber, rtol=1e-4, atol=1e-7)


def test_the_gradient_goes_through_the_student_at_the_noisier_timestep_alone() -> None:
    guide = Known("epsilon", 0.5)
    loss = ConsistencyLoss(guide, "epsilon", DistilOptions(solver_steps=NUM_SOLVER))  # type: ignore[arg-type]
    timesteps = [999, 19]
    batch, told = batch_at(timesteps, guide.alpha_bars), {"text": torch.ones(2, 2, 3)}
    weights: list[Tensor] = []

    class Student(Known):
        def output(self, latents: Tensor, timesteps: Tensor, told: dict[str, Tensor]) -> Tensor:
            weights.append(torch.ones(len(latents), requires_grad=True))
            return of_row(weights[-1]) * super().output(latents, timesteps, told)

    student = Student("epsilon", 0.7)
    loss.losses(student, told, batch, nullcontext).sum().backward()  # type: ignore[arg-type]
    seen = dict(zip([tuple(student.timesteps[i : i + 2]) for i in (0, 2)], weights, strict=True))
    assert seen[(979.0, 0.0)].grad is None
    gradient = seen[(999.0, 19.0)].grad
    assert gradient is not None
    assert (gradient.abs() > 0).all()


def test_the_target_is_that_of_the_moving_average() -> None:
    guide = Known("epsilon", 0.5)
    loss = ConsistencyLoss(guide, "epsilon", DistilOptions(solver_steps=NUM_SOLVER))  # type: ignore[arg-type]
    batch, told = batch_at([999], guide.alpha_bars), {"text": torch.ones(1, 2, 3)}
    student, average = Known("epsilon", 0.7), Known("epsilon", 0.6)

    @contextmanager
    def averaged() -> Iterator[None]:
        student.slope = 0.6
        yield
        student.slope = 0.7

    found = loss.losses(student, told, batch, averaged)  # type: ignore[arg-type]
    target = loss._target(average, told, batch)  # type: ignore[arg-type]
    distance = loss._arrival(student, told, *loss._start(batch)) - target  # type: ignore[arg-type]
    torch.testing.assert_close(found, ((distance.square() + HUBER**2).sqrt() - HUBER).mean((1, 2, 3)))
    assert not torch.allclose(found, loss.losses(student, told, batch, nullcontext))  # type: ignore[arg-type]


def test_draws_are_timesteps_of_the_solver_and_no_caption_is_dropped() -> None:
    guide = Known("epsilon", 0.5)
    loss = ConsistencyLoss(guide, "epsilon", DistilOptions(solver_steps=4))  # type: ignore[arg-type]
    drawn, levels = loss.draw(torch.Generator().manual_seed(0), 200, 10, SHAPE)
    assert sorted(set(levels.timesteps.tolist())) == [249, 499, 749, 999] == loss.validation_timesteps(12)
    assert loss.validation_timesteps(2) == [249, 999]
    assert torch.equal(levels.alpha_bars, guide.alpha_bars[levels.timesteps])
    assert not drawn.dropped.any()
    assert drawn.rows.max() == 9


def test_a_teacher_that_predicts_noise_at_pure_noise_is_refused() -> None:
    guide = Known("epsilon", 0.5)
    guide.alpha_bars = guide.alpha_bars.clone()
    guide.alpha_bars[-1] = 0
    with pytest.raises(ModelError, match="known predicts noise, and its last timestep is pure noise"):
        ConsistencyLoss(guide, "epsilon", DistilOptions())  # type: ignore[arg-type]
    loss = ConsistencyLoss(guide, "v_prediction", DistilOptions())  # type: ignore[arg-type]
    batch = batch_at([999, 979], guide.alpha_bars)
    assert loss.losses(Known("v_prediction", 0.7), {"text": torch.ones(2, 2, 3)}, batch, nullcontext).isfinite().all()  # type: ignore[arg-type]


def test_the_teacher_is_led_away_from_the_negative_prompt() -> None:
    family = families.component("stable_diffusion")
    model: Any = family.build(family.Config(negative_prompt="two red circles"), torch.device("cpu"))
    loss = ConsistencyLoss(teacher(model), "epsilon", DistilOptions())
    expected = model.encode(["two red circles"]).cond
    torch.testing.assert_close(loss.without["text"], expected, rtol=0, atol=0)
    assert not torch.equal(expected, model.encode([""]).cond)


def test_the_teacher_keeps_its_weights_while_the_student_learns() -> None:
    model = world()
    frozen = teacher(model)
    given = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    told = {"text": model.encode(["a red circle"]).cond}
    with torch.no_grad():
        before = frozen.output(given, torch.tensor([500]), told)
        model.pipeline.unet.conv_out.weight.mul_(2)
        torch.testing.assert_close(frozen.output(given, torch.tensor([500]), told), before, rtol=0, atol=0)
        assert not torch.equal(model.output(given, torch.tensor([500]), told), before)
