"""What docs/architecture.md says of adding a component is what it takes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.partition("## Worked example")[2].partition("\n## ")[0]


def code(language: str) -> str:
    (block,) = re.findall(rf"```{language}\n(.*?)```", EXAMPLE, flags=re.DOTALL)
    return str(block)


def test_the_worked_example_becomes_a_row_of_the_report(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "src/goldennoise/methods/antithetic.py").write_text(code("python"), encoding="utf-8")
    (tmp_path / "conf/method/antithetic.yaml").write_text(code("yaml"), encoding="utf-8")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "src"), os.environ["PYTHONPATH"]]),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    for command in code("sh").strip().splitlines():
        subprocess.run(command, shell=True, cwd=tmp_path, env=environment, check=True)
    report = (tmp_path / "outputs/report/mine/v1/tables.md").read_text(encoding="utf-8")
    assert re.search(r"^\| *\**antithetic", report, flags=re.MULTILINE)
