"""The package of docs/architecture.md, "From your own package", installed into an environment of its own."""

import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## From your own package")[2]
CHOSEN = ("stage=eval", "method=[standard,mirrored]", "scorer=[shapes_verifier,contrast]")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def ran(*command: str | Path, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


class Environment:
    """A Python with this checkout and the packages it needs, and with what a test installs into it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        command = (self.python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])")
        self.packages = Path(ran(*command, cwd=folder).strip())
        (self.packages / "ours.pth").write_text(f"{ROOT / 'src'}\n{sysconfig.get_paths()['purelib']}\n")

    def install(self, wheel: Path) -> None:
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.python)
        ran(*pip, "install", "--no-deps", "--no-index", wheel, cwd=wheel.parent)

    def goldennoise(self, *overrides: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return run(self.python, "-m", "goldennoise", *overrides, cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, built = tmp_path_factory.mktemp("my-noise"), tmp_path_factory.mktemp("wheel")
    files = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)```$", EXAMPLE, flags=re.DOTALL | re.MULTILINE))
    assert len(files) == 5
    for file, text in {**files, "my_noise/__init__.py": ""}.items():
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).write_text(text, encoding="utf-8")
    ran(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", built, cwd=source)
    return next(built.glob("*.whl"))


@pytest.fixture
def environment(tmp_path: Path, wheel: Path) -> Environment:
    environment = Environment(tmp_path / "env")
    environment.install(wheel)
    return environment


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_the_example_is_a_row_and_a_column_of_the_scores(environment: Environment, empty: Path) -> None:
    (commands,) = re.findall(r"```sh\n(.*?)```", EXAMPLE, flags=re.DOTALL)
    _, command = commands.strip().splitlines()
    overrides = command.removeprefix("python -m goldennoise ").split()
    assert set(CHOSEN) <= set(overrides)
    done = environment.goldennoise(*overrides, "model.num_steps=2", "stage.num_seeds=1", cwd=empty)
    assert done.returncode == 0, done.stderr[-3000:]
    table = pd.read_parquet(empty / "outputs/scores/shapes/v1/scores.parquet")
    assert set(table["method"]) == {"standard", "mirrored"}
    contrast = table.query("scorer == 'contrast'")["score"]
    assert contrast.between(0, 1).all()
    assert contrast.nunique() == len(contrast) == len(table) / 2 == 4


def test_help_and_hints_know_its_options(environment: Environment, empty: Path) -> None:
    # Help imports nothing of it.
    (environment.packages / "my_noise/__init__.py").write_text("raise RuntimeError\n")
    helped = environment.goldennoise("--help", cwd=empty)
    assert helped.returncode == 0
    assert re.search(r"^method: .*\bmirrored\b", helped.stdout, flags=re.MULTILINE)
    assert re.search(r"^scorer: .*\bcontrast\b", helped.stdout, flags=re.MULTILINE)
    for override, hint in (("method=[mirored]", "mirrored"), ("+method.m={kind: mirored}", "mirrored")):
        done = environment.goldennoise("stage=eval", override, cwd=empty)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.endswith(f"; did you mean {hint}?\n")


def test_a_module_that_cannot_be_imported_is_told_where_its_kind_is_used(environment: Environment, empty: Path) -> None:
    (environment.packages / "my_noise/contrast.py").write_text("import no_such_module\n")
    shown = environment.goldennoise("stage=eval", "method=[mirrored]", "--cfg", "job", cwd=empty)
    assert (shown.returncode, shown.stderr) == (0, "")
    done = environment.goldennoise(*CHOSEN, cwd=empty)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: contrast: its module my_noise.contrast in the package my-noise cannot be imported "
        "(ModuleNotFoundError: No module named 'no_such_module'); mend or uninstall my-noise\n"
    )
