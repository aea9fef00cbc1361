"""With a sampler that draws noise at its steps, images still depend on their sample and initial noise alone."""

from collections.abc import Sequence

import pytest
import torch
from tiny import as_prompts, tiny_pipeline
from torch import Tensor
from unit.data.pairs.fakes import FakeScorer

from goldennoise.data.pairs import PreferenceFilter
from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.families.latent_unet import StableDiffusion
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.diffusion.schedules.schedulers import make_scheduler
from goldennoise.generation.batch import generate, grid
from goldennoise.generation.collector import Collector
from goldennoise.methods.best_of_n import BestOfN
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.search.selector import Selector
from goldennoise.methods.standard import Standard

SAMPLES = grid([Prompt.of(text) for text in ("a red circle", "a star", "two rings")], num_seeds=2)


class Recorded(FakeScorer):
    """Remembers every score it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Tensor] = []

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        self.given.append(super().score(images, prompts))
        return self.given[-1]


@pytest.fixture(params=["euler_a", "dpmpp_2m_sde", "lcm"])
def model(request: pytest.FixtureRequest) -> StableDiffusion:
    pipe = tiny_pipeline()
    pipe.scheduler = make_scheduler(request.param, pipe.scheduler.config)
    return StableDiffusion(pipe, name="tiny", num_steps=4, guidance=3.0)


def test_batches_do_not_matter(model: StableDiffusion) -> None:
    together = generate(model, Standard(), SAMPLES, 0).pixels.int()
    alone = torch.cat([generate(model, Standard(), [sample], 0).pixels for sample in SAMPLES]).int()
    assert (together - alone).abs().max() <= 1
    assert (together[0] - together[1]).abs().max() > 10


def test_the_image_chosen_is_the_image_made(model: StableDiffusion) -> None:
    scorer = Recorded()
    images = generate(model, BestOfN(3, Selector(scorer)), SAMPLES, 0).pixels / 255
    made = FakeScorer().score(images, as_prompts([sample.prompt.text for sample in SAMPLES]))
    torch.testing.assert_close(made, torch.stack(scorer.given).amax(0), rtol=0, atol=2e-3)
    assert (torch.stack(scorer.given).amax(0) - scorer.given[0]).max() > 0.02


def test_a_pair_of_equal_noises_is_a_pair_of_equal_images(model: StableDiffusion) -> None:
    scorer = FakeScorer()
    collector = Collector(model, Standard(), {"brightness": scorer}, PreferenceFilter("brightness"), batch_size=3)
    *_, index = collector.batch([(sample.prompt, sample.seed) for sample in SAMPLES[::2]])
    assert index["brightness_source"].tolist() == pytest.approx(index["brightness_golden"].tolist(), rel=1e-5)
    assert index["brightness_source"].nunique() == 3


def test_every_sample_has_draws_of_its_own() -> None:
    texts, seeds = [sample.prompt.text for sample in SAMPLES], [sample.seed for sample in SAMPLES]
    nothing = PromptEmbedding(torch.zeros(6, 1), torch.zeros(6, 1), {})

    def of_root(root_seed: int) -> list[int]:
        return SampleBatch(as_prompts(texts), seeds, nothing, torch.zeros(6, 1), root_seed).step_seeds

    assert of_root(0) == of_root(0)
    assert len({*of_root(0), *of_root(1)}) == 12
