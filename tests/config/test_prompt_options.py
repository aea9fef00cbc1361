"""Published prompt sets in conf/prompts say where they come from."""

import re

import pytest

from goldennoise.config.benchmarks import benchmark_sets
from goldennoise.config.compose import load
from goldennoise.config.files import options
from goldennoise.data.prompts import load_prompts, load_training_prompts
from goldennoise.data.prompts.content import content_digest
from goldennoise.errors import ConfigError
from goldennoise.store.paths import given_path

OURS = ("file", "own_words", "pickapic_train")
PUBLISHED = [name for name in options("prompts") if name not in OURS and "shapes" not in name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_set_is_a_benchmark_with_version_source_and_licence(name: str) -> None:
    config = load([f"prompts={name}"]).prompts
    assert config.benchmark
    assert config.version
    assert config.licence
    assert re.search(r"20\d\d.*arXiv \d{4}\.\d{5}", config.source or "")
    assert all(url.startswith("https://") for url in config.urls)
    # One address for a file, one for each file of a folder; without any there is a hash to check a copy by.
    assert (len(config.urls) > 1) == (config.folder == "lists")
    assert config.urls or config.sha256


def test_nine_sets_are_published() -> None:
    assert len(PUBLISHED) == 9
    assert [name for name in options("prompts") if name not in PUBLISHED and load_one(name)] == ["shapes_benchmark"]


def load_one(name: str) -> bool:
    return load([f"prompts={name}", *(["prompts.path=mine.txt"] if name == "file" else [])]).prompts.benchmark


def test_benchmarks_are_those_of_the_options() -> None:
    found = benchmark_sets()
    assert sorted(found) == PUBLISHED
    assert all(found[name] == load([f"prompts={name}"]).prompts for name in found)


def test_no_prompt_of_our_own_is_a_benchmarks() -> None:
    assert len(load_training_prompts(load(["prompts=own_words"]).prompts, None, benchmark_sets())[0]) == 32


def test_the_shipped_set_is_the_declared_one() -> None:
    config = load(["prompts=geneval"]).prompts
    assert content_digest(given_path(config.path or "")) == config.sha256
    assert len(load_prompts(config)) == 553


def test_addresses_are_a_list() -> None:
    with pytest.raises(ConfigError, match=r"prompts\.urls=http://x: urls must be a list of values that are each text"):
        load(["prompts=file", "prompts.path=a.txt", "prompts.urls=http://x"])
