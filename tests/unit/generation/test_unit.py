import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from torch import Tensor
from unit.generation import fakes
from unit.generation.fakes import Run, ShiftConfig, prompts

from goldennoise.errors import ModelError
from goldennoise.generation.batch import grid
from goldennoise.generation.loader import Loader
from goldennoise.generation.unit import PartMaker, embedder_of
from goldennoise.generation.units import cut
from goldennoise.runtime.progress import Progress
from goldennoise.store.artifacts import Artifact, ArtifactStore


class Embedding:
    def embed(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def test_diversity_is_measured_by_the_same_scorer_whatever_their_order() -> None:
    plain: Any = object()
    first, second = Embedding(), Embedding()
    scorers: dict[str, Any] = {"plain": plain, "b": second, "c": Embedding(), "a": first}
    assert embedder_of(scorers) == ("a", first)
    assert embedder_of(dict(reversed(scorers.items()))) == ("a", first)
    assert embedder_of({"plain": plain}) is None


def test_what_all_batches_share_is_computed_once_and_costs_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, prepared = fakes.install(monkeypatch), list[float]()

    def prepare(self: fakes.Shift, model: Any) -> None:
        prepared.append(self.amount)
        model.num_evaluations += 1000

    monkeypatch.setattr(fakes.Shift, "prepare", prepare, raising=False)
    methods = {"shifted": ShiftConfig(amount=0.2), "kept": ShiftConfig(amount=0.3, keep_norm=True)}
    draft = ArtifactStore(tmp_path).begin("scores", "test", "auto", {}, [], {})
    assert not isinstance(draft, Artifact)
    config = Run(None, str(tmp_path), methods)
    worker = PartMaker(config, Loader(config), {}, draft.path, batch_size=2)()
    parts = cut(grid(prompts(4), 1), [*methods], [*config.scorer], 2)
    for part in parts:
        worker(part, Progress("eval", part.size, "images", show=False))
        assert (pd.read_parquet(part.table_file(draft.path))["num_evaluations"] == 2 * models[0].num_steps).all()
    assert sorted(prepared) == [0.2, 0.3]
    draft.release()


def test_what_a_method_cannot_do_shows_before_any_image_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.install(monkeypatch)

    def prepare(self: fakes.Shift, model: Any) -> None:  # noqa: ARG001
        if self.amount == 0.3:
            raise ModelError("this model has none")

    monkeypatch.setattr(fakes.Shift, "prepare", prepare, raising=False)
    methods = {"first": ShiftConfig(amount=0.2), "second": ShiftConfig(amount=0.3)}
    draft = ArtifactStore(tmp_path).begin("scores", "test", "auto", {}, [], {})
    assert not isinstance(draft, Artifact)
    config = Run(None, str(tmp_path), methods)
    worker = PartMaker(config, Loader(config), {}, draft.path, batch_size=2)()
    (part, _) = cut(grid(prompts(2), 1), [*methods], [*config.scorer], 2)
    with pytest.raises(ModelError, match=r"^method second: this model has none"):
        worker(part, Progress("eval", part.size, "images", show=False))
    assert not list(draft.path.rglob("*.png"))
    draft.release()


def test_a_description_of_the_work_can_be_sent_and_loads_where_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = fakes.install(monkeypatch)
    config = Run(None, str(tmp_path), {"shifted": ShiftConfig(amount=0.2)})
    draft = ArtifactStore(tmp_path).begin("scores", "test", "auto", {}, [], {})
    assert not isinstance(draft, Artifact)
    loader = Loader(config)
    assert loader.model is loader.model
    maker = PartMaker(config, loader, {}, draft.path, batch_size=2)
    (part,) = cut(grid(prompts(2), 2), [*config.method], [*config.scorer], 4)
    written = []
    for sent in (maker, pickle.loads(pickle.dumps(maker))):
        sent()(replace(part), Progress("eval", part.size, "images", show=False))
        assert part.is_finished(draft.path)
        written.append([file.read_bytes() for file in part.image_files(draft.path)])
        part.table_file(draft.path).unlink()
    assert written[0] == written[1]
    assert len(models) == 2
    draft.release()
