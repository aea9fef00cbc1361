"""Stage score: which prompt an image is scored for, what another run repeats, and what is refused by name."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor
from unit.generation import fakes
from unit.generation.fakes import Compute, Run, ScorerConfig

from goldennoise import scorers
from goldennoise.data.prompts import Prompt, PromptsConfig
from goldennoise.errors import ArtifactError, ConfigError, DataError, GoldenNoiseError, ScorerError
from goldennoise.stages.score import Config, run
from goldennoise.store.artifacts import ArtifactStore, Draft
from goldennoise.store.files import file_digest

NUM_IMAGES = 10


class Words:
    """The number in the prompt plus the mean of the pixels: says which image is scored for which prompt."""

    name, version, higher_is_better, unit, differentiable = "words", "1", True, "number", True
    may_select = True

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        assert len(images) == len(prompts)
        return images.double().mean(dim=(1, 2, 3)) + torch.tensor(
            [float(prompt.text.split()[-1]) for prompt in prompts]
        )


class Rows(Words):
    """The number in the prompt's row."""

    name = "rows"
    continuous = False

    def score(self, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        assert len(images) == len(prompts)
        return torch.tensor([float(prompt.metadata["include"]) for prompt in prompts])


@pytest.fixture(autouse=True)
def _components(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)
    monkeypatch.setitem(fakes.SCORERS, "words", Words)
    monkeypatch.setitem(fakes.SCORERS, "rows", Rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images 0.png to 9.png, of several sizes and all different, beside prompts "prompt 0" to "prompt 9"."""
    (tmp_path / "images").mkdir()
    for number in range(NUM_IMAGES):
        save(tmp_path / f"images/{number}.png", number)
    write_prompts(tmp_path, [f"prompt {number}" for number in range(NUM_IMAGES)])
    return tmp_path


def save(path: Path, number: int) -> None:
    height = 8 if number % 4 else 12
    Image.fromarray(np.full((height, 6, 3), [200 - number, 100, 10 * number], dtype=np.uint8)).save(path)


def write_prompts(folder: Path, prompts: Sequence[str]) -> None:
    (folder / "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in prompts))


def a_run(folder: Path, **changes: Any) -> Run:
    """Of the folder's images and prompts. Changes are fields of the run, or of its stage's or its prompts' config."""
    images_per_prompt = changes.pop("images_per_prompt", 1)
    stage = Config(images=str(folder / "images"), images_per_prompt=images_per_prompt, images_per_part=4)
    prompts: Any = PromptsConfig("file", path=str(folder / "prompts.txt"), duplicates="keep")
    scorer = {"words": ScorerConfig("words"), "red": ScorerConfig("reddish")}
    return replace(Run(stage, str(folder / "outputs"), {}, scorer, prompts=prompts), **changes)


def scores(artifact: Any) -> pd.DataFrame:
    return pd.read_parquet(artifact.path / "scores.parquet")


def expected_words(number: int) -> float:
    """Of image `number` with prompt `number`."""
    return number + (300 + 9 * number) / 3 / 255


def test_every_image_is_scored_for_its_prompt_in_the_order_of_names(folder: Path) -> None:
    save(folder / "images/10.png", 10)
    write_prompts(folder, [f"prompt {number}" for number in range(11)])
    table = scores(run(a_run(folder)))
    assert list(table.columns) == ["image", "prompt", "words", "red"]
    assert list(table["image"]) == [f"{number}.png" for number in range(11)]
    assert list(table["prompt"]) == [f"prompt {number}" for number in range(11)]
    np.testing.assert_allclose(table["words"], [expected_words(number) for number in range(11)], rtol=1e-6)
    assert list(table["red"]) == [1.0] * 11


def test_csv_and_parquet_say_the_same(folder: Path) -> None:
    write_prompts(folder, [f'a "quoted", fine\u00fcl prompt {number}' for number in range(NUM_IMAGES)])
    artifact = run(a_run(folder))
    pd.testing.assert_frame_equal(pd.read_csv(artifact.path / "scores.csv"), scores(artifact), check_dtype=False)


def test_no_cell_of_the_csv_is_a_formula_and_parquet_keeps_the_texts(folder: Path) -> None:
    starts = ["=", "+", "-", "@", "\t=", "'", "a = ", " ="]
    prompts = [f"{start}cmd|' /C calc'!A0 {number}" for number, start in enumerate([*starts, "x", "y"])]
    write_prompts(folder, prompts)
    (folder / "images/0.png").rename(folder / "images/-0.png")
    artifact = run(a_run(folder))
    expected = ["'" * (number < 5) + prompt for number, prompt in enumerate(prompts)]
    csv = pd.read_csv(artifact.path / "scores.csv")
    assert list(csv["prompt"]) == expected
    assert list(csv["image"])[-2:] == ["9.png", "'-0.png"]
    table = scores(artifact)
    assert list(table["prompt"]) == prompts
    assert list(csv["words"]) == pytest.approx(list(table["words"]))
    assert list(table["image"])[-1] == "-0.png"


def test_neighbours_belong_to_one_prompt(folder: Path) -> None:
    write_prompts(folder, [f"prompt {number}" for number in range(NUM_IMAGES // 2)])
    artifact = run(a_run(folder, images_per_prompt=2))
    assert list(scores(artifact)["prompt"]) == [f"prompt {number // 2}" for number in range(NUM_IMAGES)]
    assert artifact.record["counts"] == {"images": 10, "prompts": 5, "scorers": 2}


def test_a_repeated_prompt_has_images_of_its_own(folder: Path) -> None:
    write_prompts(folder, [f"prompt {number % 3}" for number in range(NUM_IMAGES)])
    table = scores(run(a_run(folder)))
    assert list(table["prompt"]) == [f"prompt {number % 3}" for number in range(NUM_IMAGES)]


def test_means_are_printed_with_unit_and_direction(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(a_run(folder, scorer={"grey": ScorerConfig("brightness"), "words": ScorerConfig("words")}))
    printed = capsys.readouterr().out
    assert "grey: mean 0.4451 grey, lower is better" in printed
    assert "words: mean 4.9451 number, higher is better" in printed


def test_means_of_several_kinds_are_printed_with_their_mean(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = ["two_object"] * 8 + ["counting"] * 2
    lines = [json.dumps({"prompt": f"prompt {number}", "tag": kind}) for number, kind in enumerate(kinds)]
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    prompts: Any = PromptsConfig("file", path=str(folder / "prompts.jsonl"), category_column="tag", duplicates="keep")
    run(a_run(folder, prompts=prompts))
    printed = capsys.readouterr().out.splitlines()
    few, many = (np.mean([expected_words(i) for i in numbers]) for numbers in (range(8), range(8, 10)))
    assert printed[1:4] == [
        f"    two_object: {few:.4f}", f"    counting: {many:.4f}", f"    mean of the kinds: {(few + many) / 2:.4f}"
    ]  # fmt: skip
    run(a_run(folder, name="one_kind"))
    assert "mean of the kinds" not in capsys.readouterr().out


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_batch_size_decides_nothing(folder: Path, batch_size: int) -> None:
    once = scores(run(a_run(folder)))
    again = run(a_run(folder, outputs=str(folder / "others"), compute=Compute(batch_size=batch_size)))
    pd.testing.assert_frame_equal(scores(again), once)


def test_a_second_run_is_a_no_op_wherever_the_folder_lies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(a_run(folder))
    (folder / "images").rename(folder / "moved")
    moved = replace(a_run(folder).stage, images=str(folder / "moved"))
    second = run(a_run(folder, stage=moved, compute=Compute(batch_size=1)))
    assert second.path == first.path
    assert "image_scores/test@v1 is complete." in capsys.readouterr().out


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: table.drop(columns="red"),
        lambda table: table.head(0),
        lambda table: table.head(3),
        lambda table: table.assign(words="x"),
        lambda table: table.assign(words=float("nan")),
        lambda table: table.assign(image=[[1, 2]] * len(table)),
    ],
)
def test_a_right_checksum_over_other_scores_is_a_sentence(folder: Path, spoil: Any) -> None:
    artifact = run(a_run(folder))
    spoil(scores(artifact)).to_parquet(artifact.path / "scores.parquet", index=False)
    files = artifact.record["files"] | {"scores.parquet": file_digest(artifact.path / "scores.parquet")}
    (artifact.path / "record.json").write_text(json.dumps(artifact.record | {"files": files}))
    with pytest.raises(ArtifactError, match=r"scores\.parquet holds other scores than image_scores/test@v1 has"):
        run(a_run(folder))


def test_a_part_of_other_scores_is_made_again(folder: Path) -> None:
    once = scores(run(a_run(folder)))
    with patch.object(Draft, "commit", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run(a_run(folder, name="stopped"))
    part = folder / "outputs/image_scores/stopped/v1.partial/parts/00001.parquet"
    pd.read_parquet(part).assign(words="x").to_parquet(part, index=False)
    pd.testing.assert_frame_equal(scores(run(a_run(folder, name="stopped"))), once)


def test_where_a_scorer_runs_decides_nothing(folder: Path) -> None:
    once = run(a_run(folder))
    elsewhere = {"words": ScorerConfig("words", place="there"), "red": ScorerConfig("reddish")}
    assert run(a_run(folder, scorer=elsewhere)).reference == once.reference


def test_a_killed_run_goes_on_and_repeats_no_finished_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scores(run(a_run(folder, outputs=str(folder / "whole"))))
    seen: list[str] = []
    kill_before = ["prompt 6"]
    score = Words.score

    def stopping(self: Words, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        if kill_before and kill_before[0] in [prompt.text for prompt in prompts]:
            raise KeyboardInterrupt
        seen.extend(prompt.text for prompt in prompts)
        return score(self, images, prompts)

    monkeypatch.setattr(Words, "score", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(a_run(folder))
    parts = folder / "outputs/image_scores/test/v1.partial/parts"
    assert [path.name for path in parts.iterdir()] == ["00000.parquet"]
    kill_before.clear()
    seen.clear()
    resumed = run(a_run(folder))
    assert resumed.version == "v1"
    assert seen == [f"prompt {number}" for number in range(4, NUM_IMAGES)]
    pd.testing.assert_frame_equal(scores(resumed), whole)


@pytest.mark.parametrize("file", ["scores.csv", "scores.parquet", "parts/00001.parquet"])
def test_a_damaged_artifact_is_repaired(folder: Path, file: str, caplog: pytest.LogCaptureFixture) -> None:
    artifact = run(a_run(folder))
    content = (artifact.path / file).read_bytes()
    (artifact.path / file).write_bytes(content[:-9])
    with caplog.at_level(logging.WARNING):
        repaired = run(a_run(folder))
    assert repaired.reference == artifact.reference
    assert (repaired.path / file).read_bytes() == content
    assert file in caplog.text


@pytest.mark.parametrize(
    "broken",
    [
        lambda _: None,
        lambda table: table.iloc[1:],
        lambda table: table.iloc[::-1],
        lambda table: table.assign(image="0.png", words=0.0),
        lambda table: table.assign(prompt="prompt 0", words=0.0),
        lambda table: table.drop(columns="red").assign(words=0.0),
    ],
)
def test_a_part_of_an_unfinished_run_that_is_not_whole_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, broken: Any
) -> None:
    whole = scores(run(a_run(folder, outputs=str(folder / "whole"))))
    with monkeypatch.context() as patched:
        patched.setattr("goldennoise.generation.image_scores.read_parts", _stop)
        with pytest.raises(KeyboardInterrupt):
            run(a_run(folder))
    part = folder / "outputs/image_scores/test/v1.partial/parts/00001.parquet"
    changed = broken(pd.read_parquet(part))
    if changed is None:
        part.write_bytes(part.read_bytes()[:100])
    else:
        changed.to_parquet(part, index=False)
    pd.testing.assert_frame_equal(scores(run(a_run(folder))), whole)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _new_version_of_a_scorer(_: Path) -> None:
    fakes.SCORERS["words"] = type("Words", (Words,), {"version": "2"})


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        (lambda folder: save(folder / "images/3.png", 4), {}),
        (lambda folder: (folder / "images/9.png").rename(folder / "images/9 of 10.png"), {}),
        (lambda folder: write_prompts(folder, [f"prompt {number % 9}" for number in range(10)]), {}),
        (_new_version_of_a_scorer, {}),
        (lambda _: None, {"scorer": {"words": ScorerConfig("words")}}),
        (lambda _: None, {"scorer": {"words": ScorerConfig("words"), "red": ScorerConfig("brightness")}}),
    ],
)
def test_what_decides_the_scores_makes_another_version(folder: Path, change: Any, changes: dict[str, Any]) -> None:
    assert run(a_run(folder)).version == "v1"
    change(folder)
    again = run(a_run(folder, **changes))
    assert again.version == "v2"
    with pytest.raises(ArtifactError, match="made from something else"):
        run(a_run(folder, version="v1", **changes))


def test_the_record_tells_the_versions_of_the_scorers(folder: Path) -> None:
    record = ArtifactStore(folder / "outputs").resolve(run(a_run(folder)).reference, "image_scores").record
    assert {name: part["version"] for name, part in record["identity"]["scorers"].items()} == {"words": "1", "red": "2"}


def _cut_short(folder: Path) -> None:
    (folder / "images/4.png").unlink()
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "images/4.jpg")
    (folder / "images/4.jpg").write_bytes((folder / "images/4.jpg").read_bytes()[:2000])


def _empty_folder(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_empty_folder, ["images holds no images; those that are read end in .png, "]),
        (lambda folder: (folder / "images").rename(folder / "gone"), ["images: no such folder", "stage.images=FOLDER"]),
        (
            lambda folder: (folder / "images/4.png").unlink(),
            ["holds 9 images, but 10 prompts", "an image seems to be missing between 3.png and 5.png"],
        ),
        (
            lambda folder: (folder / "images/9.png").unlink(),
            ["holds 9 images, but 10 prompts", 'the first prompt without all its images is "prompt 9"'],
        ),
        (
            lambda folder: save(folder / "images/z.png", 1),
            ["holds 11 images, but 10 prompts", "the first image left over is z.png"],
        ),
        (_cut_short, ["images/4.jpg cannot be read", "replace the file, or take it out together with its prompt"]),
        (
            lambda folder: (folder / "images/2.png").write_text("text"),
            ["images/2.png is no PNG, JPEG or WebP image; replace the file"],
        ),
        (
            lambda folder: write_prompts(folder, ["prompt 0", "", *["prompt 2"] * 8]),
            ["prompts.txt, line 2: empty; write a prompt there"],
        ),
        (lambda folder: (folder / "prompts.txt").unlink(), ["prompts.txt"]),
    ],
)
def test_bad_input_is_refused_before_a_scorer_loads(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: Any, expected: list[str]
) -> None:
    spoil(folder)
    monkeypatch.setattr(fakes, "SCORERS", {})
    with pytest.raises(DataError) as caught:
        run(a_run(folder))
    for words in expected:
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda scores: scores * float("nan"), "scorer words gives nan for 4.png; a score must be finite"),
        (lambda scores: scores / 0, "scorer words gives inf for 4.png"),
        (lambda scores: scores[:, None], "scorer words gives scores of shape (1, 1) for 1 images"),
    ],
)
def test_a_score_that_is_none_names_the_image_and_keeps_what_is_finished(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, expected: str
) -> None:
    score = Words.score
    monkeypatch.setattr(
        Words,
        "score",
        lambda *given: answer(score(*given)) if Prompt.of("prompt 4") in given[2] else score(*given),
    )
    with pytest.raises(ScorerError) as caught:
        run(a_run(folder))
    assert expected in str(caught.value)
    versions = folder / "outputs/image_scores/test"
    assert not (versions / "v1").exists()
    assert [path.name for path in (versions / "v1.partial/parts").iterdir()] == ["00000.parquet"]


@pytest.mark.parametrize("batch_size", [2, 8])
def test_a_scorer_that_tells_nothing_apart_stops_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    monkeypatch.setattr(Words, "score", lambda _, images, prompts: torch.ones(len(images)))  # noqa: ARG005
    # Images of one size are scored together, and the first is alone with its size.
    with pytest.raises(ScorerError, match=r"scorer words gives 1 for all . images from [12]\.png to [23]\.png"):
        run(a_run(folder, compute=Compute(batch_size=batch_size)))


@pytest.mark.parametrize("num_images", [1, 3])
def test_equal_images_may_have_equal_scores(folder: Path, monkeypatch: pytest.MonkeyPatch, num_images: int) -> None:
    monkeypatch.setattr(Words, "score", lambda _, images, prompts: torch.ones(len(images)))  # noqa: ARG005
    for number in range(NUM_IMAGES):
        (folder / f"images/{number}.png").unlink()
    for number in range(num_images):
        save(folder / "images/1.png", 1)
        (folder / "images/1.png").rename(folder / f"images/x{number}.png")
    write_prompts(folder, ["prompt 1"])
    assert list(scores(run(a_run(folder, images_per_prompt=num_images)))["words"]) == [1.0] * num_images


def test_images_that_a_scorer_refuses_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(_: Words, images: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        if images.shape[2] == 12:
            raise ScorerError("words: too tall")
        return torch.zeros(len(prompts))

    monkeypatch.setattr(Words, "score", refusing)
    with pytest.raises(ScorerError, match=r"words: too tall \(it was given 0\.png\)"):
        run(a_run(folder))
    for number in (0, 1):
        Image.fromarray(np.zeros((12, 6, 3), dtype=np.uint8)).save(folder / f"images/{number}.png")
    with pytest.raises(ScorerError, match=r"words: too tall \(it was given 2 images, 0\.png to 1\.png\)"):
        run(a_run(folder))


def test_what_cannot_be_run_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"scorer": {}}, "at least one scorer"),
        ({"scorer": {"image": ScorerConfig("words")}}, r"scorer\.image: a column of the table is called image"),
        ({"scorer": {"prompt": ScorerConfig("words")}}, r"scorer\.prompt: a column of the table is called prompt"),
        ({"compute": Compute(devices=2)}, r"compute\.devices=2: score runs in one process"),
    ]
    for changes, expected in mistakes:
        with pytest.raises(ConfigError, match=expected):
            run(a_run(tmp_path, **changes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("option", "value"), [("images", ""), ("images_per_prompt", 0), ("images_per_part", 0)])
def test_options_out_of_range(option: str, value: object) -> None:
    with pytest.raises(GoldenNoiseError, match=f"{option}="):
        Config(**{"images": "pictures", option: value})  # type: ignore[arg-type]


def test_a_scorer_reads_the_rows_of_the_prompts_and_their_content_decides(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorers, "columns_read", lambda _: ["include"])
    prompts, means = PromptsConfig("file", path=str(folder / "prompts.jsonl")), []
    for number in (2, 3):
        rows = [{"prompt": f"prompt {index}", "include": number} for index in range(NUM_IMAGES)]
        (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        table = scores(run(a_run(folder, prompts=prompts, scorer={"rows": ScorerConfig("rows")})))
        means.append(table["rows"].mean())
    assert means == [2.0, 3.0]
