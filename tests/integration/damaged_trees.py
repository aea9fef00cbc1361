"""Which file of a tree is damaged, and which command lines then read it, drawn from a seed."""

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path

from integration.damages import damage
from integration.edits import replaced
from integration.fuzz_tree import KINDS, SIZES, SMALL, command

_NETWORK = (
    (*SMALL["sample"], "name=after", "method.npnet.artifact=npnet/base@v1"),
    ("stage=convert", "stage.npnet=npnet/base@v1", "stage.layout=flat", "name=after"),
    command("train", "base"),
    (*command("report", "after"), "stage.num_examples=2"),
)
_UNSCORED = ("stage=collect", "stage.preference=null", "name=after", "scorer=[]", *SIZES)
_PROMPTS = (*_UNSCORED, "method=[standard]", "prompts=file")

READERS: dict[str, Sequence[tuple[str, ...]]] = {
    "outputs/pairs/base/v1": ((*command("train", "after"), "stage.num_epochs=1"), command("collect", "base")),
    "outputs/npnet/base/v1": _NETWORK,
    "outputs/scores/base/v1": (command("report", "after"), command("report", "after"), command("eval", "base")),
    "outputs/report/base/v1": (command("report", "base"),),
    "outputs/image_scores/base/v1": (command("score", "base"),),
    "outputs/samples/base/v1": (command("sample", "base"),),
    **{f"outputs/{kind}/half/v1.partial": (command(stage, "half"),) for stage, kind in KINDS.items()},
    **{f"prompts{suffix}": ((*_PROMPTS, f"prompts.path=prompts{suffix}"),) for suffix in (".txt", ".csv", ".tsv")},
    **{f"prompts{suffix}": ((*_PROMPTS, f"prompts.path=prompts{suffix}"),) for suffix in (".json", ".jsonl")},
    "texts": (
        (*_PROMPTS, "prompts.path=texts"),
        (*_UNSCORED, "method=[standard]", "prompts.held_out=[texts]", "stage.num_prompts=1"),
    ),
    "images": ((*SMALL["score"], "name=after"),),
    "listed": ((*SMALL["score"], "name=after", "stage.images=listed"),),
    "ordered": ((*SMALL["score"], "name=after", "stage.images=ordered", "prompts.path=prompts.txt"),),
    "captioned": (
        (*_UNSCORED, "method=[layout]", "method.layout.images=captioned", "prompts=file", "prompts.path=prompts.txt"),
    ),
    "network.pth": (("stage=convert", "stage.npnet=network.pth", "name=after"),),
    "network.safetensors": (("stage=convert", "stage.npnet=network.safetensors", "name=after"),),
    "npnet": (
        ("stage=convert", "stage.npnet=npnet", "name=after"),
        (*SMALL["sample"], "name=after", "method.npnet.artifact=npnet"),
    ),
    "pipeline": ((*_PROMPTS, "prompts.path=prompts.txt", "stage.num_prompts=1", "model.path=pipeline"),),
    "lora": ((*_PROMPTS, "prompts.path=prompts.txt", "stage.num_prompts=1", "model.path=pipeline", "model.lora=lora"),),
}
"""File or folder -> command lines that read it."""


def damaged(rng: random.Random, here: Path) -> tuple[str, list[tuple[str, ...]]]:
    """Damage one or two files of a tree; what was done, and the command lines to run then."""
    target = rng.choice([*READERS])
    files = sorted(path for path in [here / target, *(here / target).rglob("*")] if path.is_file())
    weights = [3 if path.name in ("record.json", "draft.json", "summary.json") else 1 for path in files]
    done = []
    for file in {*rng.choices(files, weights, k=rng.choice((1, 1, 1, 2)))}:
        done.append(f"{damage(rng, file)} {file.relative_to(here)}")
    record = here / target / "record.json"
    if rng.random() < 0.6 and record.is_file() and _resealed(record):
        done.append("resealed")
    return ", ".join(done), [rng.choice(READERS[target])]


def _resealed(record: Path) -> bool:
    """Whether the record has been given the checksums of the files as they are."""
    try:
        content = json.loads(record.read_text("utf-8"))
        files = {name: record.parent / name for name in content["files"]}
        content["files"] = {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if path.is_file()
        }
        replaced(record, json.dumps(content).encode())
    except (ValueError, TypeError, KeyError, OSError, AttributeError):
        return False
    return True
