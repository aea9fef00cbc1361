"""The trained networks of an evaluation: found, checked against the model, and asked what selected their pairs."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from goldennoise.artifacts import Artifact, ArtifactStore
from goldennoise.errors import ArtifactError
from goldennoise.evaluation.summary import selecting_scorers

SAME_MODEL = ("kind", "path", "revision")
"""Fields of a model's config that name its weights; steps and guidance may differ between training and evaluation."""

log = logging.getLogger(__name__)


def resolve_networks(store: ArtifactStore, methods: Mapping[str, Any]) -> dict[str, Artifact]:
    """Reference as written -> npnet artifact, for every method config with a field `artifact`; files checked."""
    named = [method.artifact for method in methods.values() if hasattr(method, "artifact")]
    found = {reference: store.resolve(reference, "npnet") for reference in dict.fromkeys(named)}
    for artifact in found.values():
        artifact.check()
    return found


def refuse_other_model(network: Artifact, model: Any) -> None:
    """Raise ArtifactError if `network` was trained for another model than the config `model` names."""
    trained, used = network.record["config"]["model"], asdict(model)
    differing = [field for field in SAME_MODEL if trained.get(field) != used.get(field)]
    if differing:
        changes = "; ".join(
            f"model.{field}={used.get(field)}, trained with {trained.get(field)}" for field in differing
        )
        raise ArtifactError(
            f"{network.reference} was trained for another model ({changes}): evaluate it with that model, choose "
            "another network, or set stage.other_model=allow if the latents are the same, as for distilled models"
        )


def selected_with(
    store: ArtifactStore, networks: Mapping[str, Artifact], methods: Mapping[str, Any]
) -> set[str] | None:
    """Scorers that chose anything: a noise while a method ran, or the pairs a network learnt from.

    None if the pairs of a network are not in the store any more: then nobody can tell.
    """
    configs = [asdict(method) for method in methods.values()]
    preferences = []
    for network in networks.values():
        for source in network.record["inputs"]:
            pairs = _same(store, source["reference"], source["fingerprint"])
            if pairs is None:
                log.warning(
                    "%s, which %s learnt from, is not in %s any more: which scorer selected its pairs is not known",
                    source["reference"],
                    network.reference,
                    store.root,
                )
                return None
            preferences.append(pairs.record["config"]["stage"]["preference"])
            configs += pairs.record["config"]["method"].values()
    return selecting_scorers(configs, preferences)


def _same(store: ArtifactStore, reference: str, fingerprint: str) -> Artifact | None:
    """The pairs artifact if it is there and still the one meant."""
    try:
        found = store.resolve(reference, "pairs")
    except ArtifactError:
        return None
    return found if found.fingerprint == fingerprint else None
