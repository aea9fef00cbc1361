"""list: the artifacts of an outputs folder as a tree in the terminal."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from goldennoise.config.compose import RunConfig
from goldennoise.stages.chosen import ChoiceOptions, chosen_entries
from goldennoise.stages.headlines import headline
from goldennoise.store.listing import Entry
from goldennoise.store.record import STAGE_OF_KIND, Artifact

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, kw_only=True)
class Config(ChoiceOptions):
    """Which artifacts are shown."""

    kind: str = "list"


def run(config: RunConfig) -> None:
    """Print them: when each was made, its size, a headline, and what it was made from.

    Raises what `chosen_entries` raises.
    """
    entries = chosen_entries(config.outputs, config.stage.artifacts)
    if not entries:
        print(f"{config.outputs} holds no artifact.")
    for line in tree(entries):
        print(line)


def tree(entries: list[Entry]) -> Iterator[str]:
    """Lines: kind, then name, then version."""
    for kind, of_kind in groupby(entries, lambda entry: entry.kind):
        yield kind
        for name, versions in groupby(of_kind, lambda entry: entry.name):
            yield f"  {name}"
            for entry in versions:
                yield f"    {entry.version:<4} {_told(entry)}"
                if made_from := [source["reference"] for source in entry.record.get("inputs", [])]:
                    yield f"         from {', '.join(made_from)}"


def _told(entry: Entry) -> str:
    if entry.artifact is None:
        mend = f"run its {STAGE_OF_KIND[entry.kind]} command again, it goes on where it stopped"
        return f"damaged: {entry.problem}" if entry.state == "damaged" else f"unfinished since {_date(entry)}: {mend}"
    sizes = [_size_bytes(entry.artifact, name) for name in entry.artifact.record["files"]]
    missing = sum(size is None for size in sizes)
    size = _size(sum(size or 0 for size in sizes))
    lost = f"damaged: {missing} of {len(sizes)} files are gone" if missing else headline(entry.artifact)
    return f"{_date(entry)}  {size:>10}  {lost}"


def _date(entry: Entry) -> str:
    """To the minute."""
    return str(entry.record.get("end", entry.record["start"]))[:16].replace("T", " ")


def _size_bytes(artifact: Artifact, name: str) -> int | None:
    path = artifact.path / name
    return path.stat().st_size if path.is_file() else None


def _size(num_bytes: float) -> str:
    for unit in _UNITS:
        if num_bytes < 1024 or unit == _UNITS[-1]:
            break
        num_bytes /= 1024
    return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
