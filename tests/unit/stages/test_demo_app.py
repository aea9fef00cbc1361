"""Stage demo_app: what its page calls, and what it says where there is no gradio."""

import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tiny import TinyModel
from unit.generation import fakes
from unit.generation.fakes import NetworkConfig, Run, ScorerConfig, ShiftConfig

from goldennoise import methods, scorers
from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.stages import demo_app, sample


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[TinyModel]:
    models = fakes.install(monkeypatch)
    monkeypatch.setattr(methods.component("standard"), "Config", ShiftConfig, raising=False)
    return models


def a_run(outputs: Path, **changes: Any) -> Run:
    return replace(Run(demo_app.Config(), str(outputs), {"shifted": ShiftConfig(amount=0.2)}, {}), **changes)


def test_a_click_is_the_stage_sample_with_one_model_for_all_of_them(
    tmp_path: Path, models: list[TinyModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    builds: list[Any] = []
    built = scorers.built
    monkeypatch.setattr(scorers, "built", lambda *given: builds.append(1) or built(*given))
    pair = demo_app.sampler(a_run(tmp_path, scorer={"brightness": ScorerConfig("brightness")}))
    pictures = [pair("a red circle", 0, 1), pair("a red circle", 3, 2), pair("a red circle", 0, 1)]
    assert len(models) == len(builds) == 1
    assert pictures[0] == pictures[2] == tmp_path / "samples/test/v1/side_by_side.png"
    stage = sample.Config(prompt="a red circle", num_seeds=2)
    config = a_run(tmp_path, scorer={"brightness": ScorerConfig("brightness")}, stage=stage, seed=3)
    assert sample.run(config).path / sample.PICTURE == pictures[1]


@pytest.mark.parametrize(
    ("prompt", "seed", "rows", "expected"),
    [
        (" ", 0, 1, "prompt=' ': prompt must be a text of 1 to 1000 characters"),
        (None, 0, 1, "prompt=None: prompt must be a text"),
        (["a"], 0, 1, r"prompt=\['a'\]: prompt must be a text"),
        ("x" * 100_000, 0, 1, "prompt=x{40}...: prompt must be a text of 1 to 1000 characters, not of 100000"),
        ("a ring", None, 1, "seed=None: seed must be a whole number from 0 to"),
        ("a ring", -1, 1, "seed=-1: seed must be"),
        ("a ring", 0.5, 1, "seed=0.5: seed must be"),
        ("a ring", math.nan, 1, "seed=nan: seed must be"),
        ("a ring", 2**63, 1, "seed=9223372036854775808: seed must be"),
        ("a ring", "7", 1, "seed='7': seed must be"),
        ("a ring", 0, 9, "rows=9: rows must be a whole number from 1 to 8"),
        ("a ring", 0, True, "rows=True: rows must be"),
    ],
)
def test_what_a_browser_may_send_is_answered_in_words(
    tmp_path: Path, models: list[TinyModel], prompt: object, seed: object, rows: object, expected: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{expected}"):
        demo_app.sampler(a_run(tmp_path))(prompt, seed, rows)
    assert not models


@pytest.mark.usefixtures("models")
def test_the_oldest_pictures_of_the_page_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_app, "NUM_KEPT", 2)
    mine = sample.run(a_run(tmp_path, stage=sample.Config(prompt="my own")))
    pair = demo_app.sampler(a_run(tmp_path))
    pair("my own", 0, 1)
    pictures = [pair(text, 0, 1) for text in ("one", "two", "one", "three")]
    assert [picture.is_file() for picture in pictures] == [True, False, True, True]
    assert sorted(path.name for path in mine.path.parent.glob("v*")) == ["v1", "v2", "v4"]


@pytest.mark.usefixtures("models")
def test_a_network_of_another_model_is_the_users_decision(tmp_path: Path) -> None:
    fakes.make_network(tmp_path, model=fakes.ModelConfig(path="another"))
    config = a_run(tmp_path, method={"net": NetworkConfig()})
    with pytest.raises(ArtifactError, match="trained for another model"):
        demo_app.sampler(config)("a ring", 0, 1)
    allowed = replace(config, stage=demo_app.Config(other_model="allow"))
    assert demo_app.sampler(allowed)("a ring", 0, 1).is_file()


@pytest.mark.usefixtures("models")
def test_without_gradio_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_app, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"gradio, which is not installed; install it with pip install gradio$"):
        demo_app.run(a_run(tmp_path))


def test_mistakes_show_before_the_page_is_served(
    tmp_path: Path, models: list[TinyModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_app, "find_spec", lambda _: True)
    monkeypatch.setattr(demo_app, "page", lambda _: pytest.fail("must not be built"))
    with pytest.raises(ConfigError, match=r"choose one, as in method=\[re_denoise\]"):
        demo_app.run(a_run(tmp_path, method={}))
    with pytest.raises(ArtifactError, match="no npnet artifact called net"):
        demo_app.run(a_run(tmp_path, method={"net": NetworkConfig()}))
    with pytest.raises(ConfigError, match="other_model=maybe"):
        demo_app.Config(other_model="maybe")
    assert not models


@pytest.mark.skipif(find_spec("gradio") is None, reason="needs the extra goldennoise[app]")
@pytest.mark.usefixtures("models")
def test_the_page_shows_a_picture_and_a_mistake_as_a_sentence(tmp_path: Path) -> None:
    import gradio

    page = demo_app.page(a_run(tmp_path))
    picture = page.fn("a red circle", 0, 2)
    assert picture.size == (2 * 256 + 3 * 12, 2 * (256 + 22 + 12) + 22 + 2 * 12)
    with pytest.raises(gradio.Error, match="prompt=''"):
        page.fn("", 0, 1)
    assert [component.label for component in page.input_components] == ["Prompt", "Seed", "Rows"]
