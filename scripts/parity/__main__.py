"""Scores of goldennoise beside those of the packages that published them, with the same random weights.

Makes one environment for each reference, with its own pins, under ~/.cache/goldennoise/parity (a few GB; reused), lets
both sides score 32 images for 32 prompts one by one on the CPU in float32, and writes docs/parity.md. Exits with 1
where a score differs by more than 1e-3 of the references' mean magnitude, or where a file of the published size would
hold other tensors.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import ours
from environments import REFERENCES, SHOWN, Reference, make_environment, run, versions
from material import NUM, write_inputs

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "parity.md"
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Row:
    case: str
    reference: str
    num_pairs: int
    magnitude: float
    difference: float
    num_tensors: int
    other_tensors: tuple[str, ...]

    @property
    def relative(self) -> float:
        return self.difference / self.magnitude

    @property
    def holds(self) -> bool:
        return self.relative <= TOLERANCE and not self.other_tensors


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_inputs(work)
        ours.write_small(work)
        for reference in REFERENCES:
            make_environment(reference)
            script = HERE / f"reference_{reference.name.replace('-', '_')}.py"
            run([str(reference.python), str(script), str(work)], work)
            for case in reference.cases:
                rows.append(compare(case, reference, work))
                print(f"{case:14s} relative {rows[-1].relative:.1e}, other tensors: {len(rows[-1].other_tensors)}")
    PAGE.write_text(page(rows), encoding="utf-8")
    if wrong := [row.case for row in rows if not row.holds]:
        sys.exit(f"Not equal to the reference: {', '.join(wrong)}; see {PAGE}.")


def compare(case: str, reference: Reference, work: Path) -> Row:
    published = json.loads((work / f"{case}.json").read_text())
    theirs, scores = published["scores"], ours.scores(case, work)
    if case == "hpsv2":
        theirs = [100 * score for score in theirs]
    rows = ours.comparable(case, work)
    theirs, scores = [theirs[row] for row in rows], [scores[row] for row in rows]
    wanted, stored = ours.tensors(case, work), published["tensors"]
    other = sorted(name for name in wanted | stored if wanted.get(name) != stored.get(name))
    return Row(
        case,
        reference.name,
        len(rows),
        sum(map(abs, theirs)) / len(theirs),
        max(abs(one - another) for one, another in zip(scores, theirs, strict=True)),
        len(wanted),
        tuple(name for name in other if name not in ours.unused(case)),
    )


def page(rows: Sequence[Row]) -> str:
    """docs/parity.md."""
    table = [
        f"| `{row.case}` | {row.reference} | {row.num_pairs} | {row.magnitude:.3g} | {row.difference:.1e} "
        f"| {row.relative:.1e} | {row.num_tensors} | {'yes' if row.holds else '**no**'} |"
        for row in rows
    ]
    environments = [f"- {reference.package}, with {versions(reference)}" for reference in REFERENCES]
    here = ", ".join(f"{name} {metadata.version(name)}" for name in (*SHOWN, "open_clip_torch"))
    return TEXT.format(
        num=NUM, tolerance=TOLERANCE, table="\n".join(table), environments="\n".join(environments), here=here
    )


TEXT = (HERE / "page.md").read_text(encoding="utf-8")

if __name__ == "__main__":
    main()
