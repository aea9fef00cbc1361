"""GenEval (Ghosh et al., arXiv 2310.11513): whether an image shows the objects, counts, colours and places of a prompt.

Its number for a model is the mean of the shares right of the six kinds of prompts. Thresholds, rules and both networks
are those of the published evaluation, but the detector's weights are of another training (see `geneval.detector`), so
compare with numbers measured here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldennoise.data.prompts import Prompt
from goldennoise.errors import ScorerError, shortened
from goldennoise.scorers.geneval import rules
from goldennoise.scorers.geneval.tasks import COLUMNS, Task, read_tasks, task_of
from goldennoise.scorers.options import joined
from goldennoise.store.files import file_digest
from goldennoise.store.hub import digest
from goldennoise.store.options import option
from goldennoise.store.paths import given_path

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from goldennoise.scorers.geneval.colours import ColourNamer
    from goldennoise.scorers.geneval.detector import Detector

DETECTOR_FILE, CLIP_FILE = "model.safetensors", "open_clip_model.safetensors"


@dataclass(frozen=True)
class Config:
    """Where the tasks and both networks lie."""

    kind: str = "geneval"
    # The version names what they hold; where it lies decides nothing.
    metadata: str = option("data/prompts/geneval_metadata.jsonl", identity=False)
    """GenEval's file of what each prompt demands, for prompts whose own row does not say it."""
    detector: str = option("facebook/mask2former-swin-small-coco-instance", identity=False)
    """A Mask2Former for instances of COCO: a local folder or a hub id."""
    clip: str = option("timm/vit_large_patch14_clip_224.openai", identity=False)
    """OpenAI's CLIP ViT-L/14: a local folder or a hub id."""


class Geneval:
    """1 where the image is what its prompt demands, else 0."""

    name = "geneval"
    higher_is_better = True
    unit = "share right"
    differentiable = False
    may_select = False
    usual = (0.0, 1.0)
    """By definition."""

    def __init__(self, tasks: Mapping[str, Task], detector: "Detector", colours: "ColourNamer", version: str) -> None:
        """tasks: prompt -> what it demands, where its metadata do not say so."""
        self.version = version
        self._tasks = tasks
        self._detector = detector
        self._colours = colours

    def score(self, images: "Tensor", prompts: Sequence[Prompt]) -> "Tensor":
        """(B,), each 0 or 1. images: (B, 3, height, width), float in [0, 1]; prompts: with a task in their metadata, or
        of the file of tasks, word for word.

        Raises `ScorerError` for a prompt without a task.
        """
        # The command line reads every Config before torch is loaded.
        import torch

        tasks = [self._task(prompt) for prompt in prompts]
        return torch.tensor([float(self._is_right(*pair)) for pair in zip(images.detach(), tasks, strict=True)])

    def _is_right(self, image: "Tensor", task: Task) -> bool:
        pixels = (image.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        found = self._detector.detect(image, rules.MIN_CONFIDENCE)
        return rules.is_right(task, found, lambda detection: self._colours.name(pixels, detection))

    def _task(self, prompt: Prompt) -> Task:
        if "include" in prompt.metadata:
            try:
                return task_of(prompt.metadata)
            except ValueError as error:
                raise ScorerError(
                    f"geneval: the row of {shortened(repr(prompt.text))} in its prompt file is {error}; "
                    "write it like the published evaluation_metadata.jsonl, or call its column include otherwise"
                ) from None
        if prompt.text not in self._tasks:
            raise ScorerError(
                f"geneval: {shortened(repr(prompt.text))} is not a prompt of GenEval, so what it demands is not "
                "known; choose prompts=geneval, or leave the scorer out"
            )
        return self._tasks[prompt.text]


def reads(config: Config) -> tuple[str, ...]:  # noqa: ARG001
    """Columns of the prompts' metadata that decide a score."""
    return COLUMNS


def version(config: Config) -> str | None:
    """Of the rules, and digests of the files; None where one is not on this machine."""
    metadata = given_path(config.metadata)
    return joined(
        "1 metadata",
        file_digest(metadata)[:12] if metadata.is_file() else None,
        "detector",
        digest(config.detector, DETECTOR_FILE),
        "clip",
        digest(config.clip, CLIP_FILE),
    )


def build(config: Config, device: "torch.device") -> Geneval:
    """Raises `DataError` for metadata, `ModelError` for weights that are missing or damaged."""
    from goldennoise.scorers.geneval.colours import ColourNamer
    from goldennoise.scorers.geneval.detector import Detector

    tasks = read_tasks(given_path(config.metadata))
    detector, colours = Detector(config.detector, device), ColourNamer(config.clip, device)
    return Geneval(tasks, detector, colours, str(version(config)))
