"""What a training takes, told ahead, against what it takes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny import TinyModel, tiny_pipeline
from unit.methods.searching import Greenness
from unit.training.learnable import BRIEF, LATENT, SMALL

from goldennoise.data.pairs.reader import PairReader
from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.networks import network_config
from goldennoise.networks.network import blank_network
from goldennoise.networks.noise_lora import Config as NoiseLora
from goldennoise.training import objectives
from goldennoise.training.engine.costs import Course
from goldennoise.training.engine.fit import Training, TrainingCounts, train_npnet
from goldennoise.training.engine.options import TrainingOptions
from goldennoise.training.engine.trainer import Setting

OPTIONS = replace(
    BRIEF, num_epochs=3, reward_steps=2, keep_rejected=True, sample_every_epochs=2, num_samples=2, validation_share=0.2
)


def trained(reader: PairReader, model: Any, network: Any, options: TrainingOptions, folder: Path) -> TrainingCounts:
    scorer = Greenness() if options.objective == "reward" else None
    objective = objectives.component(options.objective).Loss(options, model, scorer)
    _, counts = train_npnet(
        Training(reader, model, network, options, objective, folder, setting=Setting(progress_bar=False))
    )
    return counts


def told(network: Any, options: TrainingOptions, model: Any) -> dict[str, Amount]:
    sampling = Sampling(model.num_steps, model.guidance)
    return Course(options, objectives.component(options.objective).Loss, network, sampling).costs(Amount.exactly(48), 2)


@pytest.mark.parametrize("objective", ["regression", "reward"])
def test_a_training_costs_what_was_told(reader: PairReader, tmp_path: Path, objective: str) -> None:
    model, options = TinyModel(num_steps=3, latent_shape=LATENT), replace(OPTIONS, objective=objective)
    counts, expected = trained(reader, model, SMALL, options, tmp_path), told(SMALL, options, model)
    assert expected["evaluations"] == Amount.exactly(model.num_evaluations)
    assert expected["validation"] == Amount.exactly(counts.num_validation_pairs)
    assert expected["training"] == Amount.exactly(counts.num_pairs - counts.num_validation_pairs)
    assert expected["steps"] == Amount.exactly(int(pd.read_csv(tmp_path / "training.csv")["step"].iloc[-1]))


def test_a_lora_on_the_denoiser_evaluates_the_model_too(reader: PairReader, tmp_path: Path) -> None:
    model: Any = from_pipeline(tiny_pipeline())
    model.latent_shape, model.num_steps, model.guidance = LATENT, 2, 3.0
    trained(reader, model, NoiseLora(rank=2), OPTIONS, tmp_path)
    assert told(NoiseLora(rank=2), OPTIONS, model)["evaluations"] == Amount.exactly(model.num_evaluations)


def test_what_the_filter_keeps_is_bounded() -> None:
    found = Course(OPTIONS, objectives.component("regression").Loss, SMALL, Sampling(3, 1.0)).costs(Amount(0, 48), 2)
    assert found["training"] == Amount(0, 38)
    assert found["evaluations"].least == 0


def test_stored_numbers_are_those_that_the_network_computes() -> None:
    config = network_config(SMALL, LATENT, 3, 4)
    frozen = blank_network(config).frozen_inputs(torch.randn(2, *LATENT))
    assert config.num_frozen == sum(part[0].numel() for part in frozen) > 0
    assert network_config(NoiseLora(), LATENT, 3, 4).num_frozen == 0
