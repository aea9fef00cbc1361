import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from diffusers import LCMScheduler
from tiny import TinyModel, as_prompts, tiny_pipeline
from tiny_flows import tiny_sd3_pipeline
from torch import Tensor
from unit.methods.searching import PROMPTS, Greenness, make_batch, scores

from goldennoise.config.compose import load
from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.families.latent_unet import StableDiffusion
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.errors import ConfigError, ModelError
from goldennoise.methods.gradient import Config, Gradient, build, clipped, log_density_of_norm
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.search.selector import Selector
from goldennoise.methods.tools import MethodTools
from goldennoise.runtime.seeding import gaussian_noise


@dataclass
class Keeping(Greenness):
    """Greenness that keeps the images it is shown and counts how often it is."""

    num_scored: int = 0

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        self.images = images
        self.num_scored += 1
        return super().score(images, prompts)


class Cliff(Greenness):
    """Finite, with an infinite slope at its value."""

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:  # noqa: ARG002
        middle = images.mean((1, 2, 3))
        return (middle - middle.detach()).abs().sqrt()


def test_the_gradient_equals_finite_differences() -> None:
    batch, method = make_batch(), Gradient(Config(gradient_clip=None, norm_weight=0.5), Selector(Greenness()))
    found_scores, gradient = method.ascent(TinyModel(), batch.source, batch)
    torch.testing.assert_close(found_scores, scores(batch.source, batch))

    def objective(noise: Tensor) -> Tensor:
        return scores(noise, batch).double() + 0.5 * log_density_of_norm(noise).double()

    for seed in range(3):
        direction = gaussian_noise((4, 8, 8), [seed + 10] * len(PROMPTS))
        step = 1e-2
        slope = (objective(batch.source + step * direction) - objective(batch.source - step * direction)) / (2 * step)
        torch.testing.assert_close((gradient * direction).flatten(1).sum(1).double(), slope, rtol=2e-2, atol=5e-2)


def test_a_flow_is_ascended_along_its_velocity() -> None:
    model = from_pipeline(tiny_sd3_pipeline())
    source = gaussian_noise(model.latent_shape, [1])
    batch = SampleBatch(as_prompts(["red"]), [0], model.encode(["red"]), source, 0)
    selector = Selector(Greenness())
    method = Gradient(Config(gradient_clip=None, norm_weight=0.0, num_steps=2, guidance=1.0), selector)
    assert not model.is_stochastic
    found, gradient = method.ascent(model, source, batch)
    latents = model.sample(SamplingPlan(source, 1.0, 2), batch.embedding)
    torch.testing.assert_close(found, selector.of_images(model.decode(latents), batch.prompts), rtol=1e-3, atol=1e-3)
    assert gradient.abs().sum() > 0


def test_a_stochastic_sampler_is_ascended_through_its_own_steps() -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    model = StableDiffusion(pipe, name="tiny", num_steps=2, guidance=1.0)
    source = gaussian_noise((4, 8, 8), [1, 2])
    batch = SampleBatch(as_prompts(["red", "blue"]), [0, 1], model.encode(["red", "blue"]), source, 0)
    selector = Selector(Greenness())
    method = Gradient(Config(gradient_clip=None, norm_weight=0.0), selector)
    found, gradient = method.ascent(model, source, batch)
    torch.testing.assert_close(found, selector.of_noise(model, source, batch))
    direction = gaussian_noise((4, 8, 8), [3, 4])
    ends = [selector.of_noise(model, source + step * direction, batch).double() for step in (1e-2, -1e-2)]
    slope = (ends[0] - ends[1]) / 2e-2
    torch.testing.assert_close((gradient * direction).flatten(1).sum(1).double(), slope, rtol=5e-2, atol=1e-3)


def test_the_gradient_goes_through_a_diffusers_unet_and_leaves_its_weights_alone() -> None:
    pipe = tiny_pipeline()
    model = StableDiffusion(pipe, name="tiny", num_steps=3, guidance=2.0)
    batch = SampleBatch(
        as_prompts(PROMPTS), [0, 1, 2], model.encode(PROMPTS), gaussian_noise(model.latent_shape, [1, 2, 3])
    )
    method = Gradient(Config(gradient_clip=None, norm_weight=0.0), Selector(Greenness()))
    _, gradient = method.ascent(model, batch.source, batch)
    direction, step = gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1), 1e-2
    with torch.no_grad():
        up, down = (
            Greenness().score(model.decode(model.sample(SamplingPlan(noise), batch.embedding)), as_prompts(PROMPTS))
            for noise in (batch.source + step * direction, batch.source - step * direction)
        )
    torch.testing.assert_close((up - down) / (2 * step), gradient.flatten(1).norm(dim=1), rtol=2e-2, atol=1e-4)
    assert all(parameter.grad is None for parameter in pipe.unet.parameters())


@pytest.mark.parametrize(("guidance", "same_as", "passes"), [(None, 3.0, 2), (1.0, 1.0, 1), (2.0, 2.0, 2)])
def test_the_gradient_goes_through_sampling_with_its_own_guidance(
    guidance: float | None, same_as: float, passes: int
) -> None:
    model, batch = TinyModel(guidance=3.0), make_batch()
    config = Config(guidance=guidance, num_steps=3, gradient_clip=None, norm_weight=0.0)
    found_scores, gradient = Gradient(config, Selector(Greenness())).ascent(model, batch.source, batch)
    assert model.num_evaluations == len(PROMPTS) * 3 * passes * 4

    def expected(noise: Tensor) -> Tensor:
        return Greenness().score(
            model.decode(model.sample(SamplingPlan(noise, guidance=same_as, num_steps=3), batch.embedding)),
            as_prompts(PROMPTS),
        )

    torch.testing.assert_close(found_scores, expected(batch.source))
    step = 1e-2 * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    slope = (expected(batch.source + step) - expected(batch.source - step)) / 2e-2
    torch.testing.assert_close(slope, gradient.flatten(1).norm(dim=1), rtol=2e-2, atol=1e-4)


@torch.no_grad()
def test_the_scored_image_is_the_sampled_one_with_the_same_steps_guidance_and_sampler() -> None:
    """So the method may return noise where ReNO returns the image that scored best."""
    model = StableDiffusion(tiny_pipeline(), name="tiny", num_steps=4, guidance=2.0)
    noise, embedding = gaussian_noise(model.latent_shape, [1, 2, 3]), model.encode(PROMPTS)
    scorer = Keeping()
    for guidance, num_steps, same in ((None, None, True), (2.0, 4, True), (1.0, 4, False), (2.0, 3, False)):
        Selector(scorer).through(model, noise, embedding, as_prompts(PROMPTS), num_steps, guidance)
        sampled = model.decode(model.sample(SamplingPlan(noise), embedding))
        assert torch.allclose(scorer.images, sampled, atol=1e-5) == same


def test_the_ascent_is_renos_written_out() -> None:
    """Per sample: torch's SGD with Nesterov momentum on a loss in one step of the model, the best noise kept."""
    batch, model = make_batch(), TinyModel()
    expected = []
    for row in range(len(PROMPTS)):
        noise = batch.source[row : row + 1].clone().requires_grad_(True)
        optimizer = torch.optim.SGD([noise], lr=5.0, momentum=0.9, nesterov=True)
        tried = []
        for _ in range(6):
            prediction = model.predict(noise, 0, batch.embedding[row : row + 1], 1.0, 1)
            score = Greenness().score(
                model.decode(model.move(noise, prediction, 0, 1, 1)), as_prompts(PROMPTS[row : row + 1])
            )
            norm = noise.norm()
            tried.append((float(score.detach()), noise.detach().clone()))
            optimizer.zero_grad()
            (0.01 * (0.5 * norm**2 - (noise.numel() - 1) * norm.log()) - score.sum()).backward()
            torch.nn.utils.clip_grad_norm_([noise], 0.1)
            optimizer.step()
        expected.append(max(tried, key=lambda found: found[0])[1])
    config = Config(num_iterations=5, num_steps=1, guidance=1.0)
    golden = Gradient(config, Selector(Greenness())).golden(TinyModel(), batch)
    torch.testing.assert_close(golden, torch.cat(expected), rtol=1e-4, atol=1e-4)
    assert (golden - batch.source).abs().max() > 0.1


def test_the_published_preset_scores_fifty_images_in_one_pass_each() -> None:
    """Defaults of the published code; its guidance of 0 is the prompt alone, which is 1 here."""
    config = load(["method=[reno]"]).method["reno"]
    assert config == Config(num_iterations=49, num_steps=1, guidance=1.0, scorer="weighted_sum")
    assert (config.learning_rate, config.gradient_clip, config.norm_weight) == (5.0, 0.1, 0.01)
    model, scorer = TinyModel(), Keeping()
    Gradient(config, Selector(scorer)).golden(model, make_batch())
    assert scorer.num_scored == 50
    assert model.num_evaluations == len(PROMPTS) * (49 * 4 + 1)


def test_the_density_of_the_norm_is_that_of_the_chi_distribution() -> None:
    noise = gaussian_noise((4, 8, 8), range(5)) * torch.linspace(0.5, 1.5, 5).view(-1, 1, 1, 1)
    norms = noise.flatten(1).norm(dim=1).double()
    expected = torch.distributions.Chi2(noise[0].numel()).log_prob(norms.square()) + (2 * norms).log()
    found = log_density_of_norm(noise).double()
    torch.testing.assert_close(found - found[0], expected - expected[0], rtol=1e-4, atol=1e-2)


def test_a_longer_ascent_never_scores_worse_and_in_the_end_better() -> None:
    batch = make_batch()
    found = [scores(batch.source, batch)]
    for num_iterations in (1, 3, 8):
        golden = Gradient(Config(num_iterations=num_iterations), Selector(Greenness())).golden(TinyModel(), batch)
        found.append(scores(golden, batch))
    for worse, better in itertools.pairwise(found):
        assert (better >= worse - 1e-4).all()
    assert (found[-1] > found[0] + 0.1).all()


def test_the_best_iterate_is_kept_where_the_last_is_worse() -> None:
    batch = make_batch()
    wild = Config(num_iterations=1, learning_rate=1e6, norm_weight=0.0)

    class Negative(Greenness):
        """Falls with every large step: a scorer of the distance from the start."""

        def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
            del prompts
            return -(images - start).square().mean((1, 2, 3)) - 1e-3 * images.mean((1, 2, 3))

    with torch.no_grad():
        start = TinyModel().decode(TinyModel().sample(SamplingPlan(batch.source), batch.embedding))
    assert torch.equal(Gradient(wild, Selector(Negative())).golden(TinyModel(), batch), batch.source)


def test_the_norm_weight_keeps_the_noise_on_its_sphere() -> None:
    batch = make_batch()
    big = SampleBatch(as_prompts(PROMPTS), batch.seeds, batch.embedding, 1.5 * batch.source)
    _, gradient = Gradient(Config(norm_weight=1.0, gradient_clip=None), Selector(Greenness())).ascent(
        TinyModel(), big.source, big
    )
    assert ((gradient * big.source).flatten(1).sum(1) < 0).all()


def test_clipping_shortens_long_rows_only() -> None:
    gradient = torch.tensor([3.0, 4.0, 0.03, 0.04]).view(2, 2, 1, 1)
    expected = torch.tensor([0.06, 0.08, 0.03, 0.04]).view(2, 2, 1, 1)
    torch.testing.assert_close(clipped(gradient, 0.1), expected)
    assert torch.equal(clipped(gradient, None), gradient)


def test_a_gradient_that_is_not_finite_names_the_prompt() -> None:
    with pytest.raises(ModelError, match='gradient of greenness for "a red circle" is not finite'):
        Gradient(Config(), Selector(Cliff())).golden(TinyModel(), make_batch())


def test_a_scorer_without_a_gradient_is_refused() -> None:
    blind = Greenness(differentiable=False)
    with pytest.raises(ConfigError, match=r"scorer=greenness: greenness is not differentiable.*zero_order"):
        build(Config(scorer="greenness"), MethodTools({"greenness": blind}, lambda *_: pytest.fail("not needed")))
