"""What every network is, and how one is built from its config."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from goldennoise import networks
from goldennoise.errors import ModelError, shortened
from goldennoise.networks.base import NetworkInputs
from goldennoise.store.tensors import mismatch


class GoldenNetwork(nn.Module):
    """Predicts golden noise from source noise and prompt in one pass: the base of the network of every kind.

    `forward(noise, prompt_embeds, *frozen)` gives (B, C, h, w) in the noise's dtype for noise (B, C, h, w) and prompt
    embeddings (B, tokens, dim); frozen: what `frozen_inputs(noise)` gives, where that is known already. It is golden
    noise, or latents of an image where `output` of the architecture says so.
    """

    def __init__(self, config: NetworkInputs) -> None:
        super().__init__()
        self.config = config

    def predict(self, model: Any, noise: Tensor, embedding: Any) -> Tensor:  # noqa: ARG002
        """`forward` for noise (B, C, h, w), with a `DiffusionModel` and its `PromptEmbedding` of the prompts."""
        return self(noise, embedding.cond)

    def frozen_inputs(self, noise: Tensor) -> Sequence[Tensor]:  # noqa: ARG002
        """What the network computes of noise (B, C, h, w) whatever its weights, each (B, ...): training stores it."""
        return ()

    def fit_to(self, prompt_embeds: Callable[[int], Tensor], displacements: Callable[[int], Tensor]) -> None:
        """Set what is fitted to the data once, before training.

        Both give, fp32, at most so many of what it will learn from, evenly spaced: prompt embeddings (N, tokens, dim),
        and golden minus source noise (N, C, h, w).
        """

    def vitals(self) -> dict[str, Tensor]:
        """Numbers to watch while it learns."""
        return {}


def seeded_network(config: NetworkInputs, seed: int) -> GoldenNetwork:
    """An untrained network whose weights depend on `seed` alone."""
    module = importlib.import_module(f"{networks.component(config.architecture.kind).__name__}.network")
    network: GoldenNetwork = module.build(config, seed)
    return network


def blank_network(config: NetworkInputs) -> GoldenNetwork:
    """A network to load weights into."""
    return seeded_network(config.blank(), seed=0)


def filled_network(
    config: NetworkInputs, tensors: Mapping[str, Tensor], source: Path, name_in_file: Callable[[str], str] = str
) -> GoldenNetwork:
    """A network in evaluation mode on the CPU, in fp32, of the weights `tensors`, read from the file `source`.

    name_in_file: what the file calls a tensor of the network. Raises `ModelError` unless the file holds exactly the
    network's tensors, before memory is taken for it.
    """
    try:
        # Sizes that the file does not have could ask for all memory.
        with torch.device("meta"):
            described = blank_network(config).state_dict()
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"{source} is of a network of impossible sizes ({shortened(error, 200)}).") from error
    if problems := mismatch({name_in_file(name): tensor for name, tensor in described.items()}, tensors):
        raise ModelError(f"{source} does not hold the tensors of its NPNet: it is {problems}.")
    network = blank_network(config)
    network.load_state_dict({name: tensors[name_in_file(name)] for name in described})
    return network.eval()
