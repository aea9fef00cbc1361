"""Published weights of scorers: tensors by name, and tokenizers, with clear errors."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from goldennoise.errors import ScorerError, shortened
from goldennoise.scorers.options import TOKENIZER_FILES
from goldennoise.store.hub import find_file
from goldennoise.store.tensors import is_plain, mismatch, read_tensors


def read_weights(path: str, file: str, revision: str | None, sha256: str | None) -> dict[str, Tensor]:
    """Tensors by name, on the CPU.

    path: a folder or a hub id; file: in it, safetensors or what torch saved, where a `state_dict` is looked into.
    Raises `ModelError` for a file that is missing or has another hash, `ScorerError` for one that is damaged or
    could run code.
    """
    found = find_file(path, file, revision=revision, sha256=sha256)
    content = read_tensors(found, ScorerError)
    tensors = content.get("state_dict", content)
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and is_plain(tensor) for name, tensor in tensors.items()
    ):
        raise ScorerError(f"{found} holds no tensors by name: these are not the published weights.")
    return tensors


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], source: str, unused: Iterable[str] = ()) -> None:
    """Copy `tensors` into `network`. unused: names that may be among them and that the network never reads.

    Raises `ScorerError` naming what is missing, unexpected or of another shape. source: what a message calls the file.
    """
    found = {name: tensor for name, tensor in tensors.items() if name not in set(unused)}
    if problems := mismatch(network.state_dict(), found):
        raise ScorerError(f"{source} does not hold the tensors of its scorer: it is {problems}.")
    network.load_state_dict(found)


def frozen(network: nn.Module, device: torch.device, dtype: str) -> Any:
    """`network` on its device, for inference only."""
    return network.to(device, getattr(torch, dtype)).eval().requires_grad_(False)


def load_tokenizer(tokenizer_class: Any, path: str, revision: str | None) -> Any:
    """A transformers tokenizer from a folder or the hub.

    Raises `ModelError` for missing files, `ScorerError` for damaged ones.
    """
    # Without them from_pretrained does not complain: it makes a tokenizer that knows no words.
    files = [find_file(path, file, revision=revision) for file in TOKENIZER_FILES]
    try:
        return tokenizer_class.from_pretrained(files[0].parent)
    # transformers and tokenizers fail on other JSON than theirs with whatever their first wrong step raises.
    except Exception as error:
        raise ScorerError(
            f"{files[0].name} or {files[1]} is damaged ({shortened(error, 200)}): delete it and fetch it again."
        ) from error
