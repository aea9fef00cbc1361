"""Throughput of collect on the shapes world: batched against one prompt at a time, in one process, in turns.

Prints the medians over the rounds, their ratio, and the share of time inside the UNet.
"""

import statistics
import time

import torch

from goldennoise import methods, scorers
from goldennoise.config.compose import load
from goldennoise.data.pairs import PreferenceFilter
from goldennoise.data.prompts import Prompt, load_training_prompts
from goldennoise.diffusion import families
from goldennoise.generation.collector import Collector
from goldennoise.methods.tools import MethodTools

NUM_PROMPTS = 32
NUM_ROUNDS = 3


def main() -> None:
    config = load(["stage=collect"])
    device = config.compute.torch_device()
    judges = {name: scorers.component(part.kind).build(part, device) for name, part in config.scorer.items()}
    model = families.component(config.model.kind).build(config.model, device)
    unet = UnetClock(model)
    teacher_config = config.method["re_denoise"]
    teacher = methods.component("re_denoise").build(teacher_config, MethodTools(judges, no_artifacts))
    preference = PreferenceFilter(config.stage.preference, config.stage.margin, higher_is_better=True)
    prompts, _ = load_training_prompts(config.prompts, NUM_PROMPTS)

    def pairs_per_s(batch_size: int) -> float:
        collector = Collector(model, teacher, judges, preference, batch_size, config.seed)
        start = time.perf_counter()
        collector.shard(prompts, 0)
        return len(prompts) / (time.perf_counter() - start)

    sizes = (1, config.compute.batch_size)
    collector_warm_up(Collector(model, teacher, judges, preference, 2, config.seed), prompts)
    rates: dict[int, list[float]] = {size: [] for size in sizes}
    shares: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(NUM_ROUNDS):
        for size in sizes:
            unet.seconds, start = 0.0, time.perf_counter()
            rates[size].append(pairs_per_s(size))
            shares[size].append(unet.seconds / (time.perf_counter() - start))
    for size in sizes:
        rate, share = statistics.median(rates[size]), statistics.median(shares[size])
        print(f"batch size {size:3d}: {rate:6.2f} pairs/s, {share:.0%} of the time in the UNet")
    ratio = statistics.median(rates[sizes[1]]) / statistics.median(rates[1])
    print(f"batched against one at a time: {ratio:.2f}x ({torch.get_num_threads()} threads, {NUM_PROMPTS} prompts)")


class UnetClock:
    """Seconds spent in the forward passes of a model's UNet."""

    def __init__(self, model) -> None:  # type: ignore[no-untyped-def]
        self.seconds = 0.0
        self._start = 0.0
        unet = model._pipe.unet
        unet.register_forward_pre_hook(lambda *_: setattr(self, "_start", time.perf_counter()))
        unet.register_forward_hook(self._stop)

    def _stop(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start


def collector_warm_up(collector: Collector, prompts: list[Prompt]) -> None:
    collector.shard(prompts[:2], 0)


def no_artifacts(kind: str, reference: str):  # type: ignore[no-untyped-def]
    raise AssertionError(f"re_denoise needs no artifact, not {kind} {reference}")


if __name__ == "__main__":
    main()
