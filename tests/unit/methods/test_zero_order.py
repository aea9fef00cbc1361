import itertools
from collections.abc import Sequence

import torch
from tiny import TinyModel
from torch import Tensor
from unit.methods.searching import Greenness, make_batch, scores

from goldennoise.data.prompts import Prompt
from goldennoise.methods.search.selector import Selector
from goldennoise.methods.zero_order import Config, ZeroOrder, on_sphere
from goldennoise.runtime.seeding import gaussian_noise


class Indifferent(Greenness):
    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:  # noqa: ARG002
        return torch.zeros(len(images))


def test_a_neighbour_has_the_norm_and_the_angle_asked_for() -> None:
    pivot, direction = gaussian_noise((4, 8, 8), [1, 2]), gaussian_noise((4, 8, 8), [3, 4])
    for cosine in (-0.3, 0.0, 0.95):
        near = on_sphere(pivot, direction, cosine)
        torch.testing.assert_close(near.flatten(1).norm(dim=1), pivot.flatten(1).norm(dim=1))
        found = torch.cosine_similarity(near.flatten(1), pivot.flatten(1))
        torch.testing.assert_close(found, torch.full((2,), cosine), rtol=0, atol=1e-5)
        # On the same side as the direction, or the neighbour would not be a draw around the pivot.
        assert (((near - cosine * pivot) * direction).flatten(1).sum(1) > 0).all()


def test_more_rounds_never_score_worse_and_in_the_end_better() -> None:
    batch = make_batch()
    found = [scores(batch.source, batch)]
    for num_rounds in (1, 2, 6):
        method = ZeroOrder(Config(num_rounds=num_rounds, cosine=0.8), Selector(Greenness()))
        found.append(scores(method.golden(TinyModel(), batch), batch))
    for worse, better in itertools.pairwise(found):
        assert (better >= worse - 1e-6).all()
    assert (found[-1] > found[0]).all()


def test_the_source_is_kept_where_no_neighbour_is_better() -> None:
    batch = make_batch()
    assert torch.equal(ZeroOrder(Config(), Selector(Indifferent())).golden(TinyModel(), batch), batch.source)
