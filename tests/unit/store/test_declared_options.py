"""Options declare what they allow: a Config that is made with another value is refused in one sentence."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from goldennoise.errors import ConfigError
from goldennoise.store.identity import deciding
from goldennoise.store.options import NOT_NEGATIVE, POSITIVE, Check, Options, either, filled, number, one_of, option


@dataclass(frozen=True)
class Config(Options):
    path: str = option("here", filled("a folder"), identity=False)
    count: int = option(1, number(least=1))
    share: float | None = option(None, number(above=0, below=1))
    weight: float = option(0.0, NOT_NEGATIVE)
    rate: float = option(1.0, POSITIVE)
    dtype: str = option("float32", one_of("float32", "float16"))
    empty: str = option("refuse", either("refuse", "keep", "leave_out"))
    even: int = option(2, Check(lambda value: value % 2 == 0, "even"))
    free: str = ""


@dataclass(frozen=True)
class Other(Config):
    path: str = option("there", identity=False)
    count: int = 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ""}, "path='': path must be a folder"),
        ({"count": 0}, "count=0: count must be at least 1"),
        ({"share": 1.0}, "share=1.0: share must be null or above 0 and below 1"),
        ({"weight": -1.0}, "weight=-1.0: weight must be a finite number >= 0"),
        ({"weight": float("inf")}, "weight=inf: weight must be a finite number >= 0"),
        ({"rate": 0.0}, "rate=0.0: rate must be a finite number above 0"),
        ({"dtype": "int"}, "dtype=int: dtype must be one of float32, float16"),
        ({"empty": ""}, "empty=: empty must be refuse, keep or leave_out"),
        ({"even": 3}, "even=3: even must be even"),
    ],
)
@pytest.mark.parametrize("config", [Config, Other])
def test_a_value_that_is_not_allowed_is_refused(config: type[Config], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(**options)
    assert str(refused.value) == message


def test_what_is_allowed_is_taken_and_the_default_of_the_derived_class_counts() -> None:
    assert Config(share=0.5, dtype="float16", empty="keep").share == 0.5
    assert (Other().path, Other().count, Other().share) == ("there", 3, None)


def test_an_option_that_decides_no_content_is_no_identity() -> None:
    assert "path" not in deciding(Other())
    assert deciding(Other())["count"] == 3


def test_null_is_known_where_annotations_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "with_text_annotations.py").write_text("""
from __future__ import annotations
from dataclasses import dataclass
from goldennoise.store.options import Options, number, option

@dataclass(frozen=True)
class Config(Options):
    steps: int | None = option(None, number(least=1))
""")
    monkeypatch.syspath_prepend(tmp_path)
    outside = importlib.import_module("with_text_annotations")
    assert outside.Config().steps is None
    with pytest.raises(ConfigError, match="steps=0: steps must be null or at least 1"):
        outside.Config(steps=0)
