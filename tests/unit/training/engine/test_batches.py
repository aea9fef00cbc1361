"""The order of the pairs, how it is cut over processes, and which prompts are held out."""

from collections.abc import Iterator

import numpy as np
import pytest
from unit.training.learnable import BRIEF

from goldennoise.errors import ConfigError, DataError
from goldennoise.training.engine.batches import GlobalBatches, held_out, part_of_batch
from goldennoise.training.engine.data import PairData
from goldennoise.training.engine.options import TrainingOptions

ROWS = np.arange(100, 123)


def order(epoch: int, seed: int = 0, **ranks: int) -> list[int]:
    batches = GlobalBatches(ROWS, 5, seed, **ranks)
    batches.set_epoch(epoch)
    return [int(row) for part in batches for row in part.rows[part.weights > 0]]


def test_every_epoch_has_every_row_once_in_an_order_of_its_own() -> None:
    assert sorted(order(0)) == sorted(order(1)) == ROWS.tolist()
    assert order(0) != order(1)
    assert order(1) == order(1)
    assert order(0, seed=1) != order(0)


def test_rows_without_a_seed_stay_in_order() -> None:
    batches = GlobalBatches(ROWS, 5, None)
    assert len(batches) == len(list(batches)) == 5
    assert np.concatenate([part.rows for part in batches]).tolist() == ROWS.tolist()


@pytest.mark.parametrize("num_ranks", [2, 3, 8])
def test_the_ranks_share_the_batches_of_one_process(num_ranks: int) -> None:
    whole = list(GlobalBatches(ROWS, 5, 0))
    ranks: list[Iterator] = [iter(GlobalBatches(ROWS, 5, 0, rank, num_ranks)) for rank in range(num_ranks)]
    for batch, *parts in zip(whole, *ranks, strict=True):
        assert len({len(part.rows) for part in parts}) == 1
        assert all(part.num_global == len(batch.rows) for part in parts)
        real = [
            (place, row)
            for part in parts
            for place, row, weight in zip(part.places, part.rows, part.weights, strict=True)
            if weight
        ]
        assert sorted(real) == list(enumerate(batch.rows))


def test_a_rank_without_pairs_gets_padding_of_weight_zero() -> None:
    part = part_of_batch(np.array([7]), rank=1, num_ranks=2)
    assert part.rows.tolist() == [7]
    assert part.weights.tolist() == [0.0]


@pytest.mark.parametrize(("share", "num_held_out"), [(0.1, 2), (0.5, 10), (0.001, 1), (0.999, 19)])
def test_whole_prompts_are_held_out_at_least_one_and_not_all(share: float, num_held_out: int) -> None:
    ids = np.repeat([f"{number:02}" for number in range(20)], 3)
    validation = held_out(ids, share, seed=0)
    assert len(set(ids[validation])) == num_held_out
    assert not set(ids[validation]) & set(ids[~validation])


def test_the_split_depends_on_seed_and_prompts_not_on_their_order() -> None:
    ids = np.array([f"{number:02}" for number in range(20)])
    chosen = set(ids[held_out(ids, 0.3, seed=0)])
    backwards = ids[::-1]
    assert set(backwards[held_out(backwards, 0.3, seed=0)]) == chosen
    assert set(ids[held_out(ids, 0.3, seed=1)]) != chosen


def test_one_prompt_cannot_be_split() -> None:
    with pytest.raises(DataError, match="at least 2 prompts"):
        held_out(np.array(["only", "only"]), 0.1, seed=0)


def test_the_data_module_splits_by_prompt_and_leaves_rejected_pairs_out(data: PairData) -> None:
    index = data.dataset.reader.index.iloc[data.dataset.rows]
    assert index["kept"].all()
    training, validation = (set(index["prompt_id"].iloc[rows]) for rows in (data.training_rows, data.validation_rows))
    assert not training & validation
    assert len(training) + len(validation) == data.num_prompts == 18
    assert len(validation) == round(BRIEF.validation_share * 18)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("num_epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
        ("gradient_clip", 0.0),
        ("precision", "16"),
        ("schedule", "linear"),
        ("validation_share", 1.0),
        ("sample_every_epochs", -1),
        ("num_samples", -1),
    ],
)
def test_options_out_of_range_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{option}={value}"):
        TrainingOptions(**{option: value})  # type: ignore[arg-type]
