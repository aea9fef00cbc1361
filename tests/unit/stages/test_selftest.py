"""Stage selftest: a line per scorer, and one sentence where one fails."""

from pathlib import Path

import pytest

from goldennoise.config.compose import load
from goldennoise.errors import ConfigError, ScorerError
from goldennoise.stages import selftest


def test_a_line_per_scorer_and_no_artifact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load(
        ["stage=selftest", "scorer=[shapes_clip,shapes_verifier]", f"outputs={tmp_path}", "compute.device=cpu"]
    )
    assert selftest.run(config) is None
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["shapes_clip", "shapes_verifier"]
    assert all(": ok; finite" in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_here_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = [f"scorer.{name}.path={tmp_path}" for name in ("pickscore", "hpsv2")]
    config = load(["stage=selftest", "scorer=[pickscore,shapes_clip,hpsv2]", *missing, "compute.device=cpu"])
    with pytest.raises(ScorerError, match=r"^2 of 3 scorers failed, as told above: pickscore, hpsv2$"):
        selftest.run(config)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["pickscore:", "shapes_clip", "hpsv2:"]
    assert "FAILED" in lines[0]
    assert "model.safetensors" in lines[0]
    assert ": ok; " in lines[1]


@pytest.mark.parametrize(
    ("override", "what"),
    [("scorer=[]", "selftest needs at least one scorer"), ("compute.devices=2", "runs in one process on one device")],
)
def test_what_cannot_be_run_is_refused(override: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        selftest.run(load(["stage=selftest", override]))
