"""A published prompt set onto this machine: from its addresses, or from a copy at hand."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from goldennoise.data.prompts.content import content_digest, files_of
from goldennoise.data.prompts.defects import shown
from goldennoise.data.prompts.files import prompts_of_file
from goldennoise.data.prompts.prompt import Prompt, PromptsConfig
from goldennoise.data.prompts.readers import READERS
from goldennoise.errors import ConfigError, DataError, shortened
from goldennoise.store.files import UNFINISHED, remove, sync
from goldennoise.store.paths import expanded, given_path

TIMEOUT_S = 60
"""Without an answer of a server."""


@dataclass(frozen=True)
class Fetched:
    """A set on this machine. was_there: whether it was there before `fetch`."""

    path: Path
    prompts: list[Prompt]
    sha256: str
    was_there: bool


def fetch(config: PromptsConfig, copy: str | None, replace_other: bool) -> Fetched:
    """The set of `config` at its path, checked and read.

    copy: a file or folder to take in place of the addresses. replace_other: put it in the place of another content.
    Raises `ConfigError` for a set without address or copy, `DataError` for what cannot be reached, read or written, and
    for another content than `config.sha256` says, from the source or at the path; the path stays as it was then.
    """
    if config.kind != "file":
        raise ConfigError(
            "prompts.kind=shapes, the default, is part of the package; choose a published set, as in prompts=parti"
        )
    path = given_path(config.path or "")
    is_folder = path.suffix.lower() not in READERS
    if path.exists() and path.is_dir() != is_folder:
        raise DataError(f"{path} is {_kind(not is_folder)}, the set is {_kind(is_folder)}; choose another prompts.path")
    if path.exists() and not (replace_other and content_digest(path, config.folder) != config.sha256):
        return _read(config, path, was_there=True)
    if copy is None:
        urls = _addresses(config)
        files = {_name(url) if is_folder else path.name: _downloaded(url) for url in urls}
        origin = urls[0].rpartition("/")[0] if is_folder else urls[0]
    else:
        files, origin = _copied(config, expanded(copy), path.name, is_folder), copy
    _put(config, path, is_folder, files, origin)
    return _read(config, path, was_there=False)


def _kind(is_folder: bool) -> str:
    return "a folder" if is_folder else "a file"


def _read(config: PromptsConfig, path: Path, was_there: bool) -> Fetched:
    prompts = prompts_of_file(replace(config, path=str(path)))
    return Fetched(path, prompts, content_digest(path, config.folder), was_there)


def _addresses(config: PromptsConfig) -> tuple[str, ...]:
    """Raises `ConfigError` if there are none, or one is not of the web."""
    if not config.urls:
        of = f" of {config.source}" if config.source else ""
        raise ConfigError(f"prompts.urls=[]: no address is known; get a copy{of} and give it with stage.source=PATH")
    for url in config.urls:
        if not url.startswith(("https://", "http://")):
            raise ConfigError(f"prompts.urls={shortened(url)}: an address begins with https:// or http://")
    return tuple(config.urls)


def _name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


def _downloaded(url: str) -> bytes:
    instead = "try again, or give a copy with stage.source=PATH"
    try:
        with urlopen(Request(url, headers={"User-Agent": "goldennoise"}), timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read()
            return content
    except HTTPError as error:
        raise DataError(f"{shortened(url, 200)} answers {error.code} {shortened(error.reason)}; {instead}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = shortened(getattr(error, "reason", error))
        raise DataError(f"{shortened(url, 200)} cannot be reached ({reason}); {instead}") from None


def _copied(config: PromptsConfig, copy: Path, name: str, is_folder: bool) -> dict[str, bytes]:
    """Of a folder the files that the addresses name, or all of them if there are no addresses."""
    try:
        if not copy.exists():
            raise DataError(f"stage.source={shortened(copy)}: no such file or folder; give a copy of the set")
        if copy.is_dir() != is_folder:
            raise DataError(
                f"stage.source={shortened(copy)} is {_kind(not is_folder)}; give {_kind(is_folder)}, as the set is"
            )
        if not is_folder:
            return {name: copy.read_bytes()}
        names = [_name(url) for url in config.urls] or files_of(copy, config.folder)
        if missing := [each for each in names if not (copy / each).is_file()]:
            raise DataError(f"stage.source={shortened(copy)} lacks {shown(missing)}; give a whole copy of the set")
        return {each: (copy / each).read_bytes() for each in names}
    except OSError as error:
        raise DataError(f"stage.source={shortened(copy)} cannot be read ({error.strerror}); give another") from None


def _put(config: PromptsConfig, path: Path, is_folder: bool, files: Mapping[str, bytes], origin: str) -> None:
    """Write the files beside `path`, check them there, and then rename them."""
    others = [name for name in files_of(path, config.folder) if name not in files] if path.is_dir() else []
    if others:
        raise DataError(f"{path} holds {shown(others)}, which the set lacks; move away what is not the set's")
    beside = path.with_name(f"{path.name}{UNFINISHED}")
    try:
        remove(beside)
        beside.mkdir(parents=True)
        for name, content in files.items():
            (beside / name).write_bytes(content)
            sync(beside / name)
        _refuse_unfit(config, beside if is_folder else beside / path.name, origin)
        if is_folder:
            path.mkdir(exist_ok=True)
        for name in files:
            (beside / name).replace(path / name if is_folder else path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); choose another prompts.path") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _refuse_unfit(config: PromptsConfig, written: Path, origin: str) -> None:
    """Raise `DataError` for another content, and for one that cannot be read where its SHA-256 is not known."""
    found = content_digest(written, config.folder)
    if config.sha256 is not None and found != config.sha256:
        raise DataError(
            f"{origin} is not the published set: its SHA-256 is {found}, not {config.sha256}; give another copy with "
            "stage.source=PATH, or take this one with prompts.sha256=null"
        )
    if config.sha256 is None:
        try:
            prompts_of_file(replace(config, path=str(written)))
        except DataError as error:
            raise DataError(str(error).replace(str(written), origin)) from None
