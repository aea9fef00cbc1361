"""A text encoder beside the model's own: that of OpenCLIP's ViT-H for the published networks of One More Step."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from goldennoise.errors import ModelError, shortened
from goldennoise.store.paths import given_path


class ClipText:
    """The last hidden states of a CLIP text model of transformers, as the published pipeline reads them."""

    def __init__(self, folder: str) -> None:
        """folder: of the text model in safetensors and its tokenizer. Raises `ModelError` for one without them."""
        path = given_path(folder)
        # Without them from_pretrained does not complain: it makes a tokenizer that knows no words.
        if not any((path / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            raise ModelError(f"{folder} holds no tokenizer: give a folder with a CLIP text model and its tokenizer.")
        try:
            self.tokenizer = CLIPTokenizer.from_pretrained(path, local_files_only=True)
            loaded: Any = CLIPTextModel.from_pretrained(
                path, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
        # transformers fails on other files than its own with whatever its first wrong step raises.
        except Exception as error:
            raise ModelError(
                f"{folder} holds no CLIP text model of transformers ({shortened(error, 200)}): give a folder with "
                "config.json, model.safetensors and the tokenizer's files."
            ) from error
        encoder, found = loaded
        if missing := found["missing_keys"]:
            raise ModelError(f"{folder} lacks weights of its text model, {shortened(min(missing))} for one.")
        self.encoder = encoder.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """(B, tokens, dim), fp32, of texts; what is longer than the tokenizer's own length is cut off."""
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return self.encoder.to(device)(tokens.input_ids.to(device)).last_hidden_state
