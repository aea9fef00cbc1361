"""`dry_run=true` on the command line, and of every experiment and every model without their weights."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ALL = """
import sys
from dataclasses import replace
from goldennoise.config.compose import load
from goldennoise.config.files import conf_folder
from goldennoise.stages.dry_run import told

def names(group):
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))

def experiment(*overrides):
    config = load(overrides)
    entries = [entry.split() for entry in getattr(config.stage, "stages", ())]
    chosen = [load([*overrides, f"stage={stage}", *own]) for stage, *own in entries]
    print(overrides, "\\n" + told(chosen or [config]))

for name in names("experiment"):
    experiment(f"experiment={name}")
for folder in (conf_folder() / "experiment").iterdir():
    if folder.is_dir() and folder.name not in names("experiment"):
        for name in names(f"experiment/{folder.name}"):
            if name != "shared":
                experiment(f"experiment={folder.name}/{name}")
stages = [load([f"stage={stage}"]) for stage in ("collect", "train", "eval")]
for name in names("model"):
    model = load([f"model={name}"]).model
    print(name, "\\n" + told([replace(config, model=model) for config in stages]))
sys.exit("torch" in sys.modules)
"""


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300)


def test_every_experiment_and_model_dry_runs_without_weights(tmp_path: Path) -> None:
    done = command(tmp_path, "-c", ALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert done.stdout.count("total of") > 20
    # Every model has a size, by its files or as it was published; one that an earlier stage trains has no files yet.
    assert not re.search("unknown: the files of (?!model/)", done.stdout)


@pytest.mark.parametrize("sweep", [(), ("-m", "seed=0,1")])
def test_a_dry_run_writes_nothing(tmp_path: Path, sweep: tuple[str, ...]) -> None:
    done = command(tmp_path, "-m", "goldennoise", *sweep, "experiment=demo", "dry_run=true")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("stage collect -> pairs/demo (not made yet)") == (2 if sweep else 1)
    assert done.stdout.count("total of 4 stages to run") == (2 if sweep else 1)
    assert list(tmp_path.iterdir()) == []


def test_a_stage_of_all_may_have_overrides_of_its_own(tmp_path: Path) -> None:
    few = "eval name=few model.num_steps=5 stage.num_prompts=2 stage.num_seeds=1"
    more = "eval name=more stage.num_prompts=1 stage.num_seeds=1"
    options = (
        "stage=all",
        f'stage.stages=["{few}","{more}"]',
        "method=[standard]",
        "model.num_steps=10",
        "dry_run=true",
    )
    done = command(tmp_path, "-m", "goldennoise", *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "stage eval -> scores/few (not made yet)" in done.stdout
    assert "stage eval -> scores/more (not made yet)" in done.stdout
    # 2 images of 5 guided steps, whose own override is the stronger, and 1 of 10.
    assert re.findall(r"model evaluations +(\d+)\n", done.stdout) == ["20", "20", "40"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("stage=eval", "scorer=[]", "dry_run=true"), "error: scorer=[]: eval needs at least one scorer"),
        (("stage=eval", "dry_run=perhaps"), "error: dry_run=perhaps: dry_run must be true or false"),
    ],
)
def test_a_mistake_in_a_dry_run_ends_with_code_2(tmp_path: Path, options: tuple[str, ...], expected: str) -> None:
    done = command(tmp_path, "-m", "goldennoise", *options, f"outputs={tmp_path / 'out'}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == 1
