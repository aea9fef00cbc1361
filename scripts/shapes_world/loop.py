"""A resumable training loop: step k depends on the seed and on k alone, never on when it ran."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

SAVE_EVERY_S = 60.0


@dataclass(frozen=True)
class Recipe:
    """How one network of the world is trained; kept in the world's record."""

    num_steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int = 100
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    seed: int = 0

    def rate(self, step: int) -> float:
        """Linear warm-up, then linear decay to zero: on a small budget the decay is where quality comes from."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        return self.learning_rate * warm * (1 - step / self.num_steps)


def fit(
    name: str,
    module: nn.Module,
    recipe: Recipe,
    loss_of: Callable[[int, torch.Generator], Tensor],
    folder: Path,
) -> nn.Module:
    """Train `module` in place and return it holding the moving average of its weights.

    `loss_of(step, generator)` builds the batch of a step from its generator and returns the loss.
    A killed run goes on from `<folder>/<name>.ckpt`; the log is `<folder>/<name>.jsonl`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"{name}.ckpt"
    optimizer = torch.optim.AdamW(module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    average = {key: value.clone() for key, value in module.state_dict().items()}
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        average, first = state["average"], state["step"]
    module.train()
    saved = time.monotonic()
    for step in range(first, recipe.num_steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        loss = loss_of(step, torch.Generator().manual_seed(recipe.seed * 1_000_003 + step))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        _update_average(average, module, min(recipe.ema_decay, (1 + step) / (10 + step)))
        if step % 50 == 0 or step == recipe.num_steps - 1:
            with (folder / f"{name}.jsonl").open("a") as log:
                log.write(json.dumps({"step": step, "loss": loss.item(), "time_s": time.time()}) + "\n")
        if time.monotonic() - saved > SAVE_EVERY_S or step == recipe.num_steps - 1:
            state = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
            torch.save(state | {"step": step + 1}, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            saved = time.monotonic()
    module.load_state_dict(average)
    return module.eval()


def _update_average(average: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                average[key].lerp_(value, 1 - decay)
            else:
                average[key].copy_(value)
