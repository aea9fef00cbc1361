"""stage=list and stage=verify through the real command line, which load no torch."""

import subprocess
from pathlib import Path

from integration.command_line import ROOT, command
from integration.in_process import run

from goldennoise.store.artifacts import ArtifactStore, Draft


def test_the_exit_code_is_2_for_damage_alone_and_torch_is_not_loaded(tmp_path: Path) -> None:
    for name in ("one", "two"):
        draft = ArtifactStore(tmp_path).begin("npnet", name, "auto", {"name": name}, [], {"stage": {}})
        assert isinstance(draft, Draft)
        (draft.path / "content.txt").write_text(name)
        draft.commit({"parameters": 5})
    for stage in ("list", "verify"):
        python, *arguments = command(tmp_path, f"stage={stage}")
        done = subprocess.run(
            [python, "-X", "importtime", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "one" in done.stdout
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "goldennoise.stages.chosen" in loaded
        assert not loaded & {"torch", "pandas", "matplotlib"}
    (tmp_path / "npnet/two/v1/content.txt").write_text("damaged")
    ended = run(["stage=verify", f"outputs={tmp_path}", "stage.artifacts=npnet/*"], ROOT)
    assert (ended.faults(), ended.code, len(ended.sentences)) == ([], 2, 1)
    assert ended.stdout.splitlines()[0] == "npnet/one@v1: ok"
    assert "1 of 2 artifacts" in ended.sentences[0]
