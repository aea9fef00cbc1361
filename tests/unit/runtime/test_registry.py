"""Components of installed packages, beside ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import install

from goldennoise import methods
from goldennoise.config.files import outside_folders
from goldennoise.errors import ConfigError
from goldennoise.runtime import registry


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    registry.installed.cache_clear()
    outside_folders.cache_clear()


def test_a_kind_of_an_installed_package_is_one_of_the_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = methods.kinds()
    entry_points = "[goldennoise.methods]\nmirrored = first_noise.m\n"
    install(monkeypatch, tmp_path, "first-noise", entry_points, {"__init__.py": "", "m.py": "Config = dict\n"})
    assert methods.kinds() == sorted([*ours, "mirrored"])
    assert methods.component("mirrored").Config is dict
    assert methods.component("standard").__name__ == "goldennoise.methods.standard"
    with pytest.raises(ConfigError, match=r"choose from .*, mirrored, .*; did you mean mirrored\?"):
        methods.component("mirorred")


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points = "[goldennoise.methods]\nlacking = broken_noise.m\nwrong = broken_noise.n\n"
    files = {"__init__.py": "", "m.py": "import no_such_module\n", "n.py": "1 / 0\n"}
    install(monkeypatch, tmp_path, "broken-noise", entry_points, files)
    assert {"lacking", "wrong"} <= set(methods.kinds())
    assert methods.component("standard")
    for kind, module, why in (
        ("lacking", "m", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("wrong", "n", "ZeroDivisionError: division by zero"),
    ):
        with pytest.raises(ConfigError) as caught:
            methods.component(kind)
        assert str(caught.value) == (
            f"{kind}: its module broken_noise.{module} in the package broken-noise cannot be imported ({why}); mend or "
            "uninstall broken-noise"
        )


@pytest.mark.parametrize(("kind", "other"), [("standard", "goldennoise"), ("mirrored", "a-noise")])
def test_a_kind_that_two_packages_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, other: str) -> None:
    install(monkeypatch, tmp_path, "a-noise", "[goldennoise.methods]\nmirrored = a_noise\n", {"__init__.py": ""})
    install(monkeypatch, tmp_path, "b-noise", f"[goldennoise.methods]\n{kind} = b_noise\n", {"__init__.py": ""})
    with pytest.raises(ConfigError) as caught:
        methods.kinds()
    assert str(caught.value) == (
        f"the packages {other} and b-noise both have {kind} in goldennoise.methods: uninstall b-noise, or change the "
        "name of its entry point"
    )
