"""A folder of everything that a run reads, at the smallest size: artifacts of every kind, unfinished ones, input files.

home/ beside/    what no run may touch
here/            where runs are started; `outputs` in it holds the artifacts
"""

import itertools
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from integration.in_process import LARGE_BYTES, Ended, run
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from tiny import tiny_pipeline

from goldennoise.networks.checkpoint import save_npnet
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import build as seeded_npnet
from goldennoise.networks.publishing import save_published
from goldennoise.store.drafts import Draft

PROMPTS = ("a red circle at night", "two blue squares far away", "a green ring for a red square", "a yellow day")
"""None of them held out."""
SIZES = (
    *("npnet.image_size=32", "npnet.embed_dim=12", "npnet.depths=[1,1]", "npnet.heads=[2,2]"),
    *("npnet.vector_hidden=16", "npnet.value_hidden=32", "model.num_steps=1"),
)
"""Of the networks, and of the sampler."""

SMALL: dict[str, Sequence[str]] = {
    "collect": ("stage=collect", "method=[re_denoise]", "method.re_denoise.num_steps=2", "stage.num_prompts=4",
                "stage.prompts_per_shard=2", "stage.margin=-1000", *SIZES),
    "train": ("stage=train", "stage.num_epochs=2", "stage.batch_size=4", "stage.validation_share=0.25",
              "stage.num_samples=1", "stage.sample_every_epochs=1", *SIZES),
    "eval": ("stage=eval", "method=[standard,npnet]", "stage.num_prompts=2", "stage.num_seeds=1",
             "stage.num_bootstrap=100", "stage.prompts_per_part=1", *SIZES),
    "report": ("stage=report", "stage.num_examples=1"),
    "score": ("stage=score", "stage.images=images", "scorer=[shapes_clip]", "stage.images_per_part=1"),
    "sample": ("stage=sample", "stage.prompt=a red circle", "method=[npnet]", *SIZES),
    "convert": ("stage=convert", "stage.npnet=network.pth"),
}  # fmt: skip
"""Command lines of the stages that take seconds, on what the tree holds."""

KINDS = {
    "collect": "pairs", "train": "npnet", "eval": "scores", "report": "report", "score": "image_scores",
    "sample": "samples",
}  # fmt: skip


class Killed(BaseException):
    """In place of the end of a process."""


def build(root: Path) -> None:
    """Write the tree into `root`, which is empty."""
    for name in ("home", "beside", "here/outputs"):
        (root / name).mkdir(parents=True)
    for name in ("home", "beside", "here"):
        (root / name / "keep.txt").write_text("a red circle\n", encoding="utf-8")
    _write_inputs(root / "here")
    with at_home(root):
        for stage in KINDS:
            must(run(command(stage, "base"), root / "here"))
            with _killed_before_the_end():
                killed = run(command(stage, "half"), root / "here")
            assert "Killed" in killed.escaped, killed
    for kind in KINDS.values():
        assert (root / "here/outputs" / kind / "base/v1/record.json").is_file()
        assert (root / "here/outputs" / kind / "half/v1.partial/draft.json").is_file()
    shutil.rmtree(root / "here/outputs/logs")


def command(stage: str, name: str) -> tuple[str, ...]:
    """The command line that makes the artifact `name` of the complete ones that it reads."""
    network = ["method.npnet.artifact=npnet/base@v1"]
    inputs = {"train": ["stage.pairs=pairs/base@v1"], "report": ["stage.scores=scores/base@v1"]}
    inputs |= {"eval": network, "sample": network}
    return (*SMALL[stage], f"name={name}", *inputs.get(stage, []))


def copy(tree: Path, root: Path) -> None:
    """The tree once more; large files are the same on the disk, so whoever changes one writes another in its place."""
    shutil.copytree(tree, root, copy_function=_copy, symlinks=True)


def _copy(source: str, target: str) -> None:
    if Path(source).stat().st_size > LARGE_BYTES:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def must(ended: Ended) -> None:
    """Raise unless the run did its work."""
    assert ended.code in (0, None), (str(ended), ended.stderr, ended.escaped)
    assert not ended.escaped, ended.escaped


@contextmanager
def at_home(root: Path) -> Iterator[None]:
    """`~` is the tree's."""
    with mock.patch.dict(os.environ, {"HOME": str(root / "home")}):
        yield


@contextmanager
def _killed_before_the_end() -> Iterator[None]:
    """A run ends with all its work done and its artifact not complete; a training with its checkpoints."""
    with (
        mock.patch.object(Draft, "commit", side_effect=Killed),
        mock.patch("goldennoise.stages.train._finish", side_effect=Killed),
    ):
        yield


def _write_inputs(folder: Path) -> None:
    _write_prompts(folder)
    _write_images(folder)
    (folder / "junk.bin").write_bytes(bytes(range(256)) * 8)
    (folder / "empty").touch()
    sizes = {"image_size": 32, "window": 4, "embed_dim": 12, "depths": (1, 1), "heads": (2, 2), "value_hidden": 32}
    network = seeded_npnet(NPNetConfig((4, 16, 16), 77, 64, ArchitectureConfig(**sizes)), seed=0)
    save_npnet(network, folder / "npnet", {"model": {"path": "shapes"}})
    published = seeded_npnet(NPNetConfig((4, 8, 8), 77, 6, ArchitectureConfig(canonical_signs=False)), seed=0)
    save_published(published, folder / "network.pth", "nested")
    save_published(published, folder / "network.safetensors", "flat")
    pipe = tiny_pipeline()
    pipe.save_pretrained(folder / "pipeline")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    pipe.save_lora_weights(folder / "lora", unet_lora_layers=get_peft_model_state_dict(pipe.unet))


def _write_prompts(folder: Path) -> None:
    lines = list(PROMPTS)
    rows = [{"prompt": text, "category": f"kind {number % 2}"} for number, text in enumerate(lines)]
    tables = {suffix: separator.join(("prompt", "category")) for suffix, separator in ((".csv", ","), (".tsv", "\t"))}
    for suffix, separator in ((".csv", ","), (".tsv", "\t")):
        written = [separator.join(row.values()) for row in rows]
        (folder / f"prompts{suffix}").write_text("\n".join([tables[suffix], *written]) + "\n", encoding="utf-8")
    (folder / "prompts.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "prompts.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "texts").mkdir()
    for number, text in enumerate(lines):
        (folder / f"texts/{number}.txt").write_text(text, encoding="utf-8")


def _write_images(folder: Path) -> None:
    """images: named in a table; listed: the same with JSON; captioned: for layouts; ordered: by the order of names."""
    for name, colours in (("images", 2), ("listed", 2), ("captioned", 4), ("ordered", 4)):
        (folder / name).mkdir()
        for number, suffix in zip(range(colours), itertools.cycle((".png", ".jpg")), strict=False):
            picture = Image.new("RGB", (64, 64), (60 * number, 255 - 60 * number, 128))
            picture.save(folder / name / f"{number}{suffix}")
        files = sorted(path.name for path in (folder / name).iterdir())
        rows = [{"file_name": file, "text": text} for file, text in zip(files, PROMPTS, strict=False)]
        if name in ("images", "captioned"):
            lines = ["file_name,text", *(",".join(row.values()) for row in rows)]
            (folder / name / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if name == "listed":
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / name / "metadata.jsonl").write_text(text, encoding="utf-8")
