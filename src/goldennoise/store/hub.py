"""Files of weights from a local folder or the Hugging Face hub and back, with errors a person can act on."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldennoise.errors import GoldenNoiseError, ModelError, require, shortened
from goldennoise.store.files import file_digest

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
"""How a repository of the hub is called: "owner/name"."""
MAX_LAYERS = 1000
"""In each part of a network that transformers builds; published ones have fewer than a hundred."""


def find_file(source: str, file: str, *, revision: str | None = None, sha256: str | None = None) -> Path:
    """A file here, fetched and kept in the hub's own cache where it must be.

    source: a local folder that holds `file`, or a hub id "owner/name"; revision: of the hub's repository.
    sha256: what the file must hash to, in hex; None where it is not known.

    Raises:
        ModelError: the file is damaged, or missing: then the message names the command that fetches it.
    """
    folder = local_path(source)
    path = folder / file if folder is not None and folder.is_dir() else _from_hub(source, file, revision)
    if path.is_dir():
        raise ModelError(f"{path} is a folder: give a folder that holds a file {file}.")
    if not path.is_file():
        raise ModelError(f"{path} does not exist: {source} is a folder, so {file} must lie in it.")
    if sha256 is not None:
        found = file_digest(path)
        if found != sha256:
            raise ModelError(
                f"{path} is damaged or another file: its SHA-256 is {found}, expected {sha256}; delete it and fetch it "
                "again."
            )
    return path


def digest(source: str, file: str, *, revision: str | None = None, sha256: str | None = None) -> str | None:
    """First 12 hex digits of the SHA-256 of a file that `find_file` would find, `sha256` itself where it is known.

    None for a file that is not on this machine: nothing is fetched.
    """
    if sha256 is not None:
        return sha256[:12]
    path = _here(source, file, revision)
    return None if path is None else file_digest(path)[:12]


def _here(source: str, file: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    folder = local_path(source)
    if folder is not None and folder.is_dir():
        return folder / file if (folder / file).is_file() else None
    try:
        cached = try_to_load_from_cache(source, file, revision=revision)
    except ValueError:  # no name of a repository
        return None
    return Path(cached) if isinstance(cached, str) else None


def local_path(source: str | Path) -> Path | None:
    """The file or folder of this machine that `source` names, with `~` expanded; None where there is none.

    Raises `ModelError` for a name that cannot be looked up here.
    """
    try:
        path = Path(source).expanduser()
        return path if path.exists() else None
    except (RuntimeError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"{shortened(source)} cannot be looked up ({reason}): give another path.") from error


def read_description(path: Path, what: str, error: type[GoldenNoiseError]) -> dict[str, Any]:
    """The `config.json` of `what`, a network that transformers builds.

    Raises `error` for a file that is no JSON object, and for more layers than a network has, which would take for ever.
    """
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as cause:
        raise error(f"{path} describes no {what} ({shortened(cause, 200)}): fetch it again.") from cause
    if not isinstance(described, dict):
        raise error(f"{path} describes no {what} (it is no JSON object): fetch it again.")
    if (layers := _num_layers(described)) > MAX_LAYERS:
        raise error(f"{path} describes no {what} (it has {shortened(layers, 20)} layers): fetch it again.")
    return described


def _num_layers(described: Mapping[str, Any]) -> int:
    """The largest whole number under a name of layers."""
    found = [0]
    for name, value in described.items():
        if isinstance(value, dict):
            found.append(_num_layers(value))
        elif name.endswith(("layers", "depths")):
            found += [size for size in (value if isinstance(value, list) else [value]) if isinstance(size, int)]
    return max(found)


def hub_files(repository: str, revision: str | None = None) -> list[str]:
    """Names of all files of a repository; none where the hub does not answer."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError

    try:
        return HfApi().list_repo_files(repository, revision=revision)
    except (OSError, ValueError, HTTPError):
        return []


def upload(folder: Path, repository: str) -> str:
    """Commit the files of a folder to a repository, made if there is none; gives the commit's address.

    Raises `ConfigError` for what cannot be a repository's name, `ModelError` when the hub does not take the files.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError

    require(HUB_ID.fullmatch(repository) is not None, "repository", repository, 'a hub id such as "owner/name"')
    api = HfApi()
    try:
        api.create_repo(repository, exist_ok=True)
        return api.upload_folder(repo_id=repository, folder_path=folder).commit_url
    except (OSError, ValueError, HTTPError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{repository} could not be written ({reason}): log in with `hf auth login`, check that the name is yours, "
            "and try again where there is a network."
        ) from error


def _from_hub(repository: str, file: str, revision: str | None) -> Path:
    # The command line reads every scorer's module before it needs the hub.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except (OSError, ValueError, EntryNotFoundError) as error:
        repository = shortened(repository)
        command = f"hf download {repository} {file}" + (f" --revision {shortened(revision)}" if revision else "")
        raise ModelError(
            f"{file} of {repository} is neither in a folder here nor in the download cache and could not be fetched: "
            f"check the name, then run `{command}` where there is a network."
        ) from error
