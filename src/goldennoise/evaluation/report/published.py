"""Numbers that others published for golden noise, to stand beside ours; none of them was measured here.

Source: Zhou et al., arXiv 2411.09502, and the readme of its code where noted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from goldennoise.evaluation.report.tables import Cell, Column, Section, Table

PAPER = "arXiv 2411.09502"
README = "readme of the code of arXiv 2411.09502"


@dataclass(frozen=True)
class Published:
    """One published setting. values: method -> metric -> value; what was not published is left out."""

    setting: str
    source: str
    values: Mapping[str, Mapping[str, float]]


def _metrics(pick: float, hps: float, aesthetic: float, reward: float, clip: float | None = None) -> dict[str, float]:
    values = {"PickScore": pick, "HPSv2": hps, "AES": aesthetic, "ImageReward x 100": reward}
    return values if clip is None else values | {"CLIPScore": clip}


_GENEVAL = "GenEval prompts"
_SDXL = (
    Published(
        "SDXL, Pick-a-Pic, 100 prompts, one seed",
        PAPER,
        {
            "standard": _metrics(21.69, 28.48, 6.0373, 58.01, 0.8204),
            "NPNet": _metrics(21.86, 28.68, 6.0540, 65.01, 0.8408),
            "NPNet, residual branch only": _metrics(21.49, 27.76, 6.0164, 49.03),
            "NPNet, singular-value branch only": _metrics(21.83, 28.55, 6.0315, 63.05),
            "NPNet, no data filtering": _metrics(21.73, 28.46, 6.0375, 62.91),
        },
    ),
    Published(
        "SDXL, DrawBench", PAPER, {"standard": {"ImageReward x 100": 62.21}, "NPNet": {"ImageReward x 100": 70.67}}
    ),
)
_DREAMSHAPER = (
    Published(
        "DreamShaper-xl-v2-turbo, Pick-a-Pic",
        PAPER,
        {
            "standard": {"HPSv2": 32.12, "ImageReward x 100": 98.09},
            "NPNet": {"HPSv2": 32.69, "ImageReward x 100": 106.74},
        },
    ),
)
_HUNYUAN = (
    Published(
        "Hunyuan-DiT, HPD",
        PAPER,
        {"standard": {"ImageReward x 100": 99.22}, "NPNet": {"ImageReward x 100": 108.29, "MPS": 52.87}},
    ),
)
_LIGHTNING = (
    Published(
        f"SDXL-Lightning, 4 steps, {_GENEVAL}",
        README,
        {"standard": _metrics(22.85, 29.12, 5.65, 59.02, 0.8093), "NPNet": _metrics(23.03, 29.71, 5.71, 72.67, 0.8150)},
    ),
)
_LCM = (
    Published(
        f"LCM, 4 steps, {_GENEVAL}",
        README,
        {"standard": _metrics(22.30, 26.52, 5.49, 33.21, 0.8050), "NPNet": _metrics(22.38, 26.83, 5.55, 37.08, 0.8123)},
    ),
)
_PCM = (
    Published(
        f"PCM, 8 steps, {_GENEVAL}",
        README,
        {"standard": _metrics(22.05, 26.98, 5.52, 23.28, 0.8031), "NPNet": _metrics(22.22, 27.59, 5.56, 35.01, 0.8175)},
    ),
)

_BY_NAME = {
    "lightning": _LIGHTNING,
    "lcm": _LCM,
    "pcm": _PCM,
    "dreamshaper-xl": _DREAMSHAPER,
    "turbo": (),
    "hunyuan": _HUNYUAN,
    "sdxl": _SDXL,
    "stable-diffusion-xl": _SDXL,
}
"""Part of a model's name -> its numbers; the first that fits counts, so distilled SDXLs do not pass for SDXL."""


def published_for(model_name: str) -> tuple[Published, ...]:
    """What is published for a model, by its name; nothing for a model that nobody published numbers for."""
    name = model_name.casefold().replace("_", "-")
    found = next((found for part, found in _BY_NAME.items() if part in name), ())
    # With a LoRA that is not among them it is another model.
    return () if found is _SDXL and " with " in name else found


def published_table(found: tuple[Published, ...]) -> Table:
    """The published numbers, marked as such; a dash where none was published."""
    metrics = list(dict.fromkeys(metric for entry in found for row in entry.values.values() for metric in row))
    sections = [
        Section(
            entry.setting,
            f"published, not measured here; {entry.source}",
            [
                [Cell(method), *(Cell(f"{row[metric]:g}" if metric in row else "–") for metric in metrics)]
                for method, row in entry.values.items()
            ],
        )
        for entry in found
    ]
    return Table("Published numbers", [Column("method", numeric=False), *map(Column, metrics)], sections)
