from dataclasses import replace

from unit.evaluation.report.summaries import CLIP, summary

from goldennoise.evaluation.diversity import Diversity
from goldennoise.evaluation.report.checks import check_tables, diversity_table, gap_table, noise_table, spectrum_table
from goldennoise.evaluation.report.results import pareto_front
from goldennoise.evaluation.report.tables import Table
from goldennoise.evaluation.summary import Spread, Summary
from goldennoise.generation.noise import BANDS, STATISTICS


def rows_of(table: Table | None) -> dict[str, list[str]]:
    assert table is not None
    return {row[0].value: [cell.text for cell in row[1:]] for section in table.sections for row in section.rows}


def with_methods(**points: tuple[float, float]) -> Summary:
    """Methods of (evaluations per image, mean of the verifier) instead of the usual ones."""
    base = summary()
    methods = {}
    for name, (cost, mean) in points.items():
        result = base.methods["npnet"].scorers["verifier"]
        result = replace(result, overall=replace(result.overall, mean=mean))
        scorers = base.methods["npnet"].scorers | {"verifier": result}
        methods[name] = replace(base.methods["npnet"], evaluations_per_image=cost, scorers=scorers)
    return replace(base, methods=methods, reference=next(iter(points)))


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    found = with_methods(
        standard=(40, 0.5), worse=(40, 0.4), equal=(40, 0.5), dear=(80, 0.5), best=(320, 0.9), good=(60, 0.7)
    )
    assert pareto_front(found) == ["standard", "good", "best"]
    lower = replace(found.scorers["verifier"], higher_is_better=False)
    assert pareto_front(replace(found, scorers=found.scorers | {"verifier": lower})) == ["worse"]


def test_noise_is_shown_with_its_range() -> None:
    found = summary()
    methods = {
        name: replace(result, noise=result.noise | {"norm": Spread(1.234, 1.01, 1.46)})
        for name, result in found.methods.items()
    }
    rows = rows_of(noise_table(replace(found, methods=methods)))
    assert list(rows) == ["standard", "npnet"]
    assert rows["npnet"][:2] == ["1.23 [1.01, 1.46]", "1.00 [0.95, 1.05]"]
    assert [len(row) for row in rows.values()] == [len(STATISTICS) - len(BANDS)] * 2


def test_the_spectrum_is_shown_by_itself() -> None:
    found = summary()
    methods = {
        name: replace(result, noise=result.noise | {"middle_frequency": Spread(1.234, 1.01, 1.46)})
        for name, result in found.methods.items()
    }
    rows = rows_of(spectrum_table(replace(found, methods=methods)))
    assert rows["npnet"] == ["1.00 [0.95, 1.05]", "1.23 [1.01, 1.46]", "1.00 [0.95, 1.05]"]


def test_diversity_is_a_share_of_the_references() -> None:
    found = summary()
    half = replace(CLIP, mean=CLIP.mean / 2, difference=-CLIP.mean / 2, low=-17.0, high=-14.0)
    npnet = found.methods["npnet"]
    changed = npnet.diversity | {"thumbnails": Diversity(half, half)}
    table = diversity_table(replace(found, methods=found.methods | {"npnet": replace(npnet, diversity=changed)}))
    assert table is not None
    colours, embeddings = table.sections
    assert [cell.text for cell in colours.rows[1]][2:4] == ["50.0 %", "−15.625 [−17.000, −14.000]"]
    assert [row[3].strong for row in colours.rows] == [False, True]
    assert [cell.text for cell in embeddings.rows[1]][2] == "100.0 %"
    assert (colours.title, embeddings.title) == ("thumbnails", "clip")
    assert "it also chose" in embeddings.note
    reporting = found.scorers | {"clip": replace(found.scorers["clip"], role="reporting")}
    table = diversity_table(replace(found, scorers=reporting))
    assert table is not None
    assert table.sections[1].note == "its image embedding"


def test_without_diversity_there_is_no_such_table() -> None:
    found = summary()
    methods = {name: replace(result, diversity={}) for name, result in found.methods.items()}
    assert diversity_table(replace(found, methods=methods)) is None
    assert len(check_tables(replace(found, methods=methods))) == len(check_tables(found)) - 1


def test_the_gap_sets_gains_in_deviations_side_by_side() -> None:
    # 0.5 / 2.0 by the selecting scorer, 0.031 / 0.49 by the reporting one.
    assert rows_of(gap_table(summary())) == {"npnet": ["+0.06", "+0.25", "+0.19"]}


def test_a_scorer_whose_lower_scores_are_better_gains_by_falling() -> None:
    found = summary()
    clip = replace(found.scorers["clip"], higher_is_better=False)
    assert rows_of(gap_table(replace(found, scorers=found.scorers | {"clip": clip})))["npnet"][1:] == ["−0.25", "−0.31"]


def test_a_gap_needs_both_roles() -> None:
    found = summary()
    for role in ("reporting", "selecting", "unknown"):
        scorers = {name: replace(info, role=role) for name, info in found.scorers.items()}
        assert gap_table(replace(found, scorers=scorers)) is None


def test_a_description_is_no_gain() -> None:
    found = summary()
    verifier = replace(found.scorers["verifier"], higher_is_better=None)
    assert gap_table(replace(found, scorers=found.scorers | {"verifier": verifier})) is None


def test_a_gain_over_equal_scores_has_no_number() -> None:
    found = summary()
    verifier = replace(found.scorers["verifier"], deviation=0.0)
    rows = rows_of(gap_table(replace(found, scorers=found.scorers | {"verifier": verifier})))
    assert rows == {"npnet": ["–", "+0.25", "–"]}
