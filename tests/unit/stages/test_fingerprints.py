"""What decides an artifact, pinned: a change here makes every user's finished runs begin again, so it is meant.

Of the options in each case; the packaged world's weights count, so `make world` changes these too.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from goldennoise import stages
from goldennoise.config.compose import load
from goldennoise.diffusion.identity import model_identity
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.store.identity import fingerprint

CASES: dict[str, Sequence[str]] = {
    "collect": ("stage=collect", "stage.num_prompts=4"),
    "collect_layouts": ("stage=collect_layouts", "stage.num_prompts=4", "stage.num_seeds=2"),
    "train": ("stage=train", "stage.num_epochs=3"),
    "train_reward": ("stage=train", "stage.objective=reward", "scorer=[shapes_clip]"),
    "eval_network": ("stage=eval", "method=[standard,npnet_packaged]", "stage.num_prompts=4", "stage.num_seeds=2"),
    "eval": ("stage=eval", "method=[standard,re_denoise,best_of_n]", "stage.num_prompts=4", "stage.num_seeds=2"),
    "sample": ("stage=sample", "stage.prompt=a red circle", "method=[re_denoise]", "stage.seeds=[3]"),
    "score": ("stage=score", "stage.images=images", "scorer=[shapes_clip]"),
}
PINNED = {
    "collect": "48d1eab36a56",
    "collect_layouts": "6731269cd8d5",
    "train": "f93498898123",
    "train_reward": "a93c51db9a7a",
    "eval": "116bfa2d4a59",
    "eval_network": "3b14653a2ccc",
    "sample": "e329a2ff9d53",
    "score": "f1cc0e287db7",
}


class Told(BaseException):
    """In place of a run: what the stage asks the store for."""

    def __init__(self, kind: str, identity: Mapping[str, Any], inputs: Sequence[Artifact]) -> None:
        super().__init__(kind)
        self.fingerprint = fingerprint(identity, [source.fingerprint for source in inputs])
        self.identity = identity


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the cases read: images with prompts, pairs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 64), (255, 0, 0)).save(tmp_path / "images/0.png")
    (tmp_path / "images/metadata.jsonl").write_text(json.dumps({"file_name": "0.png", "text": "a red circle"}) + "\n")
    identity = {"model": model_identity(load().model)}
    config = {"stage": {"preference": "shapes_clip"}}
    with ArtifactStore("outputs").begin("pairs", "shapes", "v1", identity, [], config) as draft:  # type: ignore[union-attr]
        draft.commit({})

    def begin(_: ArtifactStore, kind: str, *rest: Any) -> None:
        raise Told(kind, rest[2], rest[3])

    monkeypatch.setattr(ArtifactStore, "begin", begin)
    return tmp_path


def told(case: str) -> Told:
    config = load(CASES[case])
    with pytest.raises(Told) as raised:
        stages.component(config.stage.kind).run(config)
    return raised.value


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("case", CASES)
def test_what_decides_an_artifact_is_what_it_was(case: str) -> None:
    assert told(case).fingerprint[:12] == PINNED[case]
