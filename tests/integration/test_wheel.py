"""A wheel, installed into an environment of its own, runs in a folder that holds nothing."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TINY = ("prompts=own_words", "scorer=[shapes_clip]", "stage.num_prompts=2", "model.num_steps=2")


def ran(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, which has all other packages from ours."""
    folder = tmp_path_factory.mktemp("wheel")
    ran(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=ROOT)
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    # Paths in a .pth file are searched after the environment's own, and theirs, such as that of src/, are not read.
    packages = ran(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=folder).strip()
    (Path(packages) / "ours.pth").write_text(sysconfig.get_paths()["purelib"])
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    ran(*pip, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return python


@pytest.mark.slow
def test_presets_find_their_prompts_in_any_folder(python: Path, tmp_path: Path) -> None:
    found = ran(python, "-c", "import goldennoise; print(goldennoise.__file__)", cwd=tmp_path)
    assert Path(found.strip()).is_relative_to(python.parents[1])
    command = (python, "-m", "goldennoise", *TINY)
    collected = ran(*command, "stage=collect", "method=[re_denoise]", cwd=tmp_path)
    assert "pairs/shapes@v1: 2 pairs" in collected
    ran(*command, "stage=eval", "method=[standard,re_denoise]", "stage.num_seeds=1", cwd=tmp_path)
    assert len(list((tmp_path / "outputs/scores/shapes/v1/images").rglob("*.png"))) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


def test_the_wheel_has_what_the_presets_name_and_no_other_prompts(python: Path, tmp_path: Path) -> None:
    presets = [(ROOT / "conf" / file).read_text() for file in ("prompts/own_words.yaml", "prompts/geneval.yaml")]
    named = [line.split()[1] for preset in presets for line in preset.splitlines() if line.startswith("path: ")]
    script = (
        "import sys; from goldennoise.store.paths import given_path; print(*map(given_path, sys.argv[1:]), sep='\\n')"
    )
    paths = [Path(line) for line in ran(python, "-c", script, *named, cwd=tmp_path).splitlines()]
    assert [path.name for path in paths] == ["own_words.txt", "geneval_metadata.jsonl"]
    assert {path.parent.is_relative_to(python.parents[1]) for path in paths} == {True}
    # The package's own modules lie beside them.
    names = {path.name for path in paths[0].parent.iterdir() if path.suffix not in (".py", "")}
    assert names == {"own_words.txt", "geneval_metadata.jsonl", "geneval_LICENSE.txt"}
