"""A pipeline of the caller's, perhaps in the middle of training, that is used for a while and left as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

OBSERVED = "_output_capturing_hooks_installed"
"""Set by transformers on a network that returned hidden states, with hooks on its layers that stay."""
CACHED = "_diffusers_hook"
"""Set by diffusers on a network whose caches were reset, whether it had any or not."""


@contextmanager
def in_eval_mode(pipe: Any) -> Iterator[None]:
    """Inside, every network of a diffusers pipeline is in eval mode, so that no dropout changes a result.

    At the end, after an exception too, every submodule has its own `training` flag and its own hooks again, and every
    tokenizer the padding and truncation that it is saved with. Weights and `requires_grad` are not touched: use it
    without gradients.
    """
    parts = pipe.components.values()
    networks = [_Network(part) for part in parts if isinstance(part, nn.Module)]
    tokenizers = [_Tokenizer(part.backend_tokenizer) for part in parts if hasattr(part, "backend_tokenizer")]
    try:
        for network in networks:
            network.set_eval()
        yield
    finally:
        for network in networks:
            network.restore()
        for tokenizer in tokenizers:
            tokenizer.restore()


class _Network:
    """What a network and its submodules were like."""

    def __init__(self, network: nn.Module) -> None:
        self.modules = list(network.modules())
        self.training = [module.training for module in self.modules]
        self.hooks = [set(module._forward_hooks) for module in self.modules]
        self.marks = [vars(module).keys() & {OBSERVED, CACHED} for module in self.modules]

    def set_eval(self) -> None:
        for module in self.modules:
            module.training = False

    def restore(self) -> None:
        observed = False
        for module, training, marks in zip(self.modules, self.training, self.marks, strict=True):
            module.training = training
            for mark in vars(module).keys() & {OBSERVED, CACHED} - marks:
                delattr(module, mark)
                observed = observed or mark == OBSERVED
        if observed:
            for module, hooks in zip(self.modules, self.hooks, strict=True):
                for hook in module._forward_hooks.keys() - hooks:
                    del module._forward_hooks[hook]


class _Tokenizer:
    """What a tokenizer of the `tokenizers` package was told: every call leaves its own settings behind."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.padding, self.truncation = tokenizer.padding, tokenizer.truncation

    def restore(self) -> None:
        if self.padding is None:
            self.tokenizer.no_padding()
        else:
            self.tokenizer.enable_padding(**self.padding)
        if self.truncation is None:
            self.tokenizer.no_truncation()
        else:
            self.tokenizer.enable_truncation(**self.truncation)
