"""time_prediction: whose levels a sample is given in each mode, and what does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TinyModel
from unit.methods.test_methods import PROMPTS, make_batch

from goldennoise import methods
from goldennoise.errors import ConfigError, ModelError
from goldennoise.methods.time_prediction import LEVELS, Config, TimePrediction
from goldennoise.methods.tools import MethodTools
from goldennoise.networks.time_predictor import TimePredictorConfig
from goldennoise.networks.time_predictor.checkpoint import save_time_predictor
from goldennoise.networks.time_predictor.network import new_predictor

CHOSEN = [[1.0, 0.5, 0.0], [1.0, 0.6, 0.3, 0.0], [1.0, 0.7, 0.4, 0.1, 0.0]]
SHARED = [1.0, 0.55, 0.2, 0.0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = new_predictor(TimePredictorConfig(TinyModel().feature_width, 0.5, 0.5), seed=1)
    save_time_predictor(network, tmp_path, {})
    (tmp_path / LEVELS).write_text(json.dumps({"shared": [SHARED], "chosen": CHOSEN}))
    return tmp_path


def method(folder: Path, **options: Any) -> TimePrediction:
    made = methods.build(Config(artifact="a", **options), MethodTools({}, lambda kind, reference: folder))  # noqa: ARG005
    assert isinstance(made, TimePrediction)
    return made


def levels(made: TimePrediction, rows: tuple[int, ...] = (0, 1, 2, 3)) -> list[tuple[float, ...]]:
    """Of samples of the batch, after sampling them together."""
    model, whole = TinyModel(), make_batch()
    batch = make_batch([PROMPTS[row] for row in rows], tuple(whole.seeds[row] for row in rows))
    plan = made.plan(model, batch)
    assert plan.schedule is not None
    assert torch.equal(plan.noise, batch.source)
    model.sample(plan, batch.embedding)
    return plan.schedule.taken(len(rows))


def test_shared_gives_every_sample_the_mean_schedule(folder: Path) -> None:
    assert levels(method(folder, mode="shared")) == [tuple(SHARED)] * 4


def test_shuffled_draws_one_of_the_chosen_for_each_sample(folder: Path) -> None:
    found = levels(method(folder, mode="shuffled"))
    assert {*found} <= {tuple(chain) for chain in CHOSEN}
    assert len({*found}) > 1
    assert levels(method(folder, mode="shuffled"), (3, 1)) == [found[3], found[1]]


def test_adaptive_obeys_its_limits(folder: Path) -> None:
    found = levels(method(folder))
    assert all(chain[-2] >= 0.01 for chain in found)
    assert {len(chain) for chain in levels(method(folder, max_steps=3))} == {4}
    assert max(map(len, levels(method(folder, min_level=0.4)))) < min(map(len, found))
    assert levels(method(folder), (2,))[0] == pytest.approx(found[2], rel=1e-5)


def test_without_an_artifact_it_is_the_published_beginning() -> None:
    made = methods.build(Config(artifact=None), MethodTools({}, lambda kind, reference: Path()))  # noqa: ARG005
    assert {len(chain) - 1 for chain in levels(made)} <= {22, 23, 24}  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="mode must be adaptive without an artifact"):
        Config(artifact=None, mode="shuffled")


def test_a_network_of_another_width_is_refused_before_the_first_image(folder: Path) -> None:
    with pytest.raises(ModelError, match="reads features of width 4, and tiny has 3: use the one trained for this"):
        method(folder).prepare(TinyModel(latent_shape=(3, 8, 8)))
    method(folder).prepare(TinyModel())
    method(folder, mode="shared").prepare(TinyModel(latent_shape=(3, 8, 8)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"[]",
        b'{"shared": []}',
        b'{"shared": [], "chosen": []}',
        b'{"shared": [[1, "a"]], "chosen": [[1, 0]]}',
    ],
)
@pytest.mark.parametrize("mode", ["shared", "shuffled"])
def test_levels_that_cannot_be_read_are_named(folder: Path, content: bytes, mode: str) -> None:
    (folder / LEVELS).write_bytes(content)
    with pytest.raises(ModelError, match=r"levels\.json .*train the schedule again"):
        levels(method(folder, mode=mode))
