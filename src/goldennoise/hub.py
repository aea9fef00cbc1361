"""Single files of weights from a local folder or the Hugging Face hub, with errors a person can act on."""

import hashlib
from pathlib import Path

from goldennoise.errors import ModelError


def find_file(source: str, file: str, *, revision: str | None = None, sha256: str | None = None) -> Path:
    """A file here, fetched and kept in the hub's own cache where it must be.

    source: a local folder that holds `file`, or a hub id "owner/name"; revision: of the hub's repository.
    sha256: what the file must hash to, in hex; None where it is not known.

    Raises:
        ModelError: the file is not to be had, which names it and the command that fetches it, or it is damaged.
    """
    folder = Path(source).expanduser()
    path = folder / file if folder.is_dir() else _from_hub(source, file, revision)
    if not path.is_file():
        raise ModelError(f"{path} does not exist: {source} is a folder, so {file} must lie in it.")
    if sha256 is not None:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != sha256:
            raise ModelError(
                f"{path} is damaged or another file: its SHA-256 is {found}, expected {sha256}; delete it and fetch it "
                "again."
            )
    return path


def _from_hub(repository: str, file: str, revision: str | None) -> Path:
    # The command line reads every scorer's module before it needs the hub.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except (OSError, ValueError, EntryNotFoundError) as error:
        command = f"hf download {repository} {file}" + (f" --revision {revision}" if revision else "")
        raise ModelError(
            f"{file} of {repository} is neither in a folder here nor in the download cache and could not be fetched: "
            f"check the name, then run `{command}` where there is a network."
        ) from error
