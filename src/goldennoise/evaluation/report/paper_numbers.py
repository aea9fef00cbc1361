"""Numbers that others published: `papers/*.yaml`, each setting with its source. Imports no torch."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from goldennoise.errors import ConfigError, DataError, nearest, one_line, shortened

PAPERS = Path(__file__).parent / "papers"

_Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Row = Annotated[Mapping[_Text, _Number], Field(min_length=1)]


class Published(BaseModel):
    """One published setting. values: method -> metric -> value; what was not published is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: _Text
    setting: _Text
    source: _Text
    values: Annotated[Mapping[_Text, _Row], Field(min_length=1)]


class _Models(BaseModel):
    """Settings of the models that have one of `names` in theirs."""

    model_config = ConfigDict(extra="forbid")

    names: list[_Text]
    own_weights: bool = False
    settings: list[Published]


def read_papers(folder: Path) -> dict[str, list[_Models]]:
    """Name of a file -> its entries. Raises `DataError` for a number without a setting or a source."""
    found = {}
    for file in sorted(folder.glob("*.yaml")):
        try:
            found[file.stem] = TypeAdapter(list[_Models]).validate_python(_content(file))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise DataError(
                f"{file}: {place} is missing or wrong ({first['msg'].lower()}): every published number stands in a "
                "setting that has an id, a setting and a source in words"
            ) from None
        _refuse_repeated(file, [setting.id for entry in found[file.stem] for setting in entry.settings])
    return found


def _content(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is no YAML in UTF-8: {one_line(str(error))}") from None


def _refuse_repeated(file: Path, ids: Sequence[str]) -> None:
    for place, one in enumerate(ids):
        if one in ids[:place]:
            raise DataError(f"{file}: two settings have the id {one}; every setting has its own")


def published_for(model_name: str) -> tuple[Published, ...]:
    """What is published for a model, by its name; nothing for a model that nobody published numbers for."""
    name = model_name.casefold().replace("_", "-")
    entries = [entry for paper in _papers().values() for entry in paper]
    entry = next((entry for entry in entries if any(part in name for part in entry.names)), None)
    if entry is None or (entry.own_weights and " with " in name):
        return ()
    return tuple(entry.settings)


def published_by_id(chosen: Sequence[str]) -> tuple[Published, ...]:
    """The settings called "golden_noise/sdxl_pickapic", .... Raises `ConfigError` for a name that is none."""
    known = {
        f"{paper}/{setting.id}": setting
        for paper, entries in _papers().items()
        for entry in entries
        for setting in entry.settings
    }
    for name in chosen:
        if name not in known:
            raise ConfigError(
                f"stage.published={shortened(name)}: there is no such setting; choose from {', '.join(known)}"
                f"{nearest(name, known)}"
            )
    return tuple(known[name] for name in chosen)


@cache
def _papers() -> dict[str, list[_Models]]:
    return read_papers(PAPERS)
