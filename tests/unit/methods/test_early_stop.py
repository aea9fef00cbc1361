import pytest
import torch
from tiny import TinyModel
from unit.methods.searching import Greenness, make_batch
from unit.methods.test_best_of_n import Constant

from goldennoise.errors import ConfigError
from goldennoise.methods.best_of_n import BestOfN
from goldennoise.methods.early_stop import Config, EarlyStop
from goldennoise.methods.search.selector import Selector

MODEL_STEPS = TinyModel().num_steps


def early_stop(num_steps: int, num_candidates: int = 6, selector: Selector | None = None) -> EarlyStop:
    return EarlyStop(Config(num_candidates=num_candidates, num_steps=num_steps), selector or Selector(Greenness()))


@torch.no_grad()
def test_after_all_steps_it_chooses_as_best_of_n_does() -> None:
    batch = make_batch()
    expected = BestOfN(6, Selector(Greenness())).golden(TinyModel(), batch)
    assert torch.equal(early_stop(MODEL_STEPS).golden(TinyModel(), batch), expected)
    assert not torch.equal(early_stop(1, num_candidates=40).golden(TinyModel(), batch), expected)


@pytest.mark.parametrize("num_steps", [1, 2])
@torch.no_grad()
def test_the_best_preview_is_chosen(num_steps: int) -> None:
    model, batch = TinyModel(), make_batch()
    candidates = [batch.source, *(batch.fresh_noise(f"best_of_n/{number}") for number in range(1, 6))]
    previewed = []
    for noise in candidates:
        latents = noise
        for position in range(num_steps):
            prediction = model.predict(latents, position, batch.embedding, model.guidance, MODEL_STEPS)
            end = MODEL_STEPS if position == num_steps - 1 else position + 1
            latents = model.move(latents, prediction, position, end, MODEL_STEPS)
        previewed.append(Greenness().score(model.decode(latents), batch.prompts))
    chosen = torch.stack(previewed).argmax(dim=0).tolist()
    assert len(set(chosen)) > 1
    expected = torch.stack([candidates[place][row] for row, place in enumerate(chosen)])
    assert torch.equal(early_stop(num_steps).golden(model, batch), expected)


def test_of_equals_the_earliest_is_kept() -> None:
    batch = make_batch()
    assert torch.equal(early_stop(2, selector=Selector(Constant({}))).golden(TinyModel(), batch), batch.source)


def test_more_steps_than_the_sampler_takes_are_refused() -> None:
    for call in (lambda: early_stop(5).prepare(TinyModel()), lambda: early_stop(5).golden(TinyModel(), make_batch())):
        with pytest.raises(ConfigError, match=r"^num_steps=5: num_steps must be at most 4, the steps of the model"):
            call()
