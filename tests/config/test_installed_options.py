"""Options of installed packages, beside ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import install

from goldennoise.config.compose import load
from goldennoise.config.files import options, outside_folders
from goldennoise.errors import ConfigError
from goldennoise.runtime import registry

YAML = {"__init__.py": "raise RuntimeError\n", "conf/method/loud.yaml": "# @package method.loud\nkind: standard\n"}
CONF = "[goldennoise.conf]\nfolder = {}.conf\n"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    registry.installed.cache_clear()
    outside_folders.cache_clear()


def test_an_option_is_found_without_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "a-noise", CONF.format("a_noise"), YAML)
    assert "loud" in options("method")
    assert load(["stage=eval", "method=[standard,loud]"]).method["loud"].kind == "standard"
    with pytest.raises(ConfigError, match=r"choose from best_of_n, .*, loud, .*; did you mean loud\?"):
        load(["stage=eval", "method=[lowd]"])


def test_an_option_that_two_packages_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "a-noise", CONF.format("a_noise"), YAML)
    install(monkeypatch, tmp_path, "b-noise", CONF.format("b_noise"), YAML)
    sentence = "the packages a-noise and b-noise both have the option method/loud.yaml: uninstall b-noise, or rename"
    with pytest.raises(ConfigError, match=sentence):
        load(["stage=eval"])


def test_an_option_that_we_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "a-noise", CONF.format("a_noise"), {"conf/method/find.yaml": "kind: find\n"})
    with pytest.raises(
        ConfigError, match=r"the packages goldennoise and a-noise both have the option method/find\.yaml"
    ):
        load(["stage=eval"])


@pytest.mark.parametrize("module", ["a_noise", "no_such_noise"])
def test_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    install(monkeypatch, tmp_path, "a-noise", CONF.format(module), {"__init__.py": ""})
    sentence = (
        rf"the package a-noise names {module}\.conf as its folder of options, and there is no such folder: mend or"
    )
    with pytest.raises(ConfigError, match=sentence):
        load(["stage=eval"])
