"""Weights that are missing, damaged, unsafe or of another network: each scorer says which file and what to do."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import tiny_weights
import torch
from safetensors.torch import load_file, save_file
from tiny_weights import FILES, WRITERS, built
from transformers import CLIPModel

from goldennoise import scorers
from goldennoise.errors import ConfigError, ModelError, ScorerError
from goldennoise.scorers import aesthetic
from goldennoise.scorers.networks import blip_reward, transformers_clip

KINDS = sorted(WRITERS)


@pytest.fixture(autouse=True)
def _small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_weights.shrink(patch, tmp_path_factory.mktemp("architecture"))
        yield


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def changed(path: Path, change: Any) -> None:
    """Apply `change` to the tensors in a file."""
    if path.suffix == ".safetensors":
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)
    else:
        content = torch.load(path)
        change(content.get("state_dict", content))
        torch.save(content, path)


@pytest.mark.parametrize("option", ["path", "head_path", "tokenizer_path", "clip_path"])
def test_what_is_neither_here_nor_in_the_cache_is_named_with_its_command(
    kind: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "no cache"))
    config = WRITERS[kind](tmp_path)
    if not hasattr(config, option):
        pytest.skip(f"{kind} has no {option}")
    gone = replace(config, **{option: "nobody/nothing"})
    with pytest.raises(ModelError, match=r"could not be fetched: check the name, then run `hf download nobody/nothing"):
        built(gone)


def test_the_defaults_name_a_hub_and_are_missing_here(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    config = scorers.component(kind).Config()
    with pytest.raises(ModelError, match=r"run `hf download [\w-]+/[\w.-]+") as caught:
        built(config)
    assert "\n" not in str(caught.value)


def test_a_folder_without_the_file_is_named(kind: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    (tmp_path / FILES[kind]).unlink()
    with pytest.raises(ModelError, match=re.escape(f"{FILES[kind]} does not exist")):
        built(config)


def test_another_file_than_the_one_hashed_is_refused(kind: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    option = "head_sha256" if kind == "aesthetic" else "sha256"
    with pytest.raises(ModelError, match=rf"{re.escape(FILES[kind])} is damaged or another file: its SHA-256 is"):
        built(replace(config, **{option: "0" * 64}))


def test_the_published_head_of_the_aesthetic_score_is_the_only_one_by_default(tmp_path: Path) -> None:
    config = replace(WRITERS["aesthetic"](tmp_path), head_sha256=aesthetic.Config().head_sha256)
    with pytest.raises(ModelError, match="expected 21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"):
        built(config)
    with pytest.raises(ConfigError, match="head_sha256=0: head_sha256 must be null or 64 hex digits"):
        replace(config, head_sha256="0")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(kind: str, share: float, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    file = tmp_path / FILES[kind]
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(ScorerError, match=rf"{re.escape(FILES[kind])} .*damaged"):
        built(config)


class Runs:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", [kind for kind, file in FILES.items() if not file.endswith(".safetensors")])
def test_a_pickle_that_would_run_code_is_refused_and_does_not(kind: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    torch.save({"state_dict": Runs(tmp_path / "ran")}, tmp_path / FILES[kind])
    with pytest.raises(ScorerError, match="could run code: it is refused"):
        built(config)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 1}, {"state_dict": 3}, {"state_dict": [1]}])
def test_a_file_without_tensors_is_refused(content: Any, tmp_path: Path) -> None:
    config = WRITERS["hpsv2"](tmp_path)
    torch.save(content, tmp_path / FILES["hpsv2"])
    with pytest.raises(ScorerError, match="holds no tensors by name"):
        built(config)


def test_a_missing_tensor_is_named(kind: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    dropped: list[str] = []
    unused = set(blip_reward.UNUSED)

    def drop(tensors: dict[str, Any]) -> None:
        dropped.append(next(name for name in sorted(tensors) if name not in unused))
        del tensors[dropped[0]]

    changed(tmp_path / FILES[kind], drop)
    with pytest.raises(ScorerError, match=r"does not hold the tensors of its scorer: it is without") as caught:
        built(config)
    assert dropped[0].removeprefix("mps.").replace(".fn.", ".") in str(caught.value)


def test_an_unexpected_tensor_is_named(kind: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    changed(tmp_path / FILES[kind], lambda tensors: tensors.update({f"extra.{i}": torch.zeros(1) for i in range(5)}))
    with pytest.raises(ScorerError, match=r"it is with unexpected extra\.0, extra\.1, extra\.2 and 2 more\."):
        built(config)


def test_a_tensor_of_another_shape_is_named(kind: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    unused = set(blip_reward.UNUSED)

    def widen(tensors: dict[str, Any]) -> None:
        name = next(name for name in sorted(tensors) if tensors[name].ndim == 1 and name not in unused)
        tensors[name] = torch.zeros(7)

    changed(tmp_path / FILES[kind], widen)
    with pytest.raises(ScorerError, match=r"it is with other shapes, .* \(7,\) instead of \(\d+,\)\."):
        built(config)


@pytest.mark.parametrize("kind", ["pickscore", "mps"])
def test_buffers_that_older_libraries_stored_are_no_mistake(kind: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    prefix = "mps.model." if kind == "mps" else ""
    stored = {f"{prefix}{part}.embeddings.position_ids": torch.arange(5) for part in ("text_model", "vision_model")}
    changed(tmp_path / FILES[kind], lambda tensors: tensors.update(stored))
    built(config)


@pytest.mark.parametrize("kind", ["pickscore", "mps", "imagereward"])
def test_a_damaged_tokenizer_is_named(kind: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    file = tmp_path / "tokenizer.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises(ScorerError, match=r"tokenizer\.json is damaged \(.*\): delete it and fetch it again"):
        built(config)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("kind", ["pickscore", "imagereward"])
def test_no_damage_of_a_tokenizer_escapes_its_reader(kind: str, file: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    whole = (tmp_path / file).read_bytes()
    draw = random.Random(f"{kind} {file}")
    refused: list[str] = []
    for damaged in [b"", b"[]", b"3", b"[" * 100_000, bytes(range(256)), *(odd(whole, draw) for _ in range(12))]:
        (tmp_path / file).write_bytes(damaged)
        try:
            built(config)
        except ScorerError as error:
            refused.append(str(error))
    assert len(refused) >= 5
    assert all(file in refusal and refusal.isprintable() and len(refusal) < 600 for refusal in refused)


def odd(content: bytes, draw: random.Random) -> bytes:
    """JSON with one value of another kind."""
    described = json.loads(content)
    part = described
    while True:
        key = draw.choice(list(part) if isinstance(part, dict) else range(len(part)))
        if not isinstance(part[key], dict | list) or not part[key] or draw.random() < 0.3:
            part[key] = draw.choice([None, 3, -1.5, "x", [], {}, [1], {"x": 1}])
            return json.dumps(described).encode()
        part = part[key]


def test_weights_that_are_not_finite_are_named(kind: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    spoilt: list[str] = []

    def spoil(tensors: dict[str, Any]) -> None:
        spoilt.append(next(name for name in sorted(tensors) if name not in blip_reward.UNUSED))
        tensors[spoilt[0]] = torch.full_like(tensors[spoilt[0]], torch.nan)

    changed(tmp_path / FILES[kind], spoil)
    with pytest.raises(ScorerError, match="it is with values that are not finite in ") as caught:
        built(config)
    assert spoilt[0].removeprefix("mps.").replace(".fn.", ".") in str(caught.value)


HUGE = 10**9
NO_CLIP: dict[str, dict[str, Any]] = {
    "many layers": {"text_config": {"num_hidden_layers": HUGE}},
    "no number": {"initializer_factor": float("nan")},
    "wide": {"vision_config": {"hidden_size": HUGE, "num_attention_heads": 1}},
    "wider than the weights": {"projection_dim": 2**22},
    "many words": {"text_config": {"vocab_size": HUGE}},
    "no places": {"vision_config": {"patch_size": 0}},
}


@pytest.mark.parametrize("change", NO_CLIP.values(), ids=NO_CLIP)
@pytest.mark.parametrize("kind", ["pickscore", "mps"])
def test_a_config_of_other_sizes_is_refused_before_anything_is_built(
    kind: str, change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = WRITERS[kind](tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    for name, value in change.items():
        described[name] = described[name] | value if isinstance(value, dict) else value
    (tmp_path / "config.json").write_text(json.dumps(described))
    monkeypatch.setattr(transformers_clip, "CLIPModel", OnlyDescribed)
    with pytest.raises(ScorerError, match=r"config\.json describes (no CLIP model \(|a CLIP model of \d+ numbers)"):
        built(config)


class OnlyDescribed(CLIPModel):  # type: ignore[misc]
    """Refuses to take memory."""

    def __init__(self, config: Any) -> None:
        assert torch.get_default_device().type == "meta"
        super().__init__(config)


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, json.dumps({"text_config": {"hidden_size": "many"}})])
def test_a_config_that_describes_no_clip_is_refused(content: str, tmp_path: Path) -> None:
    config = WRITERS["pickscore"](tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ScorerError, match=r"config\.json describes no CLIP model"):
        built(config)
