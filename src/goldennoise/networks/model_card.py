"""The README of an NPNet that is given away, written from its record."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldennoise.errors import ModelError, require, shortened
from goldennoise.networks.base import NetworkInputs
from goldennoise.store.hub import HUB_ID

CARD = "README.md"

_USAGE = """\
```python
from goldennoise import GoldenNoise

golden = GoldenNoise.from_pretrained("owner/name")  # the id of this repository, or a folder with its files
images = pipe(prompts, latents=golden(pipe, prompts, generator=generator)).images
```"""


def model_card(config: NetworkInputs, record: Mapping[str, Any], license: str | None = None) -> str:
    """Markdown with the hub's metadata. record: as `read_record` gives it; what it lacks is left out or said to be.

    license: of the weights, by the hub's name for it.
    Raises `ConfigError` for a license that is no such name, `ModelError` for a record that tells something else.
    """
    require(
        license is None or re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license) is not None,
        "license", license, "a licence as the hub calls it, such as apache-2.0",
    )  # fmt: skip
    try:
        sections = _sections(config, record, license)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"The record of this network is damaged ({type(error).__name__}: {shortened(error)}): load the network "
            "from a whole copy, or give it an empty record."
        ) from error
    return "\n\n".join(section for section in sections if section) + "\n"


def _sections(config: NetworkInputs, record: Mapping[str, Any], license: str | None) -> list[str]:
    model = record.get("model", {})
    return [
        _metadata(model, license),
        f"# NPNet for {_shown(model.get('path', 'a model that its record does not name'))}",
        "Predicts golden noise, the initial noise that gives better images, from source noise and prompt in one pass "
        "([Golden Noise for Diffusion Models](https://arxiv.org/abs/2411.09502)).",
        _USAGE,
        _section("Made for", _purpose(config, model)),
        _section("Trained", _training(record)) or "How it was trained is not in its record.",
        _section("Measured", _measured(record)),
        f"Licence of the weights: {license or 'not stated'}.",
    ]


def _metadata(model: Mapping[str, Any], license: str | None) -> str:
    path = str(model.get("path", ""))
    lines = ["---", "library_name: goldennoise", "pipeline_tag: text-to-image", "tags: [golden-noise, npnet]"]
    if license is not None:
        lines.append(f"license: {license}")
    if HUB_ID.fullmatch(path) and not Path(path).exists():
        lines.append(f"base_model: {path}")
    return "\n".join([*lines, "---"])


def _purpose(config: NetworkInputs, model: Mapping[str, Any]) -> dict[str, str]:
    facts = {
        "noise": " x ".join(map(str, config.latent_shape)),
        "prompt embeddings": f"{config.num_tokens} tokens x {config.text_dim}",
    }
    if model.get("revision"):
        facts["revision of the model"] = model["revision"]
    if "num_steps" in model:
        facts["sampler"] = f"{model.get('scheduler', 'its own')}, {model['num_steps']} steps"
        facts["guidance"] = f"{model['guidance']:g}"
    return facts


def _training(record: Mapping[str, Any]) -> dict[str, str]:
    facts = {}
    if "data" in record:
        facts["data"] = f"{record['data']}: {record['pairs']} pairs of {record['prompts']} prompts"
        facts["prompts"] = _shown(record["prompt_set"])
        facts["golden noise by"] = record["teacher"]
        facts["objective"] = record["objective"]
    if "preference" in record:
        facts["pairs kept by"] = f"{record['preference']}, a gain above {record['margin']:g}"
    if "reward_scorer" in record:
        facts["reward"] = record["reward_scorer"]
    if "source" in record:
        facts["imported from"] = record["source"]
    return facts


def _measured(record: Mapping[str, Any]) -> dict[str, str]:
    if "val_loss" not in record:
        return {}
    return {
        "validation loss": f"{record['val_loss']:.5g} at epoch {record['best_epoch']} of {record['epochs']}",
        "the same for the source noise itself": f"{record['identity_val_loss']:.5g}",
    }


def _section(title: str, facts: Mapping[str, str]) -> str:
    return "\n".join([f"## {title}", *(f"- {name}: {fact}" for name, fact in facts.items())]) if facts else ""


def _shown(path: str) -> str:
    """A hub id as it is, of a path on somebody's disk the last part."""
    return path if HUB_ID.fullmatch(path) else Path(path).name
