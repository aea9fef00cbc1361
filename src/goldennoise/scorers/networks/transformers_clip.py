"""CLIP as transformers builds it, for the scorers that were trained with it."""

import json
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import CLIPConfig, CLIPModel

from goldennoise.errors import ScorerError
from goldennoise.hub import find_file
from goldennoise.provenance import file_digest

POSITION_IDS = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
"""Buffers that older transformers stored with the weights, and no version needs."""


def untrained_clip(path: str, revision: str | None) -> tuple[Any, str]:
    """The architecture that config.json in `path`, a folder or a hub id, describes, and that file's digest.

    Raises `ModelError` for a file that is not to be had, `ScorerError` for one that describes no CLIP.
    """
    file = find_file(path, "config.json", revision=revision)
    try:
        described = json.loads(file.read_text(encoding="utf-8"))
        return CLIPModel(CLIPConfig.from_dict(described)), file_digest(file)[:12]
    except (ValueError, TypeError, AttributeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise ScorerError(f"{file} describes no CLIP model ({reason}): fetch it again.") from error
