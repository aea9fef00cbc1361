"""NPNets from elsewhere, such as a hub repository or a published file, as npnet artifacts of the store."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldennoise.errors import ArtifactError, ModelError
from goldennoise.networks.checkpoint import CONFIG, WEIGHTS, find_npnet, load_npnet, read_record, save_npnet
from goldennoise.networks.config import NetworkInputs
from goldennoise.networks.published import SUFFIXES, load_published
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.store.files import file_digest
from goldennoise.store.hub import HUB_ID, local_path
from goldennoise.store.record import RECORD, STAGE_OF_KIND

_HUB_REFERENCE = re.compile(rf"(?P<repository>{HUB_ID.pattern})(?:@(?P<revision>[\w./-]+))?")


def resolve_network(store: ArtifactStore, reference: str) -> Artifact:
    """The npnet artifact that `reference` names; a hub id, "owner/name" or "owner/name@REVISION", is imported first.

    Raises `ArtifactError` for one that does not exist, `ModelError` for a repository that holds no NPNet.
    """
    path = local_path(reference)
    is_folder = path is not None and (path / CONFIG).is_file() and not (path / RECORD).exists()
    if path is not None and (path.is_file() or (is_folder and path.suffix != ".partial")):
        raise ArtifactError(
            f"{reference} is no artifact: make it one with stage=convert stage.npnet={reference} name=NAME, then give "
            "npnet/NAME@latest"
        )
    if not is_hub_reference(reference):
        return store.resolve(reference, "npnet")
    name = reference.partition("@")[0].replace("/", "--")
    stage = {"kind": "convert", "npnet": reference, "layout": "goldennoise", "svd_attention": True}
    return import_network(store, reference, name, "auto", {"stage": stage}, model=None)


def is_hub_reference(reference: str) -> bool:
    """Whether it can only mean a repository: nothing here is called so, and it is neither an artifact nor a file."""
    match = _HUB_REFERENCE.fullmatch(reference)
    return (
        match is not None
        and local_path(reference) is None
        and reference.partition("/")[0] not in STAGE_OF_KIND
        and Path(reference).suffix not in SUFFIXES
    )


def locate(reference: str) -> Path:
    """The folder or published file of a path or a hub reference, fetched if need be. Raises `ModelError`."""
    match = _HUB_REFERENCE.fullmatch(reference) if is_hub_reference(reference) else None
    return find_npnet(match["repository"], match["revision"]) if match else find_npnet(reference)


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

    config: what the record says was asked for. model: the identity of the model it was trained for, where the source
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
        raise ModelError(
            f"{reference} does not say which model it was trained for: import it with "
            f"stage=convert stage.npnet={reference} model=MODEL name=NAME, then give npnet/NAME@latest."
        )
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


def source_digests(found: Path) -> list[str]:
    """SHA-256 of the file, or of both files of the folder."""
    return [file_digest(file) for file in ([found] if found.is_file() else [found / WEIGHTS, found / CONFIG])]
