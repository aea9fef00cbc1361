"""Prompts of published test sets among those to train on: refused with a list, unless they are held out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from goldennoise.data.prompts import PromptsConfig, load_prompts, load_training_prompts
from goldennoise.errors import ConfigError, DataError


@pytest.fixture
def benchmarks(tmp_path: Path) -> dict[str, PromptsConfig]:
    """Three sets, of which one is not on this machine; one repeats itself and has an empty line."""
    (tmp_path / "drawn.csv").write_text(
        "Prompts,Category\nA red car.,Colors\na red  CAR.,Colors\n,x\nTwo dogs.,Count\n"
    )
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles/anime.json").write_text('["a robot", "a cat"]')
    return {
        "drawn": PromptsConfig("file", path=str(tmp_path / "drawn.csv"), text_column="Prompts", empty="leave_out"),
        "styles": PromptsConfig("file", path=str(tmp_path / "styles"), folder="lists", benchmark=True),
        "elsewhere": PromptsConfig("file", path=str(tmp_path / "none.csv")),
    }


def own(folder: Path, *texts: str, **fields: Any) -> PromptsConfig:
    (folder / "own.txt").write_text("\n".join(texts))
    return PromptsConfig("file", path=str(folder / "own.txt"), **fields)


def test_they_are_refused_with_how_many_of_which_set_and_what_to_hold_out(
    tmp_path: Path, benchmarks: dict[str, PromptsConfig], caplog: pytest.LogCaptureFixture
) -> None:
    config = own(tmp_path, "a tree", "a RED car.", "a  Robot", "two dogs.", held_out=[str(tmp_path / "drawn.csv")])
    with pytest.raises(DataError) as caught:
        load_training_prompts(own(tmp_path, "a tree", "a RED car.", "a  Robot", "two dogs."), None, benchmarks)
    assert str(caught.value) == (
        f"{config.path} holds 3 prompts of benchmarks, on which nothing may be trained: 2 of drawn (a RED car., two "
        f"dogs.); 1 of styles (a  Robot); leave them out with prompts.held_out=[{tmp_path}/drawn.csv,{tmp_path}/styles]"
    )
    # What is wrong with the benchmarks is told where they are measured on.
    assert caplog.text == ""
    with pytest.raises(
        DataError, match=rf"1 prompt of .*prompts\.held_out=\[{tmp_path}/drawn\.csv,{tmp_path}/styles\]"
    ):
        load_training_prompts(config, None, benchmarks)


def test_a_benchmark_that_is_not_the_published_one_could_hide_a_prompt(
    tmp_path: Path, benchmarks: dict[str, PromptsConfig]
) -> None:
    damaged = {"drawn": replace(benchmarks["drawn"], sha256="0" * 64)}
    with pytest.raises(
        DataError, match=r"^training prompts are compared with the benchmark drawn, but .*drawn\.csv is n"
    ):
        load_training_prompts(own(tmp_path, "a tree"), None, damaged)


def test_what_is_left_out_of_a_file_of_ones_own_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caption = load_prompts(PromptsConfig(split="benchmark"), 1)[0].text
    prompts, num = load_training_prompts(own(tmp_path, "a tree", caption))
    assert ([prompt.text for prompt in prompts], num) == (["a tree"], 1)
    assert "own.txt: left out 1 of 2 prompts, which are benchmark captions of the shapes world or in" in caplog.text


def test_the_files_of_the_message_hold_them_out(tmp_path: Path, benchmarks: dict[str, PromptsConfig]) -> None:
    files = [str(tmp_path / "drawn.csv"), str(tmp_path / "styles")]
    config = own(tmp_path, "a tree", "a red car.", "a robot", "a cat", held_out=files)
    prompts, num_held_out = load_training_prompts(config, None, benchmarks)
    assert ([prompt.text for prompt in prompts], num_held_out) == (["a tree"], 3)


def test_prompts_that_are_not_trained_on_may_be_a_benchmarks(
    tmp_path: Path, benchmarks: dict[str, PromptsConfig]
) -> None:
    config = own(tmp_path, "a tree", "a river", "a robot")
    assert len(load_training_prompts(config, 2, benchmarks)[0]) == 2
    with pytest.raises(DataError, match="1 of styles"):
        load_training_prompts(config, 3, benchmarks)
    assert len(load_training_prompts(config)[0]) == 3


def test_a_folder_of_one_text_a_file_is_held_out_too(tmp_path: Path) -> None:
    (tmp_path / "dpg").mkdir()
    for name, text in (("1.txt", "a robot\n"), ("2.txt", "a cat")):
        (tmp_path / "dpg" / name).write_text(text)
    config = own(tmp_path, "a tree", "a robot", "a cat", held_out=[str(tmp_path / "dpg")])
    assert load_training_prompts(config)[1] == 2


def test_a_benchmark_itself_is_refused(benchmarks: dict[str, PromptsConfig]) -> None:
    with pytest.raises(ConfigError, match=r"prompts\.benchmark=true: results are published on this set"):
        load_training_prompts(benchmarks["styles"])
