"""The trained networks of an evaluation: found, checked against the model, and what selected their pairs."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from goldennoise import methods as method_kinds
from goldennoise.config.compose import RunConfig
from goldennoise.diffusion.identity import differences
from goldennoise.errors import ArtifactError, ConfigError, ModelError
from goldennoise.networks.sources import resolve_network
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.training import objectives

log = logging.getLogger(__name__)


def refuse_unfit_methods(config: RunConfig) -> None:
    """Raise `ConfigError`, naming the method, for one whose options do not fit the model's."""
    for name, method in config.method.items():
        try:
            method.refuse_unfit(config.model)
        except ConfigError as error:
            raise ConfigError(f"method.{name}: {error}") from None


def resolve_networks(store: ArtifactStore, methods: Iterable[Any]) -> dict[str, Artifact]:
    """Reference as written -> the network, of all that the configs of methods name; files checked."""
    kinds = {reference: method.artifact_kind for method in methods for reference in method.networks()}
    found = {
        reference: resolve_network(store, reference) if kind == "npnet" else store.resolve(reference, kind)
        for reference, kind in kinds.items()
    }
    for artifact in found.values():
        artifact.check()
    return found


def refuse_other_models(config: RunConfig, networks: Mapping[str, Artifact]) -> None:
    """`refuse_other_model` of every network, unless `stage.other_model` allows them."""
    if config.stage.other_model == "refuse":
        for network in networks.values():
            refuse_other_model(network, config.model)


def refuse_other_model(network: Artifact, model: Any) -> None:
    """Raise ArtifactError if `network` was trained for another model than the config `model` names."""
    changes = differences(network.recorded("identity", "model", kind=dict), model)
    if changes:
        raise ArtifactError(
            f"{network.reference} was trained for another model ({'; '.join(changes)}): evaluate it with that "
            "model, choose another network, or set stage.other_model=allow if the latents are the same, as for "
            "distilled models"
        )


def selected_with(
    store: ArtifactStore, networks: Mapping[str, Artifact], methods: Mapping[str, Any], scorers: Mapping[str, Any]
) -> set[str] | None:
    """Those of the run's `scorers` that chose anything: a noise while a method ran, a network's pairs, or its reward.

    One that measures the same as what chose, for example a part of a weighted sum, is among them.
    None if a network was imported, or what it learnt from is not in the store any more: then nobody can tell.
    """
    configs = {name: asdict(scorer) for name, scorer in scorers.items()}
    chosen = {scorer for method in methods.values() for scorer in method.scorers()}
    measured = _measured(chosen, configs)
    for network in networks.values():
        behind = _behind(store, network)
        if behind is None:
            return None
        measured |= behind
    return {name for name in configs if _measured([name], configs) & measured}


def _behind(store: ArtifactStore, network: Artifact) -> set[str] | None:
    """Kinds of the scorers that chose anything `network` learnt from, in any round of distillation; None if unknown."""
    trained = network.record["config"]
    if "selected_by" in trained:
        return set(network.recorded("config", "selected_by", kind=list))
    stage = network.recorded("config", "stage", kind=dict)
    if network.kind == "schedule":
        return _measured_in(network, [stage["reward_scorer"]])
    objective = stage.get("objective")
    if objective not in objectives.kinds():
        log.warning("%s was not trained here: which scorer selected its pairs is not known", network.reference)
        return None
    measured = set()
    option = objectives.component(objective).Loss.scorer_option
    if option is not None:
        measured |= _measured_in(network, [network.recorded("config", "stage", option, kind=str)])
    for pairs in _inputs(store, network, "pairs"):
        if pairs is None:
            return None
        selecting = _selecting(pairs)
        if selecting is None:
            return None
        measured |= _measured_in(pairs, selecting)
        rounds = _behind_all(_inputs(store, pairs, "npnet"), store)
        if rounds is None:
            return None
        measured |= rounds
    begun_with = _behind_all(_inputs(store, network, "npnet"), store)
    return None if begun_with is None else measured | begun_with


def _behind_all(networks: Iterable[Artifact | None], store: ArtifactStore) -> set[str] | None:
    """`_behind` of several networks; None where it is not known of one."""
    measured: set[str] = set()
    for network in networks:
        behind = None if network is None else _behind(store, network)
        if behind is None:
            return None
        measured |= behind
    return measured


def _selecting(pairs: Artifact) -> set[str] | None:
    """Names of the scorers that chose noises or filtered the pairs; None for options that a method does not have."""
    preference = pairs.recorded("config", "stage", "preference")
    chosen = set() if preference is None else {str(preference)}
    for name in pairs.recorded("config", "method", kind=dict):
        options = pairs.recorded("config", "method", name, kind=dict)
        try:
            chosen |= {*method_kinds.component(options["kind"]).Config(**options).scorers()}
        except (ConfigError, KeyError, TypeError) as error:
            log.warning(
                "%s was made with another %s (%s): which scorer selected is not known", pairs.reference, name, error
            )
            return None
    return chosen


def _inputs(store: ArtifactStore, artifact: Artifact, kind: str) -> Iterator[Artifact | None]:
    """What of this kind `artifact` was made from, None in place of what is not in the store any more."""
    for source in artifact.record["inputs"]:
        if source["reference"].startswith("pairs/") != (kind == "pairs"):
            continue
        found = _same(store, source["reference"], source["fingerprint"], kind)
        if found is None:
            log.warning(
                "%s, which %s was made from, is not in %s any more: which scorer selected is not known",
                source["reference"],
                artifact.reference,
                store.root,
            )
        yield found


def _measured_in(artifact: Artifact, names: Iterable[str]) -> set[str]:
    """`_measured` of scorers that an artifact was made with."""
    configs = {name: artifact.recorded("config", "scorer", name, kind=dict) for name in names}
    kinds = {name: artifact.recorded("config", "scorer", name, "kind", kind=str) for name in configs}
    return _measured(kinds, configs)


def _measured(names: Iterable[str], configs: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Kinds of the named scorers, of a weighted sum those of its parts."""
    chosen = [configs[name] for name in names]
    return {kind for config in chosen for kind in config.get("parts", [config["kind"]])}


def _same(store: ArtifactStore, reference: str, fingerprint: str, kind: str) -> Artifact | None:
    """The artifact if it is there and still the one meant."""
    try:
        found = resolve_network(store, reference) if kind == "npnet" else store.resolve(reference, kind)
    except (ArtifactError, ModelError):
        return None
    return found if found.fingerprint == fingerprint else None
