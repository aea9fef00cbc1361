"""NPNets from elsewhere, such as a hub repository or a published file, as npnet artifacts of the store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldennoise.networks.base import NetworkInputs
from goldennoise.networks.checkpoint import load_npnet, save_npnet
from goldennoise.networks.published import load_published
from goldennoise.networks.sources import does_not_name_its_model, is_hub_reference, locate, read_record, source_digests
from goldennoise.store.artifacts import Artifact, ArtifactStore


def import_network(
    store: ArtifactStore,
    reference: str,
    name: str,
    version: str,
    config: Mapping[str, Any],
    model: Mapping[str, Any] | None,
    svd_attention: bool = True,
) -> Artifact:
    """The npnet artifact of a path or a hub reference, complete already or made.

    config: the options, for the record. model: the identity of the model it was trained for, where the source
    does not say so itself. svd_attention: of a published file, see `load_published`.
    What its own record says of the scorers that chose anything it learnt from, `selected_by`, is believed.
    Raises `ModelError` for a source that is no NPNet, or where nobody says which model it is for.
    """
    found = locate(reference)
    is_published = found.is_file()
    network = load_published(found, svd_attention) if is_published else load_npnet(found)
    record = {} if is_published else read_record(found)
    model = record.get("model", model)
    if model is None:
        raise does_not_name_its_model(reference)
    stage: dict[str, Any] = {"kind": "convert", "layout": "goldennoise", "svd_attention": svd_attention}
    if not svd_attention:
        # An artifact of an earlier release, which took the mean before the last layers, is another network.
        stage["vector_mean"] = "after"
    identity = {"stage": stage, "source": source_digests(found), "model": model}
    if "selected_by" in record:
        config = {**config, "selected_by": record["selected_by"]}
    outcome = store.begin("npnet", name, version, identity, [], config)
    if isinstance(outcome, Artifact):
        print(f"{outcome.reference} is complete.")
        return outcome
    with outcome as draft:
        # A path on this machine tells nobody else anything.
        source = reference if is_hub_reference(reference) else Path(reference).name
        save_npnet(network, draft.path, {**record, "model": model, "source": source})
        artifact = draft.commit({"parameters": sum(parameter.numel() for parameter in network.parameters())})
    print(f"{artifact.reference}: imported from {reference}, {described(network.config, model)}")
    return artifact


def described(config: NetworkInputs, model: Mapping[str, Any]) -> str:
    """What an NPNet is for, in words."""
    return (
        f"for latents {' x '.join(map(str, config.latent_shape))} and text {config.num_tokens} x {config.text_dim} of "
        f"{model.get('path')}"
    )
