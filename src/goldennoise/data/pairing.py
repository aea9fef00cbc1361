"""Which prompt each image of a folder shows: what the folder itself says, or the order of names."""

import itertools
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from goldennoise.data.image_captions import TABLES, Captions, read_captions
from goldennoise.data.images import find_files, find_images, missing_number
from goldennoise.data.prompts import Prompt, PromptsConfig, all_prompts
from goldennoise.data.prompts.defects import shown
from goldennoise.data.prompts.folder import natural_order
from goldennoise.data.prompts.source import of_category
from goldennoise.errors import DataError, shortened
from goldennoise.runtime.seeding import normalised
from goldennoise.store.paths import given_path

log = logging.getLogger(__name__)

_ID = re.compile(r"[0-9a-f]{16}(?=-[0-9]+\.)")
"""Of a prompt, in the name of an image of ours: `<prompt id>-<seed>.png`."""


def paired(folder: Path, config: PromptsConfig, images_per_prompt: int) -> dict[str, Prompt]:
    """Image -> prompt, images in natural order. images_per_prompt: neighbours, where their order decides.

    A table or a benchmark's layout in the folder decides (`image_captions`); prompts of another source then have to
    hold its texts, and give the categories. Without either, images whose names begin with the id of a prompt, as our
    own do, belong to that prompt. Others belong, in the order of their names, to the prompts in the order of their
    source. Files of the folder that are not read are told in the log.
    Raises `DataError` for a folder or a file that cannot be read, for texts that the prompts lack, for counts that do
    not fit, and for an image that is called like another prompt than its own.
    """
    files, own = find_files(folder), _is_folder(config, folder)
    captions = read_captions(folder, files, config, own)
    if captions is None:
        if own:
            raise DataError(
                f"{folder}: nothing in the folder says which prompt an image shows; give them with prompts.path=FILE "
                f"in the order of the images' names, or write the columns file_name and text into {folder / TABLES[0]}"
            )
        images = find_images(folder)
        _tell_unread(folder, files, [*images, *_files_of_prompts(folder, files, config)])
        return _by_id(folder, images, config) or _by_position(folder, images, config, images_per_prompt)
    if not captions.prompts:
        raise DataError(f"{folder}: no image has a text by {captions.by}; write one at least")
    prompts = captions.prompts if own else _as_in_file(folder, captions, config)
    of_category([*prompts.values()], config.category)
    chosen = {
        image: prompts[image]
        for image in sorted(prompts, key=natural_order)
        if config.category in (None, prompts[image].category)
    }
    _tell_unread(folder, files, [*chosen, *captions.read, *_files_of_prompts(folder, files, config)])
    return chosen


def _is_folder(config: PromptsConfig, folder: Path) -> bool:
    """Whether the prompts are the folder's own, as they are by default."""
    try:
        return config.kind == "file" and given_path(config.path or "").samefile(folder)
    except (OSError, ValueError):
        # What is wrong with the path is said where it is read.
        return False


def _files_of_prompts(folder: Path, files: Sequence[str], config: PromptsConfig) -> list[str]:
    """The prompt file, or those of a folder of prompts, if they lie in the folder of images."""
    path, root = given_path(config.path or "").absolute(), folder.absolute()
    if not path.is_relative_to(root):
        return []
    inside = path.relative_to(root).as_posix()
    return [name for name in files if name == inside or (name.startswith(f"{inside}/") and name.endswith(".txt"))]


def _tell_unread(folder: Path, files: Sequence[str], read: Iterable[str]) -> None:
    known = set(read)
    unread = [name for name in files if name not in known]
    if unread:
        are = "file is" if len(unread) == 1 else "files are"
        log.warning("%s: %d %s not read (%s)", folder, len(unread), are, shown(unread, 5))


def _as_in_file(folder: Path, captions: Captions, config: PromptsConfig) -> dict[str, Prompt]:
    """The captions' prompts as the prompts of `config` write them, with the categories there."""
    source = _source(config)
    prompts = all_prompts(replace(config, category=None))
    known = {normalised(prompt.text): prompt for prompt in reversed(prompts)}
    found = {}
    for image, caption in captions.prompts.items():
        if normalised(caption.text) not in known:
            raise DataError(
                f'{folder}: {shortened(image)} shows "{shortened(caption.text)}" by {captions.by}, which is not among '
                f"the prompts of {source}; name the file the images were made from, or leave the prompts out"
            )
        found[image] = known[normalised(caption.text)]
    _tell_without_image(source, of_category(prompts, config.category), found.values())
    return found


def _source(config: PromptsConfig) -> str:
    return str(given_path(config.path)) if config.path else f"prompts.split={config.split}"


def _tell_without_image(source: str, prompts: Iterable[Prompt], shown_prompts: Iterable[Prompt]) -> None:
    seen = {prompt.id for prompt in shown_prompts}
    without = [prompt for prompt in prompts if prompt.id not in seen]
    if without:
        have = "prompt has" if len(without) == 1 else "prompts have"
        text = shortened(without[0].text)
        log.warning('%s: %d %s no image, the first is "%s"', source, len(without), have, text)


def _by_position(
    folder: Path, images: Sequence[str], config: PromptsConfig, images_per_prompt: int
) -> dict[str, Prompt]:
    prompts = [prompt for prompt in all_prompts(config) for _ in range(images_per_prompt)]
    _refuse_other_count(folder, images, prompts, images_per_prompt)
    known = {_words(prompt.text): prompt for prompt in reversed(prompts)}
    for image, prompt in zip(images, prompts, strict=True):
        named = _named(image, known)
        if named and _words(prompt.text) not in named:
            raise DataError(
                f'{folder}: {shortened(image)} is called like the prompt "{shortened(known[named[0]].text)}", but its '
                f'place in the order of names gives it "{shortened(prompt.text)}"; write the columns file_name and '
                f"text into {folder / TABLES[0]}, or bring the prompts into the order of the names"
            )
    return dict(zip(images, prompts, strict=True))


def _by_id(folder: Path, images: Sequence[str], config: PromptsConfig) -> dict[str, Prompt] | None:
    """Prompts of images that begin with their prompt's id, as those of our own artifacts do; None for others."""
    ids = [match[0] for image in images if (match := _ID.match(PurePosixPath(image).name))]
    if len(ids) < len(images):
        return None
    known = {prompt.id: prompt for prompt in all_prompts(config)}
    for image, prompt_id in zip(images, ids, strict=True):
        if prompt_id not in known:
            raise DataError(
                f"{folder}: {shortened(image)} shows none of these prompts by the id in its name; name the prompts "
                "that the images were made from"
            )
    found = {image: known[prompt_id] for image, prompt_id in zip(images, ids, strict=True)}
    _tell_without_image(_source(config), known.values(), found.values())
    return found


def _refuse_other_count(folder: Path, images: Sequence[str], prompts: Sequence[Prompt], images_per_prompt: int) -> None:
    """Raise DataError unless there is an image for each of the prompts, which are repeated for all their images."""
    if len(images) == len(prompts):
        return
    if len(images) > len(prompts):
        hint = f"the first image left over is {images[len(prompts)]}"
    elif gap := missing_number(images):
        hint = f"an image seems to be missing between {gap[0]} and {gap[1]}"
    else:
        hint = f'the first prompt without all its images is "{shortened(prompts[len(images)].text)}"'
    raise DataError(
        f"{folder} holds {len(images)} images, but {len(prompts) // images_per_prompt} prompts with "
        f"stage.images_per_prompt={images_per_prompt} need {len(prompts)}: {hint}; images in the order of their "
        "names belong to prompts in the order of their file"
    )


def _words(text: str) -> str:
    """A prompt or a name for comparison: its words, whatever stands between them."""
    return " ".join(re.findall(r"[^\W_]+", normalised(text)))


def _named(image: str, known: Mapping[str, Prompt]) -> list[str]:
    """The words of the longest of the `known` prompts that parts of a path name; one word must be the whole part.

    Numbers before or after the one word do not count, and numbers alone name nothing.
    """
    path = PurePosixPath(image)
    found: set[str] = set()
    for part in (path.stem, *path.parts[:-1]):
        words = _words(part).split()
        runs = {" ".join(words[i:j]) for i, j in itertools.combinations(range(len(words) + 1), 2) if j - i > 1}
        no_numbers = [word for word in words if not word.isdigit()]
        runs |= {" ".join(words), *(no_numbers if len(no_numbers) == 1 else [])}
        found |= {run for run in runs if run in known and not run.replace(" ", "").isdigit()}
    longest = max((len(run.split()) for run in found), default=0)
    return sorted(run for run in found if len(run.split()) == longest)
