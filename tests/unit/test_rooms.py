"""The rooms of the package: how many there are, which may know which, and no circles."""

import ast
import graphlib
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/goldennoise"


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(PACKAGE, tmp_path / "src/goldennoise", ignore=shutil.ignore_patterns("weights", "packaged"))
    return tmp_path


def test_there_are_twelve_rooms_and_two_files() -> None:
    # A checkout may hold the byte code of what is gone.
    entries = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}
    rooms = sorted(entry for entry in entries if not entry.startswith("__"))
    assert len(rooms) <= 14, rooms


def test_walls_stand(copy: Path) -> None:
    checked = lint(copy)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("methods/base.py", "from goldennoise.stages import eval"),
        ("store/files.py", "from goldennoise.runtime import seeding"),
        ("scorers/batch.py", "from goldennoise.diffusion import protocol"),
        ("diffusion/lora.py", "import lightning"),
        ("evaluation/summary.py", "import hydra"),
    ],
)
def test_a_broken_wall_is_seen(copy: Path, room: str, line: str) -> None:
    file = copy / "src/goldennoise" / room
    file.write_text(f"{file.read_text('utf-8')}\n{line}\n", "utf-8")
    checked = lint(copy)
    assert checked.returncode == 1
    assert "BROKEN" in checked.stdout


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("goldennoise", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 150
    graphlib.TopologicalSorter(imports).prepare()


def undocumented(tree: ast.AST) -> list[str]:
    """Fields of the Configs in a module that have no docstring below them."""
    found = []
    for config in ast.walk(tree):
        if not isinstance(config, ast.ClassDef) or not config.name.endswith(("Config", "Options")):
            continue
        for field, below in itertools.pairwise([*config.body, ast.Pass()]):
            if not isinstance(field, ast.AnnAssign) or ast.unparse(field.annotation).startswith("ClassVar"):
                continue
            documented = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if ast.unparse(field.target) != "kind" and not documented:
                found.append(f"{config.name}.{ast.unparse(field.target)}")
    return found


def test_every_option_has_a_docstring_of_its_own() -> None:
    assert undocumented(ast.parse("class Config:\n  kind: str\n  a: int = 1\n  'what'\n  b: int = 2")) == ["Config.b"]
    lacking = {str(file): undocumented(ast.parse(file.read_text("utf-8"))) for file in PACKAGE.rglob("*.py")}
    assert {file: fields for file, fields in lacking.items() if fields} == {}
