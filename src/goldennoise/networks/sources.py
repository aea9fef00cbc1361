"""Where a trained network lies: in the store, in a folder or file, in the package, on the hub. Loads no weights."""

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from goldennoise import networks
from goldennoise.errors import ArtifactError, ModelError, nearest, shortened
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.store.files import file_digest
from goldennoise.store.hub import HUB_ID, find_file, hub_files, local_path
from goldennoise.store.identity import fingerprint
from goldennoise.store.record import RECORD, STAGE_OF_KIND, read_artifact

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = "goldennoise-npnet-1"
SUFFIXES = (".safetensors", ".pth", ".pt")
"""Of files that may be published checkpoints."""
PACKAGED = {f"packaged/{model}": Path(__file__).parent / "packaged" / model for model in ("shapes", "shapes_turbo")}
"""Networks that come with the package, called as a hub repository would be."""
_HUB_REFERENCE = re.compile(rf"(?P<repository>{HUB_ID.pattern})(?:@(?P<revision>[\w./-]+))?")


class Outside(Artifact):
    """A network that is used where it lies, outside of any store: of the package, or of a hub repository."""

    @property
    def reference(self) -> str:
        """As the user wrote it, "packaged/shapes" or "owner/name@REVISION"."""
        return self.name


def resolve_network(store: ArtifactStore, reference: str) -> Artifact:
    """The npnet artifact that `reference` names, or what is used where it lies: a packaged network, a hub repository.

    Raises `ArtifactError` for one that does not exist, `ModelError` for a repository that holds no NPNet, or one that
    does not name its model.
    """
    _refuse_unpackaged(reference)
    path = local_path(reference)
    is_folder = path is not None and (path / CONFIG).is_file() and not (path / RECORD).exists()
    if path is not None and (path.is_file() or (is_folder and path.suffix != ".partial")):
        raise ArtifactError(
            f"{reference} is no artifact: make it one with stage=convert stage.npnet={reference} name=NAME, then give "
            "npnet/NAME@latest"
        )
    return _outside(reference, locate(reference)) if is_hub_reference(reference) else store.resolve(reference, "npnet")


def network_at(reference: str, folder: Path, fingerprint: str) -> Artifact:
    """What `resolve_network` gave for `reference` in another process, which tells its folder and its fingerprint.

    Another machine may keep a network that is used where it lies in a folder of its own, or has to fetch it. Raises
    `ArtifactError` if it is another network there.
    """
    if not is_hub_reference(reference):
        return read_artifact(folder)
    found = _outside(reference, folder if folder.is_dir() else locate(reference))
    if found.fingerprint != fingerprint:
        raise ArtifactError(
            f"{reference} is another network on this machine than on the first one: fetch it again on both, or name a "
            "revision"
        )
    return found


def _outside(reference: str, folder: Path) -> Outside:
    """Has the identity, and the fingerprint, of the artifact that stage=convert would make of it."""
    said = read_record(folder)
    if "model" not in said:
        raise does_not_name_its_model(reference)
    stage = {"kind": "convert", "layout": "goldennoise", "svd_attention": True}
    identity = {"stage": stage, "source": source_digests(folder), "model": said["model"]}
    selected_by = {"selected_by": said["selected_by"]} if "selected_by" in said else {}
    record = {
        "fingerprint": fingerprint(identity, []),
        "identity": identity,
        "inputs": [],
        "config": {"stage": stage, **selected_by},
        "counts": {},
        "files": {},
    }
    return Outside("npnet", reference, "", folder, record)


def does_not_name_its_model(reference: str) -> ModelError:
    """What to raise for a network where nobody says which model it is for."""
    return ModelError(
        f"{reference} does not say which model it was trained for: import it with "
        f"stage=convert stage.npnet={reference} model=MODEL name=NAME, then give npnet/NAME@latest."
    )


def source_digests(found: Path) -> list[str]:
    """SHA-256 of the file, or of both files of the folder."""
    return [file_digest(file) for file in ([found] if found.is_file() else [found / WEIGHTS, found / CONFIG])]


def is_hub_reference(reference: str) -> bool:
    """Whether it can only mean a repository: nothing here is called so, and it is neither an artifact nor a file."""
    match = _HUB_REFERENCE.fullmatch(reference)
    return (
        match is not None
        and local_path(reference) is None
        and reference.partition("/")[0] not in STAGE_OF_KIND
        and Path(reference).suffix not in SUFFIXES
    )


def is_remote(reference: str) -> bool:
    """Whether it is read from the hub, or from the hub's cache here."""
    return is_hub_reference(reference) and reference not in PACKAGED


def locate(reference: str) -> Path:
    """The folder or published file of a path or a hub reference, fetched if need be. Raises `ModelError`."""
    match = _HUB_REFERENCE.fullmatch(reference) if is_hub_reference(reference) else None
    return find_npnet(match["repository"], match["revision"]) if match else find_npnet(reference)


def find_npnet(source: str | Path, revision: str | None = None) -> Path:
    """The folder that `save_npnet` wrote or the published file, here on the disk; fetched if `source` is a hub id.

    Raises `ModelError` for what does not exist and for what is neither.
    """
    path = local_path(source)
    if path is None:
        _refuse_unpackaged(str(source))
    if path is None and source in PACKAGED:
        return PACKAGED[str(source)]
    if path is None and HUB_ID.fullmatch(str(source)) and Path(source).suffix not in SUFFIXES:
        return _fetched(str(source), revision)
    if path is None:
        raise ModelError(
            f"{shortened(source)} does not exist: give the folder or the file of a trained NPNet, or a hub id."
        )
    if path.is_dir():
        _refuse_published_alone(str(source), [entry.name for entry in path.iterdir()], f"give {path}/")
        return path
    if path.name == WEIGHTS and (path.parent / CONFIG).is_file():
        return path.parent
    if path.suffix in SUFFIXES:
        return path
    raise ModelError(
        f"{path} is no NPNet: give a folder with {WEIGHTS} and {CONFIG}, or a file {', '.join(SUFFIXES)}; rename what "
        "torch or Lightning saved under another suffix to .pth."
    )


def _refuse_unpackaged(reference: str) -> None:
    """Raise `ModelError` for a packaged network that does not exist."""
    if is_unpackaged(reference):
        raise ModelError(
            f"{shortened(reference)}: no network for this model comes with the package, only {', '.join(PACKAGED)}: "
            f"give one of these, or train one and give its artifact{nearest(reference, PACKAGED)}"
        )


def is_unpackaged(reference: str) -> bool:
    """Whether it names a packaged network that does not exist."""
    return reference.startswith("packaged/") and reference not in PACKAGED


def read_record(folder: Path) -> dict[str, Any]:
    """What `save_npnet` was told on where the network comes from. Raises `ModelError` for a damaged configuration."""
    record = read_content(folder / CONFIG).get("record", {})
    model = record.get("model", {}) if isinstance(record, dict) else None
    selected_by = record.get("selected_by", []) if isinstance(record, dict) else None
    is_model = isinstance(model, dict) and isinstance(model.get("path", ""), str)
    if not is_model or not isinstance(selected_by, list) or not all(isinstance(name, str) for name in selected_by):
        raise ModelError(
            f"{folder / CONFIG} has a record that no NPNet has: its model must be a mapping with a path, and "
            "selected_by a list of scorers; copy it again."
        )
    return record


def needs_model(folder: Path) -> bool:
    """Whether the network in a folder works inside the text-to-image model. Raises `ModelError` for no network."""
    network = read_content(folder / CONFIG).get("network")
    architecture = network.get("architecture") if isinstance(network, dict) else None
    kind = architecture.get("kind") if isinstance(architecture, dict) else None
    # What is wrong with another kind is said by what loads it.
    return kind in networks.kinds() and bool(networks.component(kind).Config.needs_model)


def _fetched(repository: str, revision: str | None) -> Path:
    try:
        folder = find_file(repository, CONFIG, revision=revision).parent
    except ModelError:
        at = f" --revision {revision}" if revision else ""
        fetch = f"run `hf download {repository}{at} FILE` and give the path that it prints, FILE being "
        _refuse_published_alone(repository, hub_files(repository, revision), fetch)
        raise
    find_file(repository, WEIGHTS, revision=revision)
    return folder


def _refuse_published_alone(source: str, files: Collection[str], hint: str) -> None:
    """Raise `ModelError` for a folder or repository without our configuration but with what may be published files."""
    found = sorted(name for name in files if Path(name).suffix in SUFFIXES)
    if found and CONFIG not in files:
        raise ModelError(
            f"{source} holds no {CONFIG} of an NPNet folder, but {', '.join(found)}: if that is a published "
            f"checkpoint, {hint}{found[0]}."
        )


def read_content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path} does not exist: an NPNet folder holds {WEIGHTS} and {CONFIG}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is no JSON ({error}): copy or train the network again.") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): give a file that you may read.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f'{path} is not the configuration of an NPNet: it must say "format": "{FORMAT}".')
    return content
