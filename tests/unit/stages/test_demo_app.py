"""Stage demo_app: what its page calls, and what it says where there is no gradio."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tiny import TinyModel
from unit.evaluation import fakes
from unit.evaluation.fakes import NetworkConfig, Run, ShiftConfig

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
    monkeypatch.setattr(scorers, "built", lambda *_: builds.append(1) or {})
    pair = demo_app.sampler(a_run(tmp_path))
    pictures = [pair("a red circle", 0, 1), pair("a red circle", 3, 2), pair("a red circle", 0, 1)]
    assert len(models) == len(builds) == 1
    assert pictures[0] == pictures[2] == tmp_path / "samples/test/v1/side_by_side.png"
    stage = sample.Config(prompt="a red circle", num_seeds=2)
    assert sample.run(a_run(tmp_path, stage=stage, seed=3)).path / sample.PICTURE == pictures[1]
    with pytest.raises(ConfigError, match="prompt=' '"):
        pair(" ", 0, 1)


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
    with pytest.raises(ConfigError, match=r"gradio, which is not installed; pip install goldennoise\[app\]$"):
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
