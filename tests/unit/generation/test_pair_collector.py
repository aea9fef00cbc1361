"""Collecting: the same pairs in any batch and shard, nothing finished is made twice, bad numbers are refused."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from tiny import as_prompts
from torch import Tensor
from unit.data.pairs.fakes import FakeModel, FakeScorer, FakeTeacher, collect_pairs, collector, prompts

from goldennoise.data.pairs import PairReader, PreferenceFilter
from goldennoise.data.pairs.index import merge, total_figures
from goldennoise.data.pairs.shards import part_path, tensors_path, valid
from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import DiffusionModel
from goldennoise.errors import ConfigError, ModelError, ScorerError
from goldennoise.generation.collector import ShardWorker, cut
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.standard import Standard
from goldennoise.runtime.executors.ranks import Ranks
from goldennoise.runtime.progress import Counter, Progress
from goldennoise.runtime.seeding import derive_seed, gaussian_noise

NUM = 23


def collect(folder: Path, batch_size: int = 4, per_shard: int = 8, model: FakeModel | None = None) -> pd.DataFrame:
    return collect_pairs(lambda: collector(batch_size, model), folder, prompts(NUM), per_shard)


def pairs(folder: Path) -> tuple[pd.DataFrame, Tensor, Tensor]:
    reader = PairReader(folder)
    return reader.index.drop(columns=["shard", "row"]), *reader.noise(reader.index.index.to_numpy())


@pytest.mark.parametrize(("batch_size", "per_shard"), [(1, 8), (7, 8), (64, 8), (7, 5), (4, 64), (64, 64)])
def test_batch_and_shard_size_do_not_change_a_pair(tmp_path: Path, batch_size: int, per_shard: int) -> None:
    for name, sizes in (("one", (4, 8)), ("other", (batch_size, per_shard))):
        (tmp_path / name).mkdir()
        collect(tmp_path / name, *sizes)
    one, other = pairs(tmp_path / "one"), pairs(tmp_path / "other")
    pd.testing.assert_frame_equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert torch.equal(one[2], other[2])


def test_index_holds_every_pair_with_all_scores(tmp_path: Path) -> None:
    index = collect(tmp_path)
    assert list(index.columns) == [
        *("prompt_id", "prompt", "category", "seed", "shard", "row"),
        *("brightness_source", "brightness_golden", "darkness_source", "darkness_golden", "gain", "kept"),
    ]
    assert index["prompt"].tolist() == [prompt.text for prompt in prompts(NUM)]
    assert index["shard"].tolist() == [0] * 8 + [1] * 8 + [2] * 7
    assert index["row"].tolist() == [*range(8), *range(8), *range(7)]
    assert index["kept"].tolist() == (index["brightness_source"] < index["brightness_golden"]).tolist()
    assert 0 < index["kept"].sum() < NUM


def test_pairs_are_the_sources_of_their_prompt_and_the_teachers_answer_to_it(tmp_path: Path) -> None:
    collect(tmp_path)
    index, source, golden = pairs(tmp_path)
    wanted = gaussian_noise((4, 4, 4), [derive_seed(3, "source", prompt.id, 0) for prompt in prompts(NUM)])
    assert torch.equal(source, wanted)
    model = FakeModel()
    batch = SampleBatch(
        as_prompts(index["prompt"].tolist()), [0] * NUM, model.encode(index["prompt"].tolist()), wanted, 3
    )
    assert torch.equal(golden, FakeTeacher().golden(model, batch))


def test_scores_belong_to_the_images_of_their_own_noise(tmp_path: Path) -> None:
    index = collect(tmp_path)
    _, source, golden = pairs(tmp_path)
    model, texts = FakeModel(), index["prompt"].tolist()
    for column, noise in (("brightness_source", source), ("brightness_golden", golden)):
        images = model.decode(model.sample(SamplingPlan(noise), model.encode(texts)))
        assert index[column].to_numpy() == pytest.approx(
            FakeScorer().score(images, as_prompts(texts)).numpy(), abs=1e-6
        )


def test_seed_index_gives_other_noise(tmp_path: Path) -> None:
    collect_pairs(lambda: collector(seed_index=1), tmp_path, prompts(3), 8)
    index, source, _ = pairs(tmp_path)
    assert index["seed"].tolist() == [1] * 3
    assert not torch.equal(source[0], gaussian_noise((4, 4, 4), [derive_seed(3, "source", prompts(1)[0].id, 0)])[0])


def test_every_seed_of_a_prompt_is_a_pair_of_its_own(tmp_path: Path) -> None:
    collect_pairs(lambda: collector(seed_index=2, num_seeds=3, batch_size=4), tmp_path, prompts(5), 2)
    index, source, golden = pairs(tmp_path)
    assert index["seed"].tolist() == [2, 3, 4] * 5
    assert index["prompt"].tolist() == [prompt.text for prompt in prompts(5) for _ in range(3)]
    (tmp_path / "one").mkdir()
    collect_pairs(lambda: collector(seed_index=3), tmp_path / "one", prompts(5), 8)
    alone, one_source, one_golden = pairs(tmp_path / "one")
    assert torch.equal(source[1::3], one_source)
    assert torch.equal(golden[1::3], one_golden)
    pd.testing.assert_frame_equal(index.iloc[1::3].reset_index(drop=True), alone)
    assert len(list(tmp_path.glob("pairs-*"))) == 3


def test_without_a_filter_every_pair_is_kept_and_no_image_made(tmp_path: Path) -> None:
    model = FakeModel()
    collect_pairs(lambda: collector(model=model, preference=None), tmp_path, prompts(5), 8)
    index, source, golden = pairs(tmp_path)
    assert list(index.columns) == ["prompt_id", "prompt", "category", "seed", "gain", "kept"]
    assert index["kept"].all()
    assert index["gain"].tolist() == [0.0] * 5
    assert model.num_evaluations == 5  # the teacher's
    (tmp_path / "filtered").mkdir()
    collect_pairs(lambda: collector(), tmp_path / "filtered", prompts(5), 8)
    _, same_source, same_golden = pairs(tmp_path / "filtered")
    assert torch.equal(source, same_source)
    assert torch.equal(golden, same_golden)


def test_finished_shards_are_not_made_again(tmp_path: Path) -> None:
    model = FakeModel()
    collect(tmp_path, model=model)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    tensors_path(tmp_path, 1).write_bytes(b"damaged" + tensors_path(tmp_path, 1).read_bytes()[7:])
    again = FakeModel()
    collect(tmp_path, model=again)
    assert again.encoded == [prompt.text for prompt in prompts(NUM)[8:16]]
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert [name for name in before if before[name] != after[name]] == ["index-00001.parquet"]  # the seconds it took
    assert set(before) == set(after)


def test_nothing_is_loaded_when_every_shard_is_finished(tmp_path: Path) -> None:
    collect(tmp_path)
    (tmp_path / "index.parquet").unlink()

    def unwanted() -> None:
        raise AssertionError("the model was loaded")

    index = collect_pairs(unwanted, tmp_path, prompts(NUM), 8)  # type: ignore[arg-type]
    assert len(index) == NUM
    assert len(PairReader(tmp_path)) == NUM


def test_killed_at_any_write_the_rerun_gives_the_same_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    collect(whole)
    replace = Path.replace
    for number_of_write in range(1, 8):
        remaining = iter(range(number_of_write))

        def dying(self: Path, target: Path, remaining=remaining) -> Path:  # type: ignore[no-untyped-def]
            if next(remaining, None) is None:
                raise KeyboardInterrupt
            return replace(self, target)

        for path in killed.iterdir():
            path.unlink()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", dying)
            if number_of_write < 7:
                with pytest.raises(KeyboardInterrupt):
                    collect(killed)
        num_finished = number_of_write // 2
        assert [valid(killed, shard) for shard in range(3)] == [shard < num_finished for shard in range(3)] or (
            number_of_write == 7
        )
        model = FakeModel()
        collect(killed, model=model)
        if number_of_write < 7:
            assert len(model.encoded) == NUM - min(NUM, 8 * num_finished)
        pd.testing.assert_frame_equal(pairs(whole)[0], pairs(killed)[0])
        assert torch.equal(pairs(whole)[2], pairs(killed)[2])


def test_progress_hears_of_every_batch_that_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    monkeypatch.setattr(Progress, "update", lambda _, num: heard.append(num))
    collect_pairs(collector, tmp_path, prompts(NUM), 8)
    assert heard == [4, 4, 4, 4, 4, 3]
    part_path(tmp_path, 1).unlink()
    heard.clear()
    collect_pairs(collector, tmp_path, prompts(NUM), 8)
    assert heard == [4, 4]


def test_processes_share_the_shards_and_make_what_one_makes(tmp_path: Path) -> None:
    one, three = tmp_path / "one", tmp_path / "three"
    one.mkdir()
    three.mkdir()
    collect(one, per_shard=4)
    models, shards = [FakeModel() for _ in range(3)], cut(prompts(NUM), 1, 4)
    for rank, model in enumerate(models):

        def make_worker(model: FakeModel = model) -> ShardWorker:
            return ShardWorker(collector(model=model), three)

        told: Any = SimpleNamespace(rank=rank, size=3, is_first=rank == 0, on_all=lambda work: work())
        Ranks(told).run(shards, tmp_path, make_worker, Counter("collect", "pairs"))
    merge(three, len(shards))
    assert [len(model.encoded) for model in models] == [8, 8, 7]
    for left, right in zip(pairs(one)[1:], pairs(three)[1:], strict=True):
        assert torch.equal(left, right)
    pd.testing.assert_frame_equal(PairReader(one).index, PairReader(three).index)


def test_figures_add_up_over_runs(tmp_path: Path) -> None:
    collect(tmp_path)
    part_path(tmp_path, 2).unlink()
    collect(tmp_path)
    figures = total_figures(tmp_path, 3)
    assert figures["evaluations"] == NUM * (2 * FakeModel.num_steps + 1)
    assert figures["truncated"] == sum(prompt.text.endswith("7") for prompt in prompts(NUM))
    assert figures["seconds"] > 0


class BrokenScorer(FakeScorer):
    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        scores = super().score(images, prompts)
        scores[3] = float("nan")
        return scores


class ConstantScorer(FakeScorer):
    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:  # noqa: ARG002
        return torch.zeros(len(prompts))


def test_a_scorer_that_tells_nothing_apart_stops_the_first_batch() -> None:
    constant = collector(scorers={"constant": ConstantScorer()})
    with pytest.raises(ScorerError, match="scorer constant gives 0 for all 4 images from the source image of"):
        constant.shard(prompts(2), 0)


class BrokenTeacher(FakeTeacher):
    def golden(self, model: DiffusionModel, batch: SampleBatch) -> Tensor:
        golden = super().golden(model, batch)
        golden[2, 0, 0, 0] = float("inf")
        return golden


def test_score_that_is_not_finite_names_scorer_image_and_prompt(tmp_path: Path) -> None:
    broken = collector(scorers={"brightness": FakeScorer(), "broken": BrokenScorer()})
    with pytest.raises(ScorerError, match='broken gives nan for the golden image of "prompt number 1"; a score must'):
        collect_pairs(lambda: broken, tmp_path, prompts(4), 8)
    assert list(tmp_path.iterdir()) == []


def test_golden_noise_that_is_not_finite_names_the_prompt(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match='"prompt number 2"'):
        collect_pairs(lambda: collector(method=BrokenTeacher()), tmp_path, prompts(4), 8)


def test_a_method_that_plans_more_than_noise_is_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="plans more of sampling than its noise, which is all that pairs hold"):
        collect_pairs(lambda: collector(method=Standard(guidance=2.0)), tmp_path, prompts(4), 8)


def test_filter_follows_the_chosen_scorer(tmp_path: Path) -> None:
    preference = PreferenceFilter("darkness", 0.1, higher_is_better=False)
    index = collect_pairs(lambda: collector(preference=preference), tmp_path, prompts(NUM), 8)
    assert index["kept"].tolist() == (index["darkness_golden"] + 0.1 < index["darkness_source"]).tolist()
    assert 0 < index["kept"].sum() < NUM
