"""Two models of the shapes world, compared through the real command line."""

import json
import subprocess
from pathlib import Path

from integration.command_line import ROOT, command
from integration.in_process import Ended, run

EVAL = ("stage=eval", "method=[standard]", "stage.num_prompts=6", "stage.num_seeds=1", "stage.num_bootstrap=100")
COMPARE = ("stage=compare", "stage.scores={two: scores/two@latest, three: [scores/three@latest]}", "name=both")


def goldennoise(folder: Path, *overrides: str) -> Ended:
    ended = run([*overrides, f"outputs={folder / 'outputs'}"], ROOT)
    assert not ended.faults()
    return ended


def test_models_are_compared_and_a_complete_comparison_loads_no_torch(tmp_path: Path) -> None:
    for name, num_steps in (("two", 2), ("three", 3)):
        assert goldennoise(tmp_path, *EVAL, f"name={name}", f"model.num_steps={num_steps}").code == 0
    ended = goldennoise(tmp_path, *COMPARE)
    assert ended.code == 0
    assert "difference to two [95 % interval]" in ended.stdout
    folder = tmp_path / "outputs/comparison/both/v1"
    assert sorted(file.name for file in folder.iterdir()) == [
        "index.html", "record.json", "summary.json", "tables.json", "tables.md", "tables.tex",
    ]  # fmt: skip
    found = json.loads((folder / "summary.json").read_text())["arms"]["three"]
    assert found["runs"][0]["model"] == {"name": "shapes", "num_steps": 3, "guidance": 3.0}
    assert found["evaluations_per_image"] == 6
    assert found["scorers"]["shapes_clip"]["low"] <= found["scorers"]["shapes_clip"]["high"]
    html = (folder / "index.html").read_text()
    assert html.count("<img") == 2 * 6

    python, *arguments = command(tmp_path / "outputs", *COMPARE)
    done = subprocess.run(
        [python, "-X", "importtime", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "comparison/both@v1 is complete: " in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "goldennoise.stages.job" in loaded
    assert not loaded & {"torch", "pandas", "matplotlib"}

    ended = goldennoise(tmp_path, "stage=compare", "stage.scores=scores/t*", "name=sweep")
    assert (ended.code, "difference to 3 [95 % interval]" in ended.stdout) == (0, True)

    for scores, expected in (
        ("{two: two}", "stage.scores={'two': 'two'}: scores must be the names of at least two arms"),
        ("{two: two, other: other}", "no scores artifact called other"),
        ("[two, three]", "stage.scores=['two', 'three']: scores must be the names of at least two arms"),
        ("two", "or a text with a wildcard, as in scores/sweep@*"),
    ):
        refused = goldennoise(tmp_path, "stage=compare", f"stage.scores={scores}", "name=refused")
        assert (refused.code, len(refused.sentences)) == (2, 1)
        assert expected in refused.sentences[0]
    refused = goldennoise(tmp_path, *COMPARE, "stage.method=npnet")
    assert "stage.method=npnet: scores/two@v1 has no such method; choose from standard" in refused.sentences[0]
    (tmp_path / "outputs/scores/three/v1/scores.parquet").write_bytes(b"damaged")
    refused = goldennoise(tmp_path, *COMPARE)
    assert "scores.parquet is damaged: its checksum" in refused.sentences[0]
