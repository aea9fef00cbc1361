import html
import json
from dataclasses import replace
from pathlib import Path

import pytest
from unit.generation import fakes
from unit.generation.fakes import Run, ShiftConfig
from unit.stages.test_report import resigned

from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.evaluation.report.excerpts import read_excerpt
from goldennoise.stages import compare, report
from goldennoise.stages import eval as evaluation
from goldennoise.stages.tables import Config, run
from goldennoise.store.artifacts import Artifact
from goldennoise.store.record import read_artifact

METHODS = {"standard": ShiftConfig(), "shifted": ShiftConfig(amount=0.2)}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Scores a and b, a report of each, and a comparison of both."""
    fakes.install(monkeypatch)
    base = Run(evaluation.Config(num_prompts=6, num_seeds=2, num_bootstrap=200), str(tmp_path), METHODS, prompts=6)
    for name, amount in (("a", 0.2), ("b", 0.1)):
        evaluation.run(replace(base, name=name, method=METHODS | {"shifted": ShiftConfig(amount=amount)}))
        report.run(replace(base, name=name, stage=report.Config(scores=f"scores/{name}")))
    both = compare.Config(scores={"first": "a", "second": "b"}, method={"second": "shifted"}, num_bootstrap=200)
    compare.run(replace(base, name="both", stage=both, method={}, scorer={}))
    return base


def tables(base: Run, *pages: str) -> Artifact:
    return run(replace(base, name="all", stage=Config(pages=pages), method={}, scorer={}))


def test_the_page_has_the_tables_of_all_in_order(base: Run) -> None:
    artifact = tables(base, "report/b", "comparison/both@v1", "report/a@latest")
    page = (artifact.path / "index.html").read_text()
    places = [page.index(f'<h2 id="{part}-v1">') for part in ("report-b", "comparison-both", "report-a")]
    assert places == sorted(places)
    assert page.count("<caption>All prompts</caption>") == 3
    assert "The noise that sampling started from" not in page, "checks stay on the page itself"
    for link in ("../../../report/b/v1/index.html", "../../../comparison/both/v1/index.html"):
        assert f'href="{link}"' in page
        assert (artifact.path / link).resolve().is_file()
    whole = (artifact.path / "tables.md").read_text()
    assert whole.count("### All prompts") == 3
    assert "% both: " in (artifact.path / "tables.tex").read_text()
    inputs = [source["reference"] for source in artifact.record["inputs"]]
    assert inputs == ["report/b@v1", "comparison/both@v1", "report/a@v1"]


def test_the_same_pages_again_are_complete(base: Run, capsys: pytest.CaptureFixture[str]) -> None:
    first = tables(base, "report/a")
    assert tables(base, "report/a").path == first.path
    assert "tables/all@v1 is complete" in capsys.readouterr().out
    assert tables(base, "report/a", "report/b").path.name == "v2"


def test_an_excerpt_is_read_as_it_was_written(base: Run) -> None:
    folder = Path(base.outputs) / "report/a/v1"
    excerpt = read_excerpt(folder)
    assert excerpt.title == "scores/a@v1"
    assert excerpt.headline in html.unescape((folder / "index.html").read_text())
    assert excerpt.tables[0].caption == "All prompts"


@pytest.mark.parametrize(
    ("pages", "error", "message"),
    [
        (["scores/a"], ConfigError, r"stage\.pages: scores/a is no page; a page is report/NAME \(stage=report\), comp"),
        (["report/a", "report/a@v1"], ConfigError, r"stage\.pages: report/a@v1 stands here twice; leave one out"),
        (["report/c"], ArtifactError, "no report artifact called c in"),
    ],
)
def test_what_is_no_page_is_refused(base: Run, pages: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tables(base, *pages)


def test_without_pages_there_is_nothing_to_show() -> None:
    with pytest.raises(ConfigError, match=r"pages=\[\]: pages must be the names of pages"):
        Config(pages=())


def test_a_page_without_its_tables_is_named(base: Run) -> None:
    page = read_artifact(Path(base.outputs) / "report/a/v1")
    resigned(page, "tables.json", lambda file: file.write_text(json.dumps({"title": "a"})))
    with pytest.raises(ArtifactError, match=r"tables\.json is damaged: headline is missing or of another type"):
        tables(base, "report/a")
    record = json.loads((page.path / "record.json").read_text())
    del record["files"]["tables.json"]
    (page.path / "record.json").write_text(json.dumps(record))
    (page.path / "tables.json").unlink()
    with pytest.raises(ArtifactError, match=r"has no tables\.json, as pages of earlier versions"):
        tables(base, "report/a")
