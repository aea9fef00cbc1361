"""Stage sample: the same source noise under every method, what the picture shows, and what another run repeats."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny import TinyModel
from unit.generation import fakes
from unit.generation.fakes import Compute, ModelConfig, NetworkConfig, Run, ScorerConfig, ShiftConfig

from goldennoise import methods
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.evaluation import side_by_side
from goldennoise.runtime.seeding import derive_seed, gaussian_noise, prompt_id
from goldennoise.stages.sample import Config, run

PROMPT = "a red circle left of a blue square"
STAGE = Config(prompt=PROMPT, num_seeds=3)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[TinyModel]:
    models = fakes.install(monkeypatch)
    monkeypatch.setattr(methods.component("standard"), "Config", ShiftConfig, raising=False)
    return models


def a_run(outputs: Path, **changes: Any) -> Run:
    return replace(Run(STAGE, str(outputs), {"shifted": ShiftConfig(amount=0.2)}), **changes)


def test_images_scores_and_the_picture(
    tmp_path: Path, models: list[TinyModel], capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = run(a_run(tmp_path))
    assert artifact.reference == "samples/test@v1"
    assert f"samples/test@v1: {artifact.path / 'side_by_side.png'}" in capsys.readouterr().out
    table = pd.read_csv(artifact.path / "samples.csv")
    assert list(table.columns) == ["method", "seed", "image", "num_evaluations", "brightness", "reddish"]
    assert sorted(zip(table["method"], table["seed"], strict=True)) == [
        (method, seed) for method in ("shifted", "standard") for seed in range(3)
    ]
    model = TinyModel(num_steps=2)
    for row in table.itertuples():
        noise = gaussian_noise(model.latent_shape, [derive_seed(0, "evaluation", prompt_id(PROMPT), row.seed)])
        amount = 0.2 if row.method == "shifted" else 0.0
        expected = model.decode(model.sample(SamplingPlan(noise + amount), model.encode([PROMPT])))[0]
        with Image.open(artifact.path / row.image) as image:
            found = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255
        assert (found - expected).abs().max() < 0.5 / 255 + 1e-5
        assert row.brightness == pytest.approx(float(found.mean()), rel=1e-5)
    assert artifact.record["counts"] == {"seeds": 3, "methods": 2, "scorers": 2}
    assert len(models) == 1


@pytest.mark.usefixtures("models")
def test_the_picture_has_the_images_of_a_seed_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[tuple[tuple[float, float], str]] = []
    draw = side_by_side.ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        side_by_side.ImageDraw.ImageDraw, "text", lambda *given: (texts.append(given[1:3]), draw(*given))
    )
    artifact = run(a_run(tmp_path))
    table = pd.read_csv(artifact.path / "samples.csv")
    with Image.open(artifact.path / "side_by_side.png") as file:
        picture = np.asarray(file.convert("RGB"))
    assert texts[0][1] == PROMPT
    below = {text: place for place, text in texts}
    places = set()
    for row in table.itertuples():
        left, lower = (int(value) for value in below[f"{row.method}, seed {row.seed}"])
        assert ((left, lower + 22), f"brightness {row.brightness:.4g}") in texts
        with Image.open(artifact.path / row.image) as file:
            image = np.asarray(file.convert("RGB")).repeat(8, axis=0).repeat(8, axis=1)
        np.testing.assert_array_equal(picture[lower - 256 : lower, left : left + 256], image)
        places.add((left, lower))
    columns = {method: {below[f"{method}, seed {seed}"][0] for seed in range(3)} for method in ("standard", "shifted")}
    rows = [{below[f"{method}, seed {seed}"][1] for method in columns} for seed in range(3)]
    assert len(places) == 6
    assert max(columns["standard"]) < min(columns["shifted"])
    assert [len(row) for row in rows] == [1, 1, 1]
    assert sorted(rows, key=min) == rows


def test_a_long_prompt_is_broken_into_lines_and_a_large_image_stays_as_it_is(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    cell = side_by_side.Cell(tmp_path / "large.png", ["method, seed 0"])
    short, long = (side_by_side.side_by_side(text, [[cell]]) for text in ("short", "many words " * 20))
    assert short.width == long.width == 300 + 2 * 12
    assert long.height > short.height + 22 * 3
    np.testing.assert_array_equal(np.asarray(short)[-40 - 22 - 12 : -22 - 12, 12:-12], noise)


@pytest.mark.usefixtures("models")
def test_without_scorers_there_are_captions_and_no_scores(tmp_path: Path) -> None:
    artifact = run(a_run(tmp_path, scorer={}))
    assert list(pd.read_csv(artifact.path / "samples.csv").columns) == ["method", "seed", "image", "num_evaluations"]


def test_a_second_run_is_a_no_op_whatever_the_batch(
    tmp_path: Path, models: list[TinyModel], capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(a_run(tmp_path))
    assert run(a_run(tmp_path, compute=Compute(batch_size=1))).path == first.path
    assert len(models) == 1
    assert f"samples/test@v1 is complete: {first.path / 'side_by_side.png'}" in capsys.readouterr().out
    (first.path / "side_by_side.png").write_bytes(b"")
    assert run(a_run(tmp_path)).path == first.path
    assert len(models) == 1
    with Image.open(first.path / "side_by_side.png") as picture:
        picture.load()


def test_a_killed_run_goes_on_and_repeats_no_finished_method(
    tmp_path: Path, models: list[TinyModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = fakes.Shift.golden

    def stopping(self: fakes.Shift, *given: Any) -> Any:
        if self.amount:
            raise KeyboardInterrupt
        return golden(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(fakes.Shift, "golden", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(a_run(tmp_path))
    assert [file.name for file in tmp_path.glob("samples/test/v1.partial/parts/*")] == ["standard-00000.parquet"]
    for file in tmp_path.glob("samples/test/v1.partial/images/*/*.png"):
        # The same picture without its metadata, as some tool may have saved it.
        with Image.open(file) as picture:
            picture.load()
        picture.info = {}
        picture.save(file)
    whole = run(a_run(tmp_path / "whole"))
    models.clear()
    resumed = run(a_run(tmp_path))
    # Three images of two steps with two passes each, and the short pass before.
    assert models[0].num_evaluations == 3 * 2 * 2 + 2
    for file in ("samples.csv", "side_by_side.png"):
        assert (resumed.path / file).read_bytes() == (whole.path / file).read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"stage": replace(STAGE, prompt="a ring")},
        {"stage": replace(STAGE, num_seeds=2)},
        {"model": ModelConfig(num_steps=3)},
        {"method": {"shifted": ShiftConfig(amount=0.3)}},
        {"scorer": {"red": ScorerConfig("reddish")}},
    ],
)
@pytest.mark.usefixtures("models")
def test_what_decides_the_images_makes_another_version(tmp_path: Path, change: dict[str, Any]) -> None:
    assert run(a_run(tmp_path)).version == "v1"
    assert run(a_run(tmp_path, **change)).version == "v2"


def test_a_network_is_an_input_and_must_be_for_this_model(tmp_path: Path, models: list[TinyModel]) -> None:
    network = fakes.make_network(tmp_path)
    artifact = run(a_run(tmp_path, method={"net": NetworkConfig()}))
    assert artifact.record["inputs"] == [{"reference": "npnet/net@v1", "fingerprint": network.fingerprint}]
    models.clear()
    other = a_run(tmp_path, method={"net": NetworkConfig()}, model=ModelConfig(path="another"))
    with pytest.raises(ArtifactError, match=r"npnet/net@v1 was trained for another model .*stage\.other_model=allow"):
        run(other)
    assert not models
    assert run(replace(other, stage=replace(STAGE, other_model="allow"))).version == "v2"


def test_what_cannot_be_run_is_refused_before_anything_loads(tmp_path: Path, models: list[TinyModel]) -> None:
    for chosen in ({}, {"standard": ShiftConfig()}):
        with pytest.raises(ConfigError, match=r"choose one, as in method=\[re_denoise\]"):
            run(a_run(tmp_path, method=chosen))
    with pytest.raises(ConfigError, match=r"compute\.devices=2: sample runs in one process"):
        run(a_run(tmp_path, compute=Compute(devices=2)))
    with pytest.raises(ArtifactError, match="no npnet artifact called net"):
        run(a_run(tmp_path, method={"net": NetworkConfig()}))
    assert not models
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("option", "value"), [("prompt", " "), ("num_seeds", 0), ("other_model", "maybe")])
def test_options_out_of_range(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{option}="):
        Config(**{"prompt": PROMPT, option: value})  # type: ignore[arg-type]


@pytest.mark.usefixtures("models")
def test_a_seed_alone_is_the_seed_among_others_bit_for_bit(tmp_path: Path) -> None:
    several = run(a_run(tmp_path, stage=replace(STAGE, num_seeds=4)))
    alone = run(a_run(tmp_path, stage=replace(STAGE, seeds=[3])))
    assert list(pd.read_csv(alone.path / "samples.csv")["seed"]) == [3, 3]
    tables = (pd.read_csv(made.path / "samples.csv") for made in (several, alone))
    scores = [table.query("seed == 3").reset_index(drop=True) for table in tables]
    pd.testing.assert_frame_equal(*scores, check_exact=True)
    for name in scores[0]["image"]:
        with Image.open(several.path / name) as one, Image.open(alone.path / name) as other:
            assert one.tobytes() == other.tobytes()
    assert run(a_run(tmp_path, stage=replace(STAGE, seeds=[0, 1, 2, 3]))).reference == several.reference


@pytest.mark.parametrize("seeds", [[], [-1], [2, 2]])
def test_odd_seeds_are_refused(seeds: list[int]) -> None:
    with pytest.raises(ConfigError, match="seeds must be null or a list of different whole numbers"):
        replace(STAGE, seeds=seeds)


@pytest.mark.usefixtures("models")
def test_images_say_where_they_come_from(tmp_path: Path) -> None:
    prompt = 'é, "日本" & <b>'
    artifact = run(a_run(tmp_path, stage=Config(prompt=prompt, seeds=[3]), seed=7))
    common = {
        "prompt": prompt,
        "model": "tiny-model",
        "root_seed": "7",
        "fingerprint": artifact.fingerprint,
        "seed": "3",
    }
    for row in pd.read_csv(artifact.path / "samples.csv").itertuples():
        with Image.open(artifact.path / row.image) as image:
            assert image.info == common | {"method": row.method}
    with Image.open(artifact.path / "side_by_side.png") as picture:
        assert picture.info == common | {"method": "standard, shifted"}
