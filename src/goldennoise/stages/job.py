"""What all stages share: one artifact, begun, made in units and finished by all processes of a run."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from goldennoise import methods, scorers
from goldennoise.config.compose import RunConfig
from goldennoise.data.prompts import Prompt, prompts_digest
from goldennoise.diffusion.identity import model_identity
from goldennoise.errors import ArtifactError, ConfigError
from goldennoise.generation.loader import Loader
from goldennoise.networks.sources import network_at
from goldennoise.runtime.executors.local import Local
from goldennoise.runtime.executors.ranks import Ranks
from goldennoise.runtime.executors.ray import Nodes
from goldennoise.runtime.processes import Processes, joined
from goldennoise.runtime.units import AnyUnit, Executor, MakeWorker, make_units
from goldennoise.stages.networks import refuse_other_models, resolve_networks
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.identity import as_begun
from goldennoise.store.record import read_artifact

ScoredBy = Callable[[Iterable[str]], dict[str, dict[str, Any]]]
"""Gives `scorers.identities` of those of the run's scorers, by name, that decide an artifact."""
Decides = Callable[[ScoredBy], dict[str, Any]]
"""Gives what decides the content of an artifact."""


UNDEALT = ("train", "train_schedule", "predict", "image_quality")
"""Stages that compute, and not in units."""


class Job:
    """One artifact of the kind `kind`, made by all processes of a run: rank 0 holds its draft.

    loader: of the run's model and scorers. After `begin` has found work to do: path of the draft, reference that the
    artifact will have, stage with the pieces of the run that began it.
    """

    path: Path
    reference: str

    def __init__(self, config: RunConfig, kind: str, loader: Loader, processes: Processes, held: ExitStack) -> None:
        self.config, self.kind, self.processes, self.stage = config, kind, processes, config.stage
        self.store = ArtifactStore(config.outputs)
        self.loader = loader
        self.executor = _executor(config, processes)
        self._held = held
        self._draft: Draft | None = None

    def networks(self, configs: Iterable[Any], *, may_be_others: bool = False) -> dict[str, Artifact]:
        """The trained networks of configs, by reference as written; unless they may be, those of others are refused."""

        def first() -> dict[str, list[str]]:
            found = resolve_networks(self.store, configs)
            if not may_be_others:
                refuse_other_models(self.config, found)
            return {reference: [str(network.path), network.fingerprint] for reference, network in found.items()}

        told, networks = self.processes.from_first(first), dict[str, Artifact]()

        def own() -> None:
            for reference, (path, fingerprint) in told.items():
                networks[reference] = network_at(reference, Path(path), fingerprint)

        self.processes.on_all(own)
        return networks

    def begin(
        self,
        decides: Decides,
        inputs: Iterable[Artifact] = (),
        shown: str = "",
        refuse_unfit: Callable[[], None] = lambda: None,
    ) -> Artifact | None:
        """The complete artifact of this config, known without a model, a scorer or a child process; None with a draft.

        shown: a file of the artifact for the line that says that it is complete. refuse_unfit: called before there is a
        draft; raises for what shows only when something is loaded.
        A scorer whose files are not on this machine, or that another environment has, counts as the one that a version
        of this name was made with by the same options; is there none, it is built, to tell its version.
        """
        sources = distinct(inputs)

        def first() -> dict[str, Any]:
            name, version = self.config.name, self.config.version
            known = decides(partial(known_scorers, self.store, self.kind, self.config))
            found: Artifact | Draft | None = self.store.find(self.kind, name, version, known, sources)
            if found is None:
                refuse_unfit()
                identity = decides(self._scorers)
                found = self.store.begin(self.kind, name, version, identity, sources, asdict(self.config))
            if isinstance(found, Draft):
                self._draft = self._held.enter_context(found)
                return {"path": str(found.path), "reference": found.reference, "stage": found.config["stage"]}
            print(f"{found.reference} is complete{f': {found.path / shown}' if shown else '.'}")
            return {"path": str(found.path)}

        told = self.processes.from_first(first)
        self.path = Path(told["path"])
        if "stage" not in told:
            return read_artifact(self.path)
        self.reference, self.stage = told["reference"], as_begun(self.config.stage, told["stage"])
        return None

    @property
    def damaged(self) -> Sequence[str]:
        """Files that were complete once and were removed from the draft; on rank 0 alone."""
        return () if self._draft is None else self._draft.damaged

    def make(self, units: Sequence[AnyUnit], make_worker: MakeWorker[AnyUnit], noun: str) -> None:
        """Make the units that the draft lacks. noun: what they are made of, for the progress."""
        make_units(units, self.path, make_worker, self.executor, (self.config.stage.kind, noun))

    def finish(self, work: Callable[[Draft], Artifact]) -> Artifact:
        """The artifact that `work`, called on rank 0 alone, makes of the draft."""

        def first() -> str:
            assert self._draft is not None, "rank 0 holds the draft"
            return str(work(self._draft).path)

        return read_artifact(Path(self.processes.from_first(first)))

    def _scorers(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        identities = scorers.identities({name: self.config.scorer[name] for name in names})
        for name, identity in identities.items():
            if identity["version"] is None:
                identity["version"] = self.loader.scorer(name).version
        return identities


def _executor(config: RunConfig, processes: Processes) -> Executor:
    if config.compute.ray is not None:
        return Nodes(config.compute)
    return Local() if processes.size == 1 else Ranks(processes)


def distinct(inputs: Iterable[Artifact]) -> list[Artifact]:
    """Each artifact once."""
    return list({artifact.fingerprint: artifact for artifact in inputs}.values())


def known_scorers(
    store: ArtifactStore, kind: str, config: RunConfig, names: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """`scorers.identities` of those named; a version that is not known here is that of an earlier artifact, or None."""
    identities = scorers.identities({name: config.scorer[name] for name in names})
    for name, identity in identities.items():
        if identity["version"] is None:
            identity["version"] = _recorded_version(store.versions(kind, config.name), name, config.scorer[name])
    return identities


def refuse_undealt(config: RunConfig) -> None:
    """Raise `ConfigError` for a stage that computes without units where Ray should make them."""
    if config.compute.ray is not None and config.stage.kind in UNDEALT:
        raise ConfigError(
            f"compute.ray={config.compute.ray}: {config.stage.kind} has no units that Ray could deal out; run it with "
            'another compute, as in \'stage.stages=["collect compute=ray","train"]\''
        )


@contextmanager
def opened(config: RunConfig, kind: str, loader: Loader | None = None) -> Iterator[Job]:
    """A job in all processes of a run; its draft is given back at the end. loader: one that others use too.

    Raises what `refuse_undealt` raises.
    """
    refuse_undealt(config)
    with joined(config.compute) as processes, ExitStack() as held:
        yield Job(config, kind, loader or Loader(config), processes, held)


def run_identity(
    config: RunConfig, prompts: Sequence[Prompt], scored_by: ScoredBy, networks: Mapping[str, Artifact]
) -> dict[str, Any]:
    """What decides images and scores, beside the options of the stage. networks: by reference as written."""
    return {
        "model": model_identity(config.model),
        "methods": {name: _method_identity(method, config.method, networks) for name, method in config.method.items()},
        "scorers": scored_by(config.scorer),
        "prompts": prompts_digest(prompts, scorers.columns_read(config.scorer)),
        "seed": config.seed,
    }


def _method_identity(method: Any, chosen: Mapping[str, Any], networks: Mapping[str, Artifact]) -> dict[str, Any]:
    """Its options, and those of the run's methods that it uses; which networks are meant, wherever they lie.

    chosen: the methods of the run, by name.
    """
    others = [_options(chosen[name], networks) for name in method.methods() if name in chosen]
    return _options(method, networks) | ({"methods": others} if others else {})


def _options(method: Any, networks: Mapping[str, Artifact]) -> dict[str, Any]:
    used = [networks[reference].fingerprint for reference in method.networks()]
    return methods.identity(method) | ({"networks": used} if used else {})


def _recorded_version(versions: Iterable[Artifact], name: str, scorer: Any) -> Any:
    """That of the newest artifact which a scorer of the same options decided; None if there is none.

    A record has it among its scorers, or in the option of the stage that names the scorer.
    """
    options = json.loads(json.dumps(asdict(scorer)))
    for artifact in versions:
        with suppress(ArtifactError):
            identity = artifact.recorded("identity", kind=dict)
            if artifact.recorded("config", "scorer", name) == options:
                told = [identity.get("scorers", {}).get(name), *identity.get("stage", {}).values()]
                return next(one["version"] for one in told if isinstance(one, dict) and "version" in one)
    return None
