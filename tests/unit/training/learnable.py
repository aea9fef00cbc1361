"""A pairs folder whose golden noise can be learnt from source noise and prompt, and the model it is for."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from goldennoise.config.compose import RunConfig
from goldennoise.data.pairs.index import index_rows, located, merge
from goldennoise.data.pairs.preference import PreferenceFilter
from goldennoise.data.pairs.reader import PairReader
from goldennoise.data.pairs.shards import Shard, write_shard
from goldennoise.data.prompts import Prompt, PromptsConfig
from goldennoise.diffusion import families
from goldennoise.diffusion.noise_levels.uniform import Config as UniformTimesteps
from goldennoise.diffusion.plan import SamplingPlan
from goldennoise.diffusion.protocol import PromptEmbedding
from goldennoise.networks.network import GoldenNetwork
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.runtime.compute import ComputeConfig
from goldennoise.runtime.seeding import derive_seed, gaussian_noise
from goldennoise.stages import train
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.training.engine.fit import Training, TrainingCounts, train_npnet
from goldennoise.training.engine.loggers import LoggerConfig
from goldennoise.training.engine.module import NoiseTraining
from goldennoise.training.engine.options import TrainingOptions

LATENT = (4, 4, 4)
TEXT = (3, 4)
SMALL = ArchitectureConfig(
    image_size=8,
    patch_size=2,
    window=2,
    embed_dim=4,
    depths=(1, 1),
    heads=(1, 2),
    drop_path_rate=0.3,
    vector_hidden=8,
    value_hidden=16,
    attention_heads=2,
)
BRIEF = TrainingOptions(num_epochs=2, batch_size=8, learning_rate=3e-3, validation_share=0.2, sample_every_epochs=0)


class FakeModel:
    """As much of a `DiffusionModel` as training asks for: text encoder, sampler, decoder, in closed form."""

    name = "fake"
    num_steps, guidance = 1, 1.0
    latent_shape = LATENT
    device, dtype = torch.device("cpu"), torch.float32
    num_evaluations = 0

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def run_with(self, compute: Any, device: torch.device) -> None: ...

    def encode(self, prompts: Sequence[str]) -> PromptEmbedding:
        self.encoded.extend(prompts)
        cond = torch.stack([text_of(prompt) for prompt in prompts])
        return PromptEmbedding(cond, torch.zeros_like(cond), {})

    def sample(self, plan: SamplingPlan, embedding: PromptEmbedding, step_seeds: Sequence[int]) -> Tensor:  # noqa: ARG002
        return plan.noise + embedding.cond.mean()

    def decode(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(latents[:, :3])


def text_of(prompt: str) -> Tensor:
    """(tokens, dim), from the prompt's own generator."""
    seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big")
    return torch.randn(*TEXT, generator=torch.Generator().manual_seed(seed))


def golden_of(source: Tensor, prompts: Sequence[str]) -> Tensor:
    """Half-way from the source to a constant per channel that the prompt decides."""
    shift = torch.stack([text_of(prompt).mean(0) for prompt in prompts])
    return source + 0.5 * (shift[:, :, None, None] - 0.4 * source)


def write_pairs(folder: Path, num_prompts: int = 24, num_seeds: int = 2, per_shard: int = 10) -> PairReader:
    """Pairs of `num_prompts` prompts with `num_seeds` seeds each; every fourth prompt's pairs are rejected."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = [Prompt.of(f"prompt number {number}") for number in range(num_prompts)]
    rejected = np.arange(num_prompts) % 4 == 3
    preference = PreferenceFilter("score", 0.0)
    num_shards = 0
    for start in range(0, num_prompts, per_shard):
        part = prompts[start : start + per_shard]
        better = np.where(rejected[start : start + per_shard], -1.0, 1.0)
        noises, rows = [], []
        for seed in range(num_seeds):
            noises.append(gaussian_noise(LATENT, [derive_seed(0, "source", prompt.id, seed) for prompt in part]))
            scores = {"score": (np.zeros(len(part)), better)}
            rows.append(index_rows([(prompt, seed) for prompt in part], scores, preference))
        source = torch.cat(noises)
        golden = golden_of(source, [prompt.text for prompt in part] * num_seeds)
        figures = {"evaluations": 0.0, "truncated": 0.0, "seconds": 0.0}
        write_shard(folder, num_shards, Shard(source, golden, located(rows, num_shards), figures))
        num_shards += 1
    merge(folder, num_shards)
    return PairReader(folder)


@dataclass(frozen=True)
class FakeModelConfig:
    kind: str = "fake"
    path: str = "fake"
    revision: str | None = None


def write_pairs_artifact(
    outputs: Path, model: FakeModelConfig | None = None, preference: str | None = "score", **sizes: int
) -> Artifact:
    """The pairs of `write_pairs` as pairs/learnable@v1."""
    identity = {"model": asdict(model or FakeModelConfig()), "sizes": sizes}
    config = {
        "method": {"teacher": {"kind": "re_denoise"}},
        "prompts": {"kind": "file", "split": "train", "path": "learnable.txt"},
        "stage": {"preference": preference, "margin": 0.0},
    }
    draft = ArtifactStore(outputs).begin("pairs", "learnable", "v1", identity, [], config)
    assert isinstance(draft, Draft)
    with draft:
        write_pairs(draft.path, **sizes)
        return draft.commit({})


def run_config(outputs: Path, options: TrainingOptions = BRIEF, num_devices: int = 1, **changes: Any) -> RunConfig:
    """What the command line would compose to train on `write_pairs_artifact`."""
    parts: dict[str, Any] = {
        "stage": train.Config(pairs="pairs/learnable@v1", **vars(options)),
        "model": FakeModelConfig(),
        "prompts": PromptsConfig(),
        "scorer": {},
        "noise_levels": UniformTimesteps(),
        "npnet": SMALL,
        "method": {},
        "compute": ComputeConfig(device="cpu", devices=num_devices),
        "logger": LoggerConfig(),
        "name": "learnable",
        "outputs": str(outputs),
    }
    return RunConfig(**(parts | changes))


def use_fake_model(patched: pytest.MonkeyPatch) -> None:
    """Let the stages find `FakeModel` as the model of kind "fake", in this process, until `patched` is undone."""
    module = ModuleType("fake")
    module.build = lambda *_: FakeModel()  # type: ignore[attr-defined]

    def component(kind: str) -> ModuleType:
        assert kind == "fake"
        return module

    patched.setattr(families, "component", component)


def trained_whole_and_killed(
    training_in: Callable[[Path], Training], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[GoldenNetwork, GoldenNetwork, TrainingCounts]:
    """The networks of a training and of one that is killed in its second epoch and then goes on; counts of the first.

    training_in: the same training in any folder.
    """
    whole, counts = train_npnet(training_in(tmp_path / "whole"))

    def killed(self: NoiseTraining, *_: object) -> None:
        if self.current_epoch == 1:
            raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(NoiseTraining, "on_train_batch_start", killed, raising=False)
        with pytest.raises(RuntimeError, match="killed"):
            train_npnet(training_in(tmp_path / "cut"))
    return whole, train_npnet(training_in(tmp_path / "cut"))[0], counts
