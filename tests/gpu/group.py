"""Started by torchrun: one process joins the process group that several would, and trains by DDP in it.

`group.py cpu|cuda FOLDER` prints a JSON line: the backend, and how far the weights lie from those without a group.
"""

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader

from goldennoise.runtime import processes
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.training.engine import trainer
from goldennoise.training.engine.trained_module import RunningMean, TrainedModule


class Line(TrainedModule):
    """A small network that learns to double its input."""

    learns_from = "numbers"

    def __init__(self) -> None:
        super().__init__(gradient_clip=1.0)
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.mean = RunningMean()

    def trained_parameters(self) -> list[nn.Parameter]:
        return list(self.network.parameters())

    def training_step(self, batch: Tensor) -> Tensor:
        losses = (self.network(batch) - 2 * batch).square().mean(dim=1)
        self.mean.add(losses.detach(), torch.ones_like(losses))
        return losses.mean()

    def on_train_epoch_end(self) -> None:
        assert self.mean.take(self) > 0

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.network.parameters(), lr=1e-3)

    def epoch_figures(self) -> dict[str, float]:
        return {}

    def progress_note(self) -> str:
        return ""


class Numbers(LightningDataModule):
    def train_dataloader(self) -> DataLoader[Tensor]:
        rows: Any = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))
        return DataLoader(rows, batch_size=4)


def trained(device: torch.device, folder: Path, by_ddp: bool) -> Tensor:
    """The weights after two epochs, on the CPU."""
    module = Line()
    launcher = "torchrun" if by_ddp else "none"
    setting = trainer.Setting(device, processes.Processes(launcher=launcher), progress_bar=False)
    strategy = (lambda _: DDPStrategy()) if by_ddp else trainer.SingleDeviceStrategy
    with mock.patch.object(trainer, "SingleDeviceStrategy", strategy):
        trainer.fit(module, Numbers(), [], trainer.Course(folder, 2, "32-true"), setting, None)
    return torch.cat([weight.detach().cpu().flatten() for weight in module.trained_parameters()])


def main() -> None:
    kind, folder = sys.argv[1:]
    compute = ComputeConfig(device=kind)
    device = compute.torch_device()
    alone = trained(device, Path(folder), by_ddp=False)
    processes._join(processes.Processes(launcher="torchrun"), compute)
    sent = {"a prompt": [1, 2, 3]}
    assert processes._broadcast(sent, source=0) == sent
    numbers = torch.ones(3, dtype=torch.float64, device=device)
    distributed.all_reduce(numbers)
    assert numbers.tolist() == [1.0, 1.0, 1.0], numbers
    together = trained(device, Path(folder), by_ddp=True)
    backend = distributed.distributed_c10d._world.pg_map[distributed.group.WORLD][0]
    distance = float((together - alone).abs().max() / alone.abs().max())
    print(json.dumps({"deviation": distance, "backend": str(backend), "device": str(numbers.device)}))


if __name__ == "__main__":
    main()
