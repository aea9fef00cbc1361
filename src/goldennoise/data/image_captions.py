"""What a folder of images itself says about them: a table, or the layout in which a benchmark keeps its images."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from goldennoise.data.images import find_images
from goldennoise.data.prompts import Prompt, PromptsConfig
from goldennoise.data.prompts.defects import Defect, refuse, shown
from goldennoise.data.prompts.files import numbered_prompts
from goldennoise.data.prompts.readers import read_rows
from goldennoise.data.prompts.rows import Rows
from goldennoise.errors import DataError, shortened

FILE = "file_name"
TABLES = ("metadata.csv", "metadata.jsonl")
"""As folders of images with texts are laid out on the Hugging Face hub (imagefolder)."""

RECORD = "metadata.jsonl"
SAMPLES = "samples"
_T2I_NAME = re.compile(r"(.+)_\d{6}")


@dataclass(frozen=True)
class Captions:
    """Image -> prompt. by: what says so, in a message. read: the files it was read from."""

    prompts: dict[str, Prompt]
    by: str
    read: frozenset[str] = frozenset()


def read_captions(folder: Path, files: Sequence[str], config: PromptsConfig, own: bool) -> Captions | None:
    """By the table of the folder, GenEval's layout or T2I-CompBench's; None where there is none of them.

    files: all files of the folder. own: whether the columns of `config` are those of the folder's table; they are
    another file's otherwise, and of the table are taken where it has them.
    Raises `DataError` for two tables, one that cannot be read, and a file that it names and the folder lacks.
    """
    tables = [name for name in TABLES if name in files]
    if len(tables) > 1:
        raise DataError(f"{folder} holds {' and '.join(tables)}; keep one of them")
    if tables:
        rows = read_rows(folder / tables[0])
        if FILE in rows.columns or not any(name.startswith(f"{SAMPLES}/") for name in files):
            return _of_table(folder / tables[0], rows, files, _columns(config, rows, own))
    images = find_images(folder)
    return _of_geneval(folder, files, images, config, own) or _of_t2i_compbench(folder, images)


def _columns(config: PromptsConfig, rows: Rows, own: bool) -> PromptsConfig:
    if own:
        return config
    text_column = config.text_column if config.text_column in rows.columns else None
    return replace(config, text_column=text_column, category_column=None)


def _of_table(path: Path, rows: Rows, files: Sequence[str], config: PromptsConfig) -> Captions:
    if FILE not in rows.columns:
        refuse(path, rows.defects, rows.places)
        raise DataError(
            f"{path} has no column {FILE} (there are {shown(rows.columns)}); give the column with the names of the "
            "images this name, or move the table out of the folder"
        )
    numbered, defects = numbered_prompts(path, rows, config)
    known, line_of = set(files), dict[str, int]()
    for line, row in rows.rows:
        given = row.get(FILE)
        if not isinstance(given, str) or not given.strip():
            defects.append(Defect(line, f"{FILE} is empty or no text", "write the path of the image in the folder"))
            continue
        image = PurePosixPath(given).as_posix()
        if image not in known:
            what = f"there is no file {shortened(given)} in the folder"
            defects.append(Defect(line, what, "put the image there, or delete the line"))
        elif line_of.setdefault(image, line) != line:
            what = f"{shortened(given)} stands on line {line_of[image]} as well"
            defects.append(Defect(line, what, "give every image one line"))
    refuse(path, defects, rows.places)
    of_line = {line: prompt for line, prompt in numbered if prompt is not None}
    prompts = {image: of_line[line] for image, line in line_of.items() if line in of_line}
    return Captions(prompts, path.name, frozenset([path.name]))


def _of_geneval(
    folder: Path, files: Sequence[str], images: Sequence[str], config: PromptsConfig, own: bool
) -> Captions | None:
    """FOLDER/00000/samples/00000.png, and in FOLDER/00000/metadata.jsonl the record of its prompt."""
    paths = [PurePosixPath(image) for image in images]
    record_of = {path.as_posix(): path.parents[1] / RECORD for path in paths if path.parent.name == SAMPLES}
    known = set(files)
    if not any(record.as_posix() in known for record in record_of.values()):
        return None
    found: dict[str, Prompt | None] = {}
    for image, record in record_of.items():
        name = record.as_posix()
        if name not in known:
            raise DataError(
                f"{folder}: {image} has no {name}, which GenEval's layout has beside {SAMPLES}; copy it there, or move "
                "the images out of the folder"
            )
        if name not in found:
            found[name] = _prompt_of_record(folder / name, config, own)
    prompts = {image: found[record.as_posix()] for image, record in record_of.items()}
    with_text = {image: prompt for image, prompt in prompts.items() if prompt is not None}
    return Captions(with_text, RECORD, frozenset(found))


def _prompt_of_record(path: Path, config: PromptsConfig, own: bool) -> Prompt | None:
    rows = read_rows(path)
    if len(rows.rows) > 1:
        raise DataError(f"{path} holds {len(rows.rows)} records; GenEval's layout has one of the prompt of its folder")
    columns = _columns(config, rows, own)
    if columns.category_column is None and "tag" in rows.columns:
        columns = replace(columns, category_column="tag")
    numbered, defects = numbered_prompts(path, rows, columns)
    refuse(path, defects, rows.places)
    return next((prompt for _, prompt in numbered), None)


def _of_t2i_compbench(folder: Path, images: Sequence[str]) -> Captions | None:
    """FOLDER/samples/{prompt}_000000.png; the folder may be `samples` itself."""
    inside = "." if folder.resolve().name == SAMPLES else SAMPLES
    paths = [path for path in map(PurePosixPath, images) if path.parent.as_posix() == inside]
    matches = {path.as_posix(): _T2I_NAME.fullmatch(path.stem) for path in paths}
    # A prompt has several words: img_000000 names none.
    texts = {image: match[1].strip() for image, match in matches.items() if match and " " in match[1].strip()}
    if not texts or len(texts) < len(matches):
        return None
    return Captions({image: Prompt.of(text) for image, text in texts.items()}, "its name")
