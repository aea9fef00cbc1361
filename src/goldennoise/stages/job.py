"""One artifact made by all processes of a run: rank 0 holds the draft, the others know its folder."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldennoise.runtime.processes import Processes
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.record import read_artifact


@dataclass(frozen=True)
class Begun:
    """reference: what the artifact will be called. draft: None but on rank 0."""

    reference: str
    path: Path
    draft: Draft | None


def begin_together(processes: Processes, held: ExitStack, begin: Callable[[], Artifact | Draft]) -> Artifact | Begun:
    """What `begin`, called on rank 0 alone, has found complete or begun; a draft is kept in `held`."""
    drafts: list[Draft] = []

    def first() -> dict[str, Any]:
        outcome = begin()
        if isinstance(outcome, Draft):
            drafts.append(held.enter_context(outcome))
        else:
            print(f"{outcome.reference} is complete.")
        return {"reference": outcome.reference, "path": str(outcome.path), "complete": not drafts}

    told = processes.from_first(first)
    path = Path(told["path"])
    return read_artifact(path) if told["complete"] else Begun(told["reference"], path, drafts[0] if drafts else None)


def finish_together(processes: Processes, begun: Begun, finish: Callable[[Draft], Artifact]) -> Artifact:
    """The artifact that `finish`, called on rank 0 alone, has made of the draft."""

    def first() -> dict[str, Any]:
        assert begun.draft is not None, "rank 0 holds the draft"
        return {"path": str(finish(begun.draft).path)}

    return read_artifact(Path(processes.from_first(first)["path"]))


def resolve_together(processes: Processes, store: ArtifactStore, methods: Iterable[Any]) -> dict[str, Artifact]:
    """`resolve_networks`, which may import a network, on rank 0 alone."""
    from goldennoise.stages.networks import resolve_networks

    told = processes.from_first(lambda: {name: str(net.path) for name, net in resolve_networks(store, methods).items()})
    return {name: read_artifact(Path(path)) for name, path in told.items()}
