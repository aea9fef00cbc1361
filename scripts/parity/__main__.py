"""Scores of goldennoise beside those of the packages that published them, with the same random weights.

Makes one environment for each reference, with its own pins, under ~/.cache/goldennoise/parity (a few GB; reused), lets
both sides score 32 images for 32 prompts one by one on the CPU in float32, and writes docs/parity.md. Exits with 1
where a score differs by more than 1e-3 of the references' mean magnitude, or where a file of the published size would
hold other tensors.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import ours
from material import NUM, write_inputs

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "parity.md"
CACHE = Path.home() / ".cache" / "goldennoise" / "parity"
TOLERANCE = 1e-3
TORCH = ("torch", "torchvision")
PILLOW = "pillow==10.4.0"
"""Of the references' time; Pillow 13 resizes columns before rows where an image is tall."""
SHOWN = ("torch", "torchvision", "transformers", "timm", "pillow")


@dataclass(frozen=True)
class Reference:
    """A package from the registry. pins: beside it; forced: after these, without what they or others ask for."""

    package: str
    pins: tuple[str, ...]
    cases: tuple[str, ...]
    forced: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.package.partition("==")[0]

    @property
    def python(self) -> Path:
        return CACHE / self.name / "bin" / "python"


REFERENCES = (
    # Later transformers lack what it imports; what its clip imports has gone from the setuptools that torch asks for.
    Reference(
        "image-reward==1.5",
        ("transformers==4.49.0", "timm==0.6.13", "clip-anytorch==2.6.0", "datasets>=3"),
        ("imagereward", "clipscore", "aesthetic"),
        forced=("setuptools==69.5.1",),
    ),
    # It asks for protobuf < 4 and for two test runners, which what it imports does not need.
    Reference(
        "hpsv2==1.2.0",
        ("timm", "transformers", "braceexpand", "clint", "ftfy", "pandas", "regex", "requests", "scipy", "webdataset"),
        ("hpsv2",),
        forced=("hpsv2==1.2.0",),
    ),
    Reference("imscore==0.0.11", ("transformers==4.53.3",), ("pickscore", "mps")),
)


@dataclass(frozen=True)
class Row:
    case: str
    reference: str
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
                print(f"{case:12s} relative {rows[-1].relative:.1e}, other tensors: {len(rows[-1].other_tensors)}")
    PAGE.write_text(page(rows), encoding="utf-8")
    if wrong := [row.case for row in rows if not row.holds]:
        sys.exit(f"Not equal to the reference: {', '.join(wrong)}; see {PAGE}.")


def make_environment(reference: Reference) -> None:
    """Made once; a file in it, written last, says with what."""
    wanted = [*(f"{name}=={metadata.version(name).partition('+')[0]}" for name in TORCH), PILLOW, *reference.pins]
    stamp = CACHE / reference.name / "made.json"
    content = json.dumps([reference.package, *wanted, *reference.forced])
    if stamp.is_file() and stamp.read_text() == content:
        return
    uv = Path(sys.executable).with_name("uv")
    install = [str(uv), "pip", "install", "--quiet", "--python", str(reference.python)]
    run([str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(CACHE / reference.name)], HERE)
    run([*install, *(package for package in (reference.package, *wanted) if package not in reference.forced)], HERE)
    if reference.forced:
        run([*install, "--no-deps", *reference.forced], HERE)
    _add_vocabulary(reference)
    stamp.write_text(content)


def _add_vocabulary(reference: Reference) -> None:
    """hpsv2's archive lacks CLIP's vocabulary, which open_clip has."""
    for folder in (CACHE / reference.name).glob("lib/python*/site-packages/hpsv2/src/open_clip"):
        (folder / ours.BPE.name).write_bytes(ours.BPE.read_bytes())


def versions(reference: Reference) -> str:
    """Of the packages in its environment that decide a score."""
    code = (
        "import sys, importlib.metadata as m; print(*(f'{name} {m.version(name)}' for name in sys.argv[1:]), sep=', ')"
    )
    done = subprocess.run([str(reference.python), "-c", code, *SHOWN], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def run(command: Sequence[str], folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")


def compare(case: str, reference: Reference, work: Path) -> Row:
    published = json.loads((work / f"{case}.json").read_text())
    theirs, scores = published["scores"], ours.scores(case, work)
    if case == "hpsv2":
        theirs = [100 * score for score in theirs]
    wanted, stored = ours.tensors(case, work), published["tensors"]
    other = sorted(name for name in wanted | stored if wanted.get(name) != stored.get(name))
    return Row(
        case,
        reference.name,
        sum(map(abs, theirs)) / len(theirs),
        max(abs(one - another) for one, another in zip(scores, theirs, strict=True)),
        len(wanted),
        tuple(name for name in other if name not in ours.unused(case)),
    )


def page(rows: Sequence[Row]) -> str:
    """docs/parity.md."""
    table = [
        f"| `{row.case}` | {row.reference} | {row.magnitude:.3g} | {row.difference:.1e} | {row.relative:.1e} "
        f"| {row.num_tensors} | {'yes' if row.holds else '**no**'} |"
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
