"""Splits of the shapes world, choosing from a set, and keeping benchmark prompts out of training."""

from collections import Counter
from pathlib import Path

import pytest

from goldennoise.data.prompts import Prompt, PromptsConfig, load_prompts, load_training_prompts, without
from goldennoise.data.shapes.captions import benchmark
from goldennoise.data.shapes.vocabulary import KINDS
from goldennoise.errors import ConfigError, DataError
from goldennoise.runtime.seeding import normalised, prompt_id

SPLITS = ("train", "validation", "benchmark")


@pytest.fixture(scope="module")
def prompts_of() -> dict[str, list[Prompt]]:
    return {split: load_prompts(PromptsConfig(split=split)) for split in SPLITS}


def test_splits_are_disjoint_and_without_repetition(prompts_of: dict[str, list[Prompt]]) -> None:
    texts = [normalised(prompt.text) for prompts in prompts_of.values() for prompt in prompts]
    assert len(texts) == len(set(texts)) > 10_000


def test_prompts_carry_their_id_and_kind(prompts_of: dict[str, list[Prompt]]) -> None:
    for prompts in prompts_of.values():
        assert {prompt.category for prompt in prompts} == set(KINDS)
        assert all(prompt.id == prompt_id(prompt.text) for prompt in prompts)


def test_benchmark_is_the_published_order(prompts_of: dict[str, list[Prompt]]) -> None:
    assert [prompt.text for prompt in prompts_of["benchmark"]] == [caption.text for caption in benchmark()]


def test_the_first_training_prompts_mix_all_kinds_evenly(prompts_of: dict[str, list[Prompt]]) -> None:
    counts = Counter(prompt.category for prompt in prompts_of["train"][:60])
    assert counts == dict.fromkeys(KINDS, 10)


def test_num_prompts_takes_the_first_and_refuses_more_than_there_are(prompts_of: dict[str, list[Prompt]]) -> None:
    assert load_prompts(PromptsConfig(), 7) == prompts_of["train"][:7]
    with pytest.raises(ConfigError, match="has 1000"):
        load_prompts(PromptsConfig(split="benchmark"), 1001)


def test_category_chooses_and_names_the_known_ones() -> None:
    chosen = load_prompts(PromptsConfig(category="counting"), 20)
    assert {prompt.category for prompt in chosen} == {"counting"}
    with pytest.raises(DataError, match="counting"):
        load_prompts(PromptsConfig(category="countin"))


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        ({"kind": "files"}, "kind"),
        ({"split": "test"}, "split"),
        ({"kind": "file"}, "path"),
        ({"duplicates": "drop"}, "duplicates"),
        ({"empty": "drop"}, "empty"),
    ],
)
def test_config_refuses_unknown_choices(fields: dict[str, str], option: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option}="):
        PromptsConfig(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("held_out", ["a RED circle", "a red circle.", "a red circle ?!", "a r\u200bed circle\ufeff"])
def test_without_compares_words(held_out: str) -> None:
    prompts = [Prompt.of("A red  circle"), Prompt.of("a blue square")]
    assert without(prompts, [held_out]) == prompts[1:]


def test_without_keeps_other_words() -> None:
    prompts = [Prompt.of("A red circle, a tree"), Prompt.of("red circle")]
    assert without(prompts, ["a red circle"]) == prompts


def test_training_prompts_leave_out_benchmarks_of_the_world_and_of_files(tmp_path: Path) -> None:
    of_world = benchmark()[0].text.upper()
    (tmp_path / "own.txt").write_text(f"a tree\n{of_world}\na river\na bridge\n")
    # A published set is held out although it repeats itself.
    (tmp_path / "measured.csv").write_text("n,Prompts\n0,A River\n1,a river\n2,\n")
    config = PromptsConfig("file", path=str(tmp_path / "own.txt"), held_out=[str(tmp_path / "measured.csv")])
    prompts, num_held_out = load_training_prompts(config, 2)
    assert [prompt.text for prompt in prompts] == ["a tree", "a bridge"]
    assert num_held_out == 2
    with pytest.raises(ConfigError, match="has 2"):
        load_training_prompts(config, 3)


def test_nothing_is_collected_from_the_benchmark() -> None:
    with pytest.raises(ConfigError, match=r"prompts\.split=benchmark"):
        load_training_prompts(PromptsConfig(split="benchmark"))


def test_own_words_ship_and_are_readable() -> None:
    path = Path(__file__).parents[4] / "data" / "prompts" / "own_words.txt"
    assert len(load_prompts(PromptsConfig("file", path=str(path)))) >= 30
