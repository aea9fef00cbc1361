"""One artifact made by all processes of a run: rank 0 holds the draft, the others know its folder."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise import scorers
from goldennoise.errors import ArtifactError
from goldennoise.runtime.processes import Processes
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.record import read_artifact

if TYPE_CHECKING:
    from goldennoise.config.compose import RunConfig


@dataclass(frozen=True)
class Begun:
    """reference: what the artifact will be called. stage: the options of the stage, as the run that began it had them.

    draft: None but on rank 0.
    """

    reference: str
    path: Path
    stage: dict[str, Any]
    draft: Draft | None


def complete(
    processes: Processes,
    store: ArtifactStore,
    kind: str,
    config: "RunConfig",
    decides: Callable[[Mapping[str, Any]], dict[str, Any]],
    inputs: Sequence[Artifact],
) -> Artifact | None:
    """The artifact of this run if it is complete, which is known without a model, a scorer or a child process.

    decides: what decides the content, of what decides the scores of every scorer. A scorer whose files are not on this
    machine, or that another environment has, counts as the one that a version of this name was made with by the same
    options.
    """

    def first() -> dict[str, Any]:
        found = store.find(kind, config.name, config.version, decides(_identities(store, kind, config)), inputs)
        if found is not None:
            print(f"{found.reference} is complete.")
        return {"path": found and str(found.path)}

    told = processes.from_first(first)["path"]
    return None if told is None else read_artifact(Path(told))


def _identities(store: ArtifactStore, kind: str, config: "RunConfig") -> dict[str, dict[str, Any]]:
    identities = scorers.identities(config.scorer)
    for name, identity in identities.items():
        if identity["version"] is None:
            identity["version"] = _recorded_version(store.versions(kind, config.name), name, config.scorer[name])
    return identities


def _recorded_version(versions: Iterable[Artifact], name: str, scorer: Any) -> Any:
    """That of the newest artifact which a scorer of the same options has scored; None if there is none."""
    options = json.loads(json.dumps(asdict(scorer)))
    for artifact in versions:
        with suppress(ArtifactError):
            if artifact.recorded("config", "scorer", name) == options:
                return artifact.recorded("identity", "scorers", name, "version")
    return None


def begin_together(processes: Processes, held: ExitStack, begin: Callable[[], Artifact | Draft]) -> Artifact | Begun:
    """What `begin`, called on rank 0 alone, has found complete or begun; a draft is kept in `held`."""
    drafts: list[Draft] = []

    def first() -> dict[str, Any]:
        outcome = begin()
        if isinstance(outcome, Draft):
            drafts.append(held.enter_context(outcome))
        else:
            print(f"{outcome.reference} is complete.")
        stage = outcome.config["stage"] if isinstance(outcome, Draft) else {}
        return {"reference": outcome.reference, "path": str(outcome.path), "complete": not drafts, "stage": stage}

    told = processes.from_first(first)
    path = Path(told["path"])
    if told["complete"]:
        return read_artifact(path)
    return Begun(told["reference"], path, told["stage"], drafts[0] if drafts else None)


def finish_together(processes: Processes, begun: Begun, finish: Callable[[Draft], Artifact]) -> Artifact:
    """The artifact that `finish`, called on rank 0 alone, has made of the draft."""

    def first() -> dict[str, Any]:
        assert begun.draft is not None, "rank 0 holds the draft"
        return {"path": str(finish(begun.draft).path)}

    return read_artifact(Path(processes.from_first(first)["path"]))


def resolve_together(
    processes: Processes, store: ArtifactStore, config: "RunConfig", methods: Iterable[Any]
) -> dict[str, Artifact]:
    """`resolve_networks`, which may import a network, on rank 0 alone; refuses those of another model."""
    from goldennoise.stages.networks import refuse_other_models, resolve_networks

    def first() -> dict[str, Any]:
        networks = resolve_networks(store, methods)
        refuse_other_models(config, networks)
        return {name: str(network.path) for name, network in networks.items()}

    return {name: read_artifact(Path(path)) for name, path in processes.from_first(first).items()}
