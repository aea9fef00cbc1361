"""The packages that published scorers, each in an environment of its own under ~/.cache/goldennoise/parity."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import open_clip

CACHE = Path.home() / ".cache" / "goldennoise" / "parity"
TORCH = ("torch", "torchvision")
PILLOW = "pillow==10.4.0"
"""Of the references' time; Pillow 13 resizes columns before rows where an image is tall."""
SHOWN = ("torch", "torchvision", "transformers", "timm", "pillow")
BPE = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"


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
    Reference("torchmetrics==1.9.0", ("transformers==4.53.3",), ("clipscore_bare",)),
)


def make_environment(reference: Reference) -> None:
    """Made once; a file in it, written last, says with what."""
    wanted = [*(f"{name}=={metadata.version(name).partition('+')[0]}" for name in TORCH), PILLOW, *reference.pins]
    stamp = CACHE / reference.name / "made.json"
    content = json.dumps([reference.package, *wanted, *reference.forced])
    if stamp.is_file() and stamp.read_text() == content:
        return
    uv = Path(sys.executable).with_name("uv")
    install = [str(uv), "pip", "install", "--quiet", "--python", str(reference.python)]
    run([str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(CACHE / reference.name)])
    run([*install, *(package for package in (reference.package, *wanted) if package not in reference.forced)])
    if reference.forced:
        run([*install, "--no-deps", *reference.forced])
    _add_vocabulary(reference)
    stamp.write_text(content)


def _add_vocabulary(reference: Reference) -> None:
    """hpsv2's archive lacks CLIP's vocabulary, which open_clip has."""
    for folder in (CACHE / reference.name).glob("lib/python*/site-packages/hpsv2/src/open_clip"):
        (folder / BPE.name).write_bytes(BPE.read_bytes())


def versions(reference: Reference) -> str:
    """Of the packages in its environment that decide a score."""
    code = (
        "import sys, importlib.metadata as m; found = {d.name.lower(): d.version for d in m.distributions()}; "
        "print(*(f'{name} {found[name]}' for name in sys.argv[1:] if name in found), sep=', ')"
    )
    return run([str(reference.python), "-c", code, *SHOWN]).strip()


def run(command: Sequence[str], folder: Path = Path()) -> str:
    """What a command prints, run in `folder` with none of this environment's paths; exits where it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout
