"""Artifacts: finished folders `<root>/<kind>/<name>/<version>/` whose record.json says what they are made of."""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from goldennoise.errors import ArtifactError, nearest, require, shortened
from goldennoise.store.drafts import DRAFT, Draft, Lock
from goldennoise.store.files import remove, write_json
from goldennoise.store.hub import local_path
from goldennoise.store.identity import fingerprint
from goldennoise.store.origin import timestamp
from goldennoise.store.record import RECORD, STAGE_OF_KIND, Artifact, read_artifact, read_header
from goldennoise.store.versions import VERSION, complete, names, number, unfinished

__all__ = ["Artifact", "ArtifactStore", "Draft"]

log = logging.getLogger(__name__)
Found = TypeVar("Found")

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_REFERENCE = re.compile(
    rf"(?:(?P<kind>{'|'.join(STAGE_OF_KIND)})/)?(?P<name>{_NAME})(?:@(?P<version>latest|v[1-9][0-9]{{0,8}}))?"
)
WILDCARD = re.compile(r"[*?[]")
"""A character of a name or a version that stands for several."""
_PATTERN = re.compile(rf"(?:(?P<kind>{'|'.join(STAGE_OF_KIND)})/)?(?P<name>[^/@]+)(?:@(?P<version>[^/@]+))?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?|.*\.(partial|lock|tmp|)", re.IGNORECASE)
"""Devices of Windows, endings of our unfinished files, and a dot at the end, which Windows leaves out."""
LONGEST_NAME = 100
"""In characters: file systems take 255 bytes, and endings follow."""


class ArtifactStore:
    """All artifacts below one folder, usually "outputs"."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def resolve(self, reference: str, kind: str) -> Artifact:
        """The complete artifact called "pairs/shapes@latest", "shapes@v2" or "shapes" (= latest), or a folder.

        A folder may begin with `~`. Raises `ArtifactError` if it is missing, unfinished or of another kind than `kind`.
        """
        match, path = _REFERENCE.fullmatch(reference), local_path(reference)
        if path is not None and (match is None or (path / RECORD).is_file()):
            return self._at_path(path, kind)
        if match is None:
            raise ArtifactError(
                f"{shortened(reference)} is neither a folder nor the name of an artifact: write {kind}/NAME@vN, "
                f"{kind}/NAME@latest or the folder of a version"
            )
        if match["kind"] not in (None, kind):
            raise _wrong_kind(reference, match["kind"], kind)
        return self._named(match["name"], match["version"] or "latest", kind)

    def matching(self, pattern: str, kind: str) -> list[Artifact]:
        """Complete artifacts that a reference means, whose name and version may have the wildcards of a shell.

        "scores/demo" is the latest version, "scores/demo@*" every version, "scores/*" every version of every name.
        They come in the order of names and versions. Raises what `resolve` raises, and `ArtifactError` for no match.
        """
        match = _PATTERN.fullmatch(pattern) if WILDCARD.search(pattern) else None
        if match is None:
            return [self.resolve(pattern, kind)]
        if match["kind"] not in (None, kind):
            raise _wrong_kind(pattern, match["kind"], kind)
        known, wanted, found = names(self.root / kind), match["version"] or "*", []
        for name in (name for name in known if fnmatchcase(name, match["name"])):
            folder = self.root / kind / name
            every = complete(folder)
            chosen = every[-1:] if wanted == "latest" else [one for one in every if fnmatchcase(one, wanted)]
            found += [read_artifact(folder / version) for version in chosen]
        if not found:
            there = f"there are {', '.join(known)}" if known else f"make one with stage={STAGE_OF_KIND[kind]}"
            raise ArtifactError(f"no {kind} artifact in {self.root / kind} is called {shortened(pattern)}: {there}")
        return found

    def begin(
        self,
        kind: str,
        name: str,
        version: str,
        identity: Mapping[str, Any],
        inputs: Sequence[Artifact],
        config: Mapping[str, Any],
    ) -> Artifact | Draft:
        """The complete artifact of this fingerprint, or a locked draft to make, go on with or repair it.

        identity: the JSON-like fields of the config that decide the content. config: the whole resolved config.
        version "auto": a complete one of this fingerprint, else an unfinished one, else the next vN.
        A complete one with missing or changed files becomes a draft again, which names them as `damaged`.
        Raises `ArtifactError` for an explicit version made from something else, or one that another process writes.
        """
        check_name(name, version)
        wanted = _wanted(kind, name, identity, inputs)
        folder = self.root / kind / name
        folder.mkdir(parents=True, exist_ok=True)
        with Lock(folder / ".lock", wait=True):
            found = self._find(folder, wanted) if version == "auto" else self._explicit(folder, version, wanted)
            if isinstance(found, str):
                return _draft(folder, found, wanted, config)
            return found if not (damaged := found.damaged()) else _reopen(found, damaged, wanted)

    def find(
        self, kind: str, name: str, version: str, identity: Mapping[str, Any], inputs: Sequence[Artifact]
    ) -> Artifact | None:
        """The artifact that `begin` would find complete; None where it would give a draft or raise."""
        wanted = fingerprint(identity, [source.fingerprint for source in inputs])
        same = [found for found in self.versions(kind, name) if found.fingerprint == wanted]
        chosen = next((found for found in same if version in ("auto", found.version)), None)
        return chosen if chosen is not None and not chosen.damaged() else None

    def versions(self, kind: str, name: str) -> list[Artifact]:
        """Complete versions, the newest first; one with a damaged record is passed over with a warning."""
        folder = self.root / kind / name
        read = (_unless_damaged(read_artifact, folder / version) for version in reversed(complete(folder)))
        return [artifact for artifact in read if artifact is not None]

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact; a removal that is killed leaves nothing that looks complete."""
        with Lock(artifact.path.parent / ".lock", wait=True):
            remove(artifact.path / RECORD)
            remove(artifact.path)

    def _named(self, name: str, version: str, kind: str) -> Artifact:
        folder = self.root / kind / name
        versions = complete(folder)
        chosen = versions[-1] if versions and version == "latest" else version
        if chosen in versions:
            return read_artifact(folder / chosen)
        if (partial := unfinished(folder)) and (version == "latest" or version in partial):
            raise _unfinished(f"{kind}/{name}@{partial[-1] if version == 'latest' else version}", kind)
        if versions:
            raise ArtifactError(f"{kind}/{name} has no {version}: complete versions are {', '.join(versions)}")
        parent = self.root / kind
        known = names(parent)
        mend = f"there are {', '.join(known)}" if known else f"make one with stage={STAGE_OF_KIND[kind]} name={name}"
        raise ArtifactError(f"no {kind} artifact called {name} in {parent}: {mend}{nearest(name, known)}")

    def _at_path(self, path: Path, kind: str) -> Artifact:
        if not path.is_dir():
            raise ArtifactError(f"{path} is no folder of an artifact: write {kind}/NAME@vN or name the folder")
        if path.name.endswith(".partial"):
            raise _unfinished(str(path), kind)
        if not (path / RECORD).is_file():
            raise ArtifactError(f"{path} is not a complete artifact: it has no {RECORD}; name the folder of a version")
        artifact = read_artifact(path)
        if artifact.kind != kind:
            raise _wrong_kind(str(path), artifact.kind, kind)
        return artifact

    def _find(self, folder: Path, wanted: dict[str, Any]) -> Artifact | str:
        for artifact in self.versions(wanted["kind"], wanted["name"]):
            if artifact.fingerprint == wanted["fingerprint"]:
                return artifact
        partial = unfinished(folder)
        for version in reversed([version for version in partial if not (folder / version).exists()]):
            header = _unless_damaged(read_header, folder / f"{version}.partial" / DRAFT)
            if header is not None and header["fingerprint"] == wanted["fingerprint"]:
                return version
        # A folder that lost its record keeps its number too.
        taken = [entry.name for entry in folder.iterdir() if VERSION.fullmatch(entry.name)]
        return f"v{max(map(number, (*taken, *partial)), default=0) + 1}"

    def _explicit(self, folder: Path, version: str, wanted: dict[str, Any]) -> Artifact | str:
        if version in complete(folder):
            artifact = read_artifact(folder / version)
            _refuse_other(artifact.record, wanted, artifact.reference)
            return artifact
        if (folder / version).exists():
            raise ArtifactError(
                f"{folder / version} is not a complete artifact: it has no {RECORD}; restore it, delete the folder, or "
                "choose another version"
            )
        if version in unfinished(folder):
            header = read_header(folder / f"{version}.partial" / DRAFT)
            _refuse_other(header, wanted, f"{wanted['kind']}/{wanted['name']}@{version}")
        return version


def _wanted(kind: str, name: str, identity: Mapping[str, Any], inputs: Sequence[Artifact]) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "fingerprint": fingerprint(identity, [source.fingerprint for source in inputs]),
        "identity": dict(identity),
        "inputs": [{"reference": source.reference, "fingerprint": source.fingerprint} for source in inputs],
    }


def _draft(folder: Path, version: str, wanted: dict[str, Any], config: Mapping[str, Any]) -> Draft:
    lock = Lock(folder / f".{version}.lock")
    partial = folder / f"{version}.partial"
    resumed = (partial / DRAFT).is_file()
    began = read_header(partial / DRAFT) if resumed else {"config": dict(config), "start": timestamp()}
    if not resumed:
        # A folder without its draft.json was killed before any work began.
        remove(partial)
        partial.mkdir()
    return Draft(partial, _write_header(partial, version, wanted, began), lock, resumed)


def _write_header(folder: Path, version: str, wanted: dict[str, Any], began: Mapping[str, Any]) -> dict[str, Any]:
    """The draft.json of `folder`, whatever one said there: its fingerprint is known, the rest may be damaged.

    began: the config of the run that began it, and when.
    """
    header = {**wanted, "version": version, "config": began["config"], "start": began["start"]}
    write_json(folder / DRAFT, header)
    return header


def _unless_damaged(read: Callable[[Path], Found], path: Path) -> Found | None:
    """What `read` gives for another version's file; None, with a warning, where it is damaged."""
    try:
        return read(path)
    except ArtifactError as error:
        log.warning("%s is passed over: %s", path, error)
        return None


def _reopen(artifact: Artifact, damaged: list[str], wanted: dict[str, Any]) -> Draft:
    """A complete artifact becomes a draft again, without its damaged files."""
    log.warning("%s is damaged and is repaired: %s", artifact.reference, ", ".join(damaged))
    version = artifact.path.name
    lock = Lock(artifact.path.parent / f".{version}.lock")
    for name in damaged:
        remove(artifact.path / name)
    header = _write_header(artifact.path, version, wanted, artifact.record)
    partial = artifact.path.with_name(f"{version}.partial")
    artifact.path.rename(partial)
    (partial / RECORD).unlink()
    return Draft(partial, header, lock, resumed=True, damaged=damaged)


def check_name(name: str, version: str) -> None:
    """Raise `ConfigError` unless `name` can be a folder and `version` is "auto" or "v1", "v2", ..."""
    allowed = allowed_name(name)
    require(allowed is None, "name", name, str(allowed))
    require(version == "auto" or VERSION.fullmatch(version) is not None, "version", version, "auto, or v1, v2, ...")


def allowed_name(name: object) -> str | None:
    """What a name must be to be that of a file or a folder on every system; None if `name` is."""
    if not isinstance(name, str) or re.fullmatch(_NAME, name) is None or len(name) > LONGEST_NAME:
        return f"letters, digits, '_', '.' and '-', the first a letter or digit, {LONGEST_NAME} of them at most"
    if _RESERVED.fullmatch(name):
        return "another: names of devices and the endings '.partial', '.lock', '.tmp' and '.' are reserved"
    return None


def _refuse_other(existing: Mapping[str, Any], wanted: Mapping[str, Any], reference: str) -> None:
    if existing["fingerprint"] == wanted["fingerprint"]:
        return
    old = _flat({"": existing["identity"], "inputs": [source["reference"] for source in existing["inputs"]]})
    new = _flat({"": wanted["identity"], "inputs": [source["reference"] for source in wanted["inputs"]]})
    changes = [
        f"{key} {old.get(key, 'unset')} -> {new.get(key, 'unset')}"
        for key in sorted({*old, *new})
        if old.get(key, "unset") != new.get(key, "unset")
    ]
    raise ArtifactError(
        f"{reference} exists and was made from something else ({'; '.join(changes) or 'the content of its inputs'}): "
        "choose another version, or version=auto for the next free one"
    )


def _flat(value: object, prefix: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        parts = [
            _flat(part, f"{prefix}.{key}" if prefix and key else prefix or str(key)) for key, part in value.items()
        ]
        return {key: text for part in parts for key, text in part.items()}
    return {prefix: json.dumps(value, ensure_ascii=False)}


def _unfinished(reference: str, kind: str) -> ArtifactError:
    return ArtifactError(
        f"{reference} is unfinished: run its {STAGE_OF_KIND[kind]} command again, it goes on where it stopped"
    )


def _wrong_kind(reference: str, found: str, kind: str) -> ArtifactError:
    return ArtifactError(
        f"{reference} is of kind {found}, and {kind} is needed here: stage={STAGE_OF_KIND[kind]} makes those"
    )
