"""stage=browse through the real command line: its images are those that were scored, its page works in a browser."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from integration.browser import needs_chromium, opened
from integration.command_line import ROOT
from integration.in_process import Ended, run
from PIL import Image

from goldennoise.data.prompts import Prompt
from goldennoise.scorers.shapes_clip import Config as ScorerConfig
from goldennoise.scorers.shapes_clip import build
from goldennoise.stages.browse import spread

COLLECT = ("stage=collect", "stage.num_prompts=8", "model.num_steps=2", "method.re_denoise.num_steps=2")
BROWSE = ("stage=browse", "stage.num_pairs=5", "compute.batch_size=2")


def goldennoise(folder: Path, *overrides: str) -> Ended:
    ended = run([*overrides, "name=mine", f"outputs={folder}"], ROOT)
    assert not ended.faults()
    return ended


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    for stage in (COLLECT, BROWSE):
        assert goldennoise(folder, *stage).code == 0
    return folder


@pytest.fixture(scope="module")
def page(outputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy beside which a test may write."""
    copy = tmp_path_factory.mktemp("page") / "index.html"
    copy.write_text((outputs / "browser/mine/v1/index.html").read_text("utf-8"), "utf-8")
    return copy


def scored(image: Path, prompt: str) -> float:
    given = torch.from_numpy(pixels(image)).permute(2, 0, 1)[None].float() / 255
    return float(build(ScorerConfig(), torch.device("cpu")).score(given, [Prompt.of(prompt)])[0])


def pixels(image: Path) -> np.ndarray:
    return np.array(Image.open(image)).astype(int)


def test_the_images_are_those_whose_scores_the_pairs_have(outputs: Path) -> None:
    index = pd.read_parquet(outputs / "pairs/mine/v1/index.parquet")
    images = sorted((outputs / "browser/mine/v1/images").iterdir())
    assert len(images) == 2 * 5
    for image in images:
        row, side = image.stem.split("-")
        pair = index.iloc[int(row)]
        assert scored(image, pair["prompt"]) == pytest.approx(pair[f"shapes_clip_{side}"], abs=1.0)  # 8 bits
    assert (index["shapes_clip_source"] - index["shapes_clip_golden"]).abs().max() > 5


def test_a_complete_page_is_a_no_op_and_a_damaged_one_is_made_again(outputs: Path) -> None:
    assert "browser/mine@v1 is complete: " in goldennoise(outputs, *BROWSE).stdout
    images = sorted((outputs / "browser/mine/v1/images").iterdir())
    before = pixels(images[2])
    images[2].write_bytes(b"damaged")
    assert "browser/mine@v1 is written: " in goldennoise(outputs, *BROWSE).stdout
    assert np.abs(pixels(images[2]) - before).max() <= 1  # alone in its batch, the last bits differ
    more = goldennoise(outputs, *BROWSE, "stage.num_pairs=100")
    assert "browser/mine@v2" in more.stdout
    assert len(list((outputs / "browser/mine/v2/images").iterdir())) == 2 * 8
    listed = goldennoise(outputs, "stage=list", "stage.artifacts=browser")
    assert "5 shown, 8 pairs" in listed.stdout


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("stage.pairs=pairs/other",), "no pairs artifact called other"),
        (("stage.num_pairs=0",), "stage.num_pairs=0: num_pairs must be at least 1"),
        (("stage.pairs=''",), "stage.pairs='': pairs must be the name of a pairs artifact"),
    ],
)
def test_what_cannot_be_browsed(outputs: Path, overrides: tuple[str, ...], expected: str) -> None:
    ended = goldennoise(outputs, *BROWSE, *overrides)
    assert (ended.code, len(ended.sentences)) == (2, 1)
    assert expected in ended.sentences[0]


def test_a_record_of_another_model_is_refused(outputs: Path, tmp_path: Path) -> None:
    record = json.loads((outputs / "pairs/mine/v1/record.json").read_text())
    record["config"]["model"]["path"] = str(tmp_path / "gone")
    folder = tmp_path / "pairs/mine/v1"
    folder.mkdir(parents=True)
    for file in (outputs / "pairs/mine/v1").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "record.json").write_text(json.dumps(record))
    ended = goldennoise(tmp_path, *BROWSE)
    assert (ended.code, len(ended.sentences)) == (2, 1)
    assert "gone" in ended.sentences[0]
    record["config"]["model"]["colour"] = 3
    (folder / "record.json").write_text(json.dumps(record))
    assert "model.colour=3: there is no option colour" in goldennoise(tmp_path, *BROWSE).sentences[0]


def test_pairs_are_spread_over_the_order_of_gain() -> None:
    index = pd.DataFrame({"gain": [0.0, 5.0, -3.0, 9.0, 1.0, 2.0, 4.0]})
    assert spread(index, 4) == [3, 6, 4, 2]
    assert spread(index, 1) == [3]
    assert spread(index, 9) == [3, 1, 6, 5, 4, 0, 2]


CARDS = "[...document.querySelectorAll('.cards li')].filter(card => !card.hidden)"
STEPS = {
    "shown": "0",
    "up": "set('sort', 'gain-up')",
    "prompt": "set('sort', 'prompt')",
    "least": "set('least', {least})",
    "most": "(set('least', ''), set('most', {least}))",
    "kept": "(set('most', ''), set('kept', 'true'))",
    "kind": "(set('kept', ''), set('kind', '{kind}'))",
}


@pytest.fixture(scope="module")
def index(outputs: Path) -> pd.DataFrame:
    """Of the pairs on the page, from the highest gain to the lowest."""
    every = pd.read_parquet(outputs / "pairs/mine/v1/index.parquet")
    return every.iloc[spread(every, 5)]


@needs_chromium
def test_a_visitor_sorts_and_filters(page: Path, index: pd.DataFrame) -> None:
    middle, kind = float(index["gain"].iloc[2]), index["category"].iloc[0].replace("_", " ")
    steps = ",".join(f"({step.format(least=middle, kind=kind)}, now())" for step in STEPS.values())
    change = "form.elements[name].value = value, form.dispatchEvent(new Event('input'))"
    now = f"({CARDS}).map(card => card.dataset.prompt).concat(document.querySelector('output').textContent)"
    script = f"((set, now) => JSON.stringify([{steps}]))((name, value) => ({change}), () => {now})"
    found = opened(page, script)
    assert found.complaints == []
    by_gain, prompts = index["prompt"].tolist(), index["prompt"]
    kept, of_kind = prompts[index["kept"]], prompts[index["category"] == index["category"].iloc[0]]
    expected = [by_gain, by_gain[::-1], sorted(by_gain), sorted(by_gain[:3]), sorted(by_gain[2:])]
    expected += [sorted(kept), sorted(of_kind)]
    assert json.loads(found.answer) == [[*one, f"{len(one)} of 5 shown"] for one in expected]


@needs_chromium
def test_everything_is_reached_by_keyboard_and_nothing_asks_a_network(page: Path) -> None:
    focus = "(part.focus(), document.activeElement === part)"
    reached = f"[...form.querySelectorAll('select, input, button')].map(part => {focus})"
    found = opened(page, f"JSON.stringify([form.hidden, ...{reached}])")
    assert json.loads(found.answer) == [False] + [True] * 6
    html = page.read_text("utf-8")
    assert "default-src 'none'" in html
    assert "http:" not in html.replace("http-equiv", "")
    assert "https:" not in html
    assert html.count('src="data:image/png;base64,') == html.count("<img") == 2 * 5
