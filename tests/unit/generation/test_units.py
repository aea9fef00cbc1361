import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny import TinyModel, as_prompts
from torch import Tensor
from unit.generation.fakes import Brightness, Reddish, Shift, prompts

from goldennoise.data.prompts import Prompt
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.schedules.fixed import ByRow, FixedSchedule
from goldennoise.errors import ModelError, ScorerError
from goldennoise.generation.batch import generate, grid, source_noise
from goldennoise.generation.cost import NO_MEMORY, PROCESS_MEMORY, measure
from goldennoise.generation.unit import PartWorker
from goldennoise.generation.units import Part, cut, image_file, level_rows, read_parts, score_rows
from goldennoise.methods.protocol import SampleBatch
from goldennoise.runtime.progress import Progress
from goldennoise.runtime.seeding import derive_seed, gaussian_noise
from goldennoise.scorers.protocol import Scorer

SCORERS = {"brightness": Brightness(), "reddish": Reddish()}


def evaluated(folder: Path, part: Part, batch_size: int = 4, amount: float = 0.5) -> pd.DataFrame:
    work = PartWorker(folder, TinyModel(), {"shift": Shift(amount)}, SCORERS, batch_size=batch_size)
    work(part, Progress("eval", part.size, "images", show=False))
    return read_parts(folder, [part])


def a_part(num_prompts: int, scorers: Mapping[str, Scorer] = SCORERS) -> Part:
    return Part("shift", 0, grid(prompts(num_prompts), 2), [*scorers])


def evaluate(folder: Path, scorers: Mapping[str, Scorer], batch_size: int = 4) -> Part:
    """The part of two prompts and seeds, made with these scorers."""
    part = a_part(2, scorers)
    work = PartWorker(folder, TinyModel(), {"shift": Shift(0.5)}, scorers, batch_size=batch_size)
    work(part, Progress("eval", part.size, "images", show=False))
    return part


def test_images_come_from_the_source_noise_of_the_grid() -> None:
    model, samples = TinyModel(), grid(prompts(2), 2)
    made = generate(model, Shift(0.0), samples, root_seed=5)
    noise = gaussian_noise((4, 8, 8), [derive_seed(5, "evaluation", s.prompt.id, s.seed) for s in samples])
    assert torch.equal(source_noise(model, samples, 5), noise)
    expected = model.decode(model.sample(SamplingPlan(noise), model.encode([s.prompt.text for s in samples])))
    assert made.pixels.dtype == torch.uint8
    assert torch.equal(made.pixels, (expected * 255).round().to(torch.uint8))
    assert torch.equal(made.noise, noise)
    assert made.cost.num_evaluations == 4 * 4 * 2
    assert made.cost.seconds > 0


def test_a_method_may_choose_the_guidance() -> None:
    class Guided(Shift):
        def plan(self, model: TinyModel, batch: SampleBatch) -> SamplingPlan:
            return SamplingPlan(self.golden(model, batch), guidance=1.0)

    model, samples = TinyModel(), grid(prompts(1), 2)
    made = generate(model, Guided(0.0), samples, root_seed=5)
    embedding = model.encode([sample.prompt.text for sample in samples])
    expected = model.decode(model.sample(SamplingPlan(source_noise(model, samples, 5), guidance=1.0), embedding))
    assert torch.equal(made.pixels, (expected * 255).round().to(torch.uint8))
    assert made.cost.num_evaluations == 2 * 4


def test_cost_counts_what_the_method_itself_evaluates() -> None:
    class Doubled(Shift):
        def golden(self, model: TinyModel, batch: SampleBatch) -> Tensor:
            model.sample(SamplingPlan(batch.source), batch.embedding)
            return batch.source

    samples = grid(prompts(1), 3)
    plain, double = (generate(TinyModel(), method, samples, 0).cost for method in (Shift(0.0), Doubled(0.0)))
    assert double.num_evaluations == 2 * plain.num_evaluations


def test_memory_is_a_peak_of_the_block() -> None:
    model = TinyModel()
    with measure(model) as small:
        pass
    if small.memory == NO_MEMORY:
        pytest.skip("this system does not say how much memory a process has used")
    with measure(model) as large:
        torch.ones(200 * 2**20 // 4).sum()
    with measure(model) as after:
        pass
    assert large.memory == PROCESS_MEMORY
    assert small.peak_memory_bytes is not None
    assert large.peak_memory_bytes is not None
    assert after.peak_memory_bytes is not None
    assert large.peak_memory_bytes - small.peak_memory_bytes > 150 * 2**20
    assert large.peak_memory_bytes - after.peak_memory_bytes > 150 * 2**20


MANY_PIECES = """
import torch
from tiny import TinyModel
from goldennoise.generation.cost import measure

def peak(num_pieces):
    with measure(TinyModel()) as cost:
        sum(float(piece[0]) for piece in [torch.ones(2**18) for _ in range(num_pieces)])
    return cost.peak_memory_bytes or 0

peak(400)
print(peak(400) - peak(10))
"""


def test_memory_that_an_earlier_block_freed_does_not_count() -> None:
    """In a process of its own: which memory the C library keeps, for want of malloc_trim, depends on all that came
    before."""
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run(
        [sys.executable, "-c", MANY_PIECES], env=os.environ | paths, stdout=subprocess.PIPE, check=True
    )
    difference = int(answer.stdout)
    if difference == 0:
        pytest.skip("this system does not say how much memory a process has used")
    assert difference > 300 * 2**20


def test_parts_take_all_methods_on_the_same_samples_in_turn() -> None:
    parts = cut(grid(prompts(3), 2), ["standard", "other"], [], samples_per_part=4)
    assert [(part.method, part.number, len(part.samples)) for part in parts] == [
        ("standard", 0, 4),
        ("other", 0, 4),
        ("standard", 1, 2),
        ("other", 1, 2),
    ]


def test_scores_are_those_of_the_kept_images(tmp_path: Path) -> None:
    part = a_part(3)
    rows = score_rows(evaluated(tmp_path, part), list(SCORERS))
    assert list(rows.columns) == ["prompt_id", "prompt", "category", "seed", "method", "scorer", "score"]
    assert len(rows) == 3 * 2 * 2
    for row in rows.itertuples():
        with Image.open(image_file(tmp_path, "shift", str(row.prompt_id), int(str(row.seed)))) as image:
            pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255
        assert SCORERS[str(row.scorer)].score(pixels, as_prompts([str(row.prompt)])).item() == pytest.approx(
            row.score, abs=1e-6
        )


def test_batch_size_changes_no_score(tmp_path: Path) -> None:
    part = a_part(4)
    tables = [evaluated(tmp_path / str(size), part, batch_size=size) for size in (1, 3, 8)]
    for table in tables[1:]:
        np.testing.assert_allclose(table["score_brightness"], tables[0]["score_brightness"], atol=1e-4)


def test_a_part_is_finished_when_table_and_images_are_there(tmp_path: Path) -> None:
    part = a_part(2)
    assert not part.is_finished(tmp_path)
    evaluated(tmp_path, part)
    assert part.is_finished(tmp_path)
    assert not replace(part, scorers=[*SCORERS, "another"]).is_finished(tmp_path)
    assert not replace(part, samples=part.samples[:3]).is_finished(tmp_path)
    image = part.image_files(tmp_path)[1]
    content = image.read_bytes()
    image.unlink()
    assert not part.is_finished(tmp_path)
    image.write_bytes(content[:-20])
    assert not part.is_finished(tmp_path)
    image.write_bytes(content)
    assert part.is_finished(tmp_path)
    table = part.table_file(tmp_path)
    table.write_bytes(table.read_bytes()[:50])
    assert not part.is_finished(tmp_path)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("prompt_id", "x"),
        ("prompt_id", b"\xff"),
        ("prompt", [1, 2]),
        ("category", None),
        ("seed", 0.5),
        ("num_evaluations", "1"),
        ("seconds", float("nan")),
        ("noise_mean", None),
        ("score_reddish", float("inf")),
        ("score_brightness", b"1"),
        ("thumbnail", 1.0),
        ("thumbnail", "x"),
        ("thumbnail", [float("nan")]),
    ],
)
def test_a_part_with_a_whole_table_of_something_else_is_not_finished(
    tmp_path: Path, column: str, value: object
) -> None:
    part = a_part(2)
    table = evaluated(tmp_path, part).drop(columns="method")
    table.to_parquet(part.table_file(tmp_path), index=False)
    assert part.is_finished(tmp_path)
    table[column] = [value] * len(table)
    table.to_parquet(part.table_file(tmp_path), index=False)
    assert not part.is_finished(tmp_path)


def test_a_stop_in_a_part_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    class Stopping(Brightness):
        calls = 0

        def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().score(images, prompts)

    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, {"brightness": Stopping()}, batch_size=2)
    assert not a_part(2).table_file(tmp_path).exists()
    assert not list(tmp_path.rglob("*.tmp"))


class Scheduled(Shift):
    """Row i on i + 1 steps."""

    def plan(self, model: TinyModel, batch: SampleBatch) -> SamplingPlan:  # noqa: ARG002
        num = len(batch.source)
        rows = tuple(FixedSchedule((*(1 - i / (row + 1) for i in range(row + 1)), 0.0)) for row in range(num))
        return SamplingPlan(batch.source, schedule=ByRow(rows))


def test_a_part_keeps_the_levels_of_a_schedule(tmp_path: Path) -> None:
    part = a_part(2)
    work = PartWorker(tmp_path, TinyModel(), {"shift": Scheduled(0.0)}, SCORERS, batch_size=3)
    work(part, Progress("eval", part.size, "images", show=False))
    assert part.is_finished(tmp_path)
    rows = level_rows(read_parts(tmp_path, [part]))
    assert [*rows] == ["prompt_id", "seed", "method", "levels"]
    assert [len(levels) - 1 for levels in rows["levels"]] == [1, 2, 3, 1]
    table = pd.read_parquet(part.table_file(tmp_path))
    damaged = (
        [[1.0, 0.5]] * 4,
        [[0.5, 0.7, 0.0]] * 4,
        [[1.5, 0.0]] * 4,
        [[0.0]] * 4,
        [[]] * 4,
        [1.0] * 4,
        ["1"] * 4,
        [[1.0, float("nan"), 0.0]] * 4,
        [[1.0, 0.0], None, [1.0, 0.0], [1.0, 0.0]],
    )
    for levels in damaged:
        table.assign(levels=levels).to_parquet(part.table_file(tmp_path))
        assert not part.is_finished(tmp_path), levels
    table.drop(columns="levels").to_parquet(part.table_file(tmp_path))
    assert part.is_finished(tmp_path)  # as one whose method has no schedule


@pytest.mark.parametrize(("value", "what"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_a_score_that_is_no_number_is_an_error(tmp_path: Path, value: float, what: str) -> None:
    class Broken(Brightness):
        def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:  # noqa: ARG002
            return torch.tensor([1.0, value, 1.0, 1.0])[: len(prompts)]

    expected = re.escape(f'scorer broken gives {what} for "prompt number 0" with seed 1')
    with pytest.raises(ScorerError, match=expected):
        evaluate(tmp_path, {"broken": Broken()})


def test_a_missing_score_is_an_error(tmp_path: Path) -> None:
    class Short(Brightness):
        def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
            return super().score(images, prompts)[:-1]

    with pytest.raises(ScorerError, match=r"shape \(3,\) for 4 images"):
        evaluate(tmp_path, {"short": Short()})


def test_a_scorer_that_tells_nothing_apart_stops_the_first_batch(tmp_path: Path) -> None:
    class Constant(Brightness):
        def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:  # noqa: ARG002
            return torch.ones(len(prompts))

    expected = 'method shift: scorer constant gives 1 for all 2 images from "prompt number 0" with seed 0 to "prompt'
    with pytest.raises(ScorerError, match=re.escape(expected)):
        evaluate(tmp_path, {"constant": Constant()}, batch_size=2)
    evaluate(tmp_path, {"constant": Constant()}, batch_size=1)


def test_an_image_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(ModelError, match='not finite for "prompt number 0" with seed 0'):
        generate(TinyModel(), Shift(float("nan")), grid(prompts(1), 1), 0)


def test_noise_and_embeddings_are_those_of_the_sample(tmp_path: Path) -> None:
    class Embedding(Brightness):
        def embed(self, images: Tensor) -> Tensor:
            return images.mean((2, 3))

    part = evaluate(tmp_path, {"brightness": Embedding()}, batch_size=3)
    assert part.is_finished(tmp_path)
    table = read_parts(tmp_path, [part])
    noise = source_noise(TinyModel(), part.samples, 0) + 0.5
    np.testing.assert_allclose(table["noise_mean"], noise.flatten(1).mean(1), atol=1e-6)
    np.testing.assert_allclose(table["noise_norm"], noise.flatten(1).norm(dim=1) / 16, rtol=1e-6)
    for row, file in zip(table.itertuples(), part.image_files(tmp_path), strict=True):
        with Image.open(file) as image:
            expected = np.asarray(image).mean((0, 1)) / 255
        np.testing.assert_allclose(np.asarray(row.embedding), expected, atol=1e-5)
