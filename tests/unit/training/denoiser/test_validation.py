"""The error at each noise level: that of a network whose output is known, in batches no larger than in training."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from unit.training.denoiser.world import training_data, world

from goldennoise.diffusion.noise_levels import configured
from goldennoise.training.denoiser.loss import NoiseLevelLoss
from goldennoise.training.denoiser.options import DenoiserOptions
from goldennoise.training.denoiser.validation import NUM_LEVELS, validation_errors


def test_of_a_network_that_predicts_no_noise_the_error_is_the_mean_square_of_the_noise(tmp_path: Path) -> None:
    model = world()
    data = training_data(model, tmp_path, num=30, num_held_out=10)
    loss = NoiseLevelLoss(model.alpha_bars, "epsilon", configured("uniform", {}), DenoiserOptions(batch_size=4))
    sizes, seen = [], []

    def nothing(noisy: Tensor, timesteps: Tensor, told: object) -> Tensor:  # noqa: ARG001
        sizes.append(len(noisy))
        seen.extend(timesteps.tolist())
        return torch.zeros_like(noisy)

    model.output = nothing
    table = validation_errors(model, lambda *_: {}, data, loss)
    assert sizes == [4, 4, 2] * NUM_LEVELS
    assert seen == table["timestep"].tolist()
    assert table["image"].tolist() == [*range(10)] * NUM_LEVELS
    noise = torch.randn(10, *data.latents.parts[0].shape[1:], generator=torch.Generator().manual_seed(0))
    expected = noise.double().square().mean(dim=(1, 2, 3)).repeat(NUM_LEVELS)
    np.testing.assert_allclose(table["error"], expected, rtol=1e-6)
