"""What a prompt set is: the SHA-256 of its files, and its name and version in words."""

from pathlib import Path

from goldennoise.data.prompts.folder import prompt_files
from goldennoise.data.prompts.prompt import PromptsConfig
from goldennoise.data.prompts.readers import READERS
from goldennoise.errors import DataError
from goldennoise.store.files import file_digest
from goldennoise.store.identity import digest_of_lines
from goldennoise.store.paths import given_path


def content_digest(path: Path, folder: str = "texts") -> str:
    """SHA-256 in hex of a prompt file; of a folder, of what `sha256sum *` prints of its prompt files (LC_ALL=C).

    folder: whether its files are texts or lists.
    """
    if not path.is_dir():
        return file_digest(path)
    return digest_of_lines([*(f"{file_digest(path / name)}  {name}" for name in sorted(files_of(path, folder))), ""])


def files_of(path: Path, folder: str) -> list[str]:
    """Names of the files of a folder that are read as its prompts, in natural order."""
    return prompt_files(path, [".txt"] if folder == "texts" else READERS)


def refuse_other_content(path: Path, config: PromptsConfig) -> None:
    """Raise `DataError` for a file or folder that is there and is not what `config.sha256` says."""
    if config.sha256 is None or not path.exists():
        return
    found = content_digest(path, config.folder)
    if found != config.sha256:
        raise DataError(
            f"{path} is not the published set: its SHA-256 is {found}, not {config.sha256}; get it again with "
            "stage=fetch stage.replace=true, or set prompts.sha256=null for a file of your own"
        )


def described(config: PromptsConfig) -> str:
    """The set in words: "drawbench.csv (version v1, SHA-256 e120fd4d8aa8), category Colors"."""
    if config.kind == "shapes":
        words = f"the shapes world, split {config.split}" + (", with tones" if config.tones else "")
    else:
        path = given_path(config.path or "")
        version = f"version {config.version}, " if config.version else ""
        words = f"{path.name} ({version}SHA-256 {content_digest(path, config.folder)[:12]})"
    return words if config.category is None else f"{words}, category {config.category}"
