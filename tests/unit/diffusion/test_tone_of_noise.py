"""Tones: what is drawn, and where a sampler starts."""

from typing import Any

import pytest
import torch
from tiny import tiny_pipeline
from tiny_flows import tiny_sd3_pipeline

from goldennoise.data.shapes.locations import TONES
from goldennoise.diffusion import families
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.identity import model_identity
from goldennoise.diffusion.schedules.schedulers import SCHEDULERS, SPACINGS, make_scheduler
from goldennoise.diffusion.tone import Tones, load_tones, toned
from goldennoise.errors import ConfigError, DataError, ModelError
from goldennoise.methods.tone import Config, ToneMethod


def tones() -> Tones:
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(64, 4, generator=generator) @ torch.randn(4, 4, generator=generator) + 0.5
    return Tones(mixed, torch.linspace(0, 100, 64))


def test_a_gaussian_has_the_mean_and_the_covariance() -> None:
    known = tones()
    drawn = known.draw("gaussian", range(20_000))
    torch.testing.assert_close(drawn.mean(0), known.channel_means.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.T.cov(), known.channel_means.T.cov(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("kind", ["other", "gaussian"])
def test_a_row_depends_on_its_seed_alone(kind: str) -> None:
    together = tones().draw(kind, [5, 2**62, 9])
    alone = torch.cat([tones().draw(kind, [seed]) for seed in (5, 2**62, 9)])
    torch.testing.assert_close(together, alone)


def test_no_light_image() -> None:
    with pytest.raises(DataError, match="none of the 64 images is lighter than mid grey: take others, or of=other"):
        tones().draw("light", [0])


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(DataError, match="one image has no covariance, which of=gaussian draws by: take more"):
        Tones(torch.zeros(1, 4), torch.zeros(1)).draw("gaussian", [0])


def test_the_marginal_is_that_of_the_forward_process() -> None:
    """Mean and covariance of the channel means of sqrt(a) x_0 + sqrt(1 - a) z, in 3 standard errors."""
    known, alpha_bar, num = tones(), 0.3, 20_000
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(num, 4, 4, 4, generator=generator)
    found = toned(noise, known.draw("other", range(num)), alpha_bar).mean((2, 3))
    rows = torch.arange(num) % 64
    fresh = torch.randn(num, 4, 4, 4, generator=generator).mean((2, 3))
    expected = alpha_bar**0.5 * known.channel_means[rows] + (1 - alpha_bar) ** 0.5 * fresh
    error = (found.var(0) / num * 2).sqrt()
    assert ((found.mean(0) - expected.mean(0)).abs() < 3 * error).all()
    torch.testing.assert_close(found.T.cov(), expected.T.cov(), rtol=0.05, atol=0.01)


def test_saved_and_loaded(tmp_path: Any) -> None:
    tones().save(tmp_path / "tones.safetensors")
    assert torch.equal(load_tones(tmp_path / "tones.safetensors").channel_means, tones().channel_means)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("option", [option for option in SCHEDULERS if option not in ("lcm", "pndm")])
def test_where_the_sampler_starts(option: str, spacing: str) -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = make_scheduler(option, pipe.scheduler.config, spacing)
    model = from_pipeline(pipe)
    pipe.scheduler.set_timesteps(model.num_steps)
    first = float(pipe.scheduler.timesteps[0])
    assert first == int(first)
    assert model.alpha_bar_of_start() == pytest.approx(float(pipe.scheduler.alphas_cumprod[int(first)]), rel=1e-6)


def test_a_flow_starts_from_pure_noise() -> None:
    with pytest.raises(ModelError, match="starts from pure noise"):
        from_pipeline(tiny_sd3_pipeline()).alpha_bar_of_start()


def test_a_toned_model_starts_from_toned_noise() -> None:
    family = families.component("stable_diffusion")
    plain, model = (
        family.build(family.Config(num_steps=20, tone=tone), torch.device("cpu")) for tone in (None, "shapes")
    )
    assert (plain.is_toned, model.is_toned) == (False, True)
    seeds = [3, 2**62]
    noise, found = plain.initial_noise(seeds), model.initial_noise(seeds)
    drawn = load_tones(TONES).draw("other", seeds)
    torch.testing.assert_close(found, toned(noise, drawn, model.alpha_bar_of_start()))
    torch.testing.assert_close(model.initial_noise(seeds[1:])[0], found[1])
    with pytest.raises(ModelError, match=r"set model\.tone=null to compare other tones"):
        ToneMethod(Config()).golden(model, None)  # type: ignore[arg-type]


def test_the_shipped_tones_are_those_of_the_worlds_renders() -> None:
    """Dark or light and never between, whose channel means lie on both sides of zero."""
    known = load_tones(TONES)
    assert known.channel_means.shape == (512, 4)
    is_dark = known.lightness < 127.5
    assert 0.4 < is_dark.float().mean() < 0.6
    assert not ((known.lightness > 85) & (known.lightness < 170)).any()
    assert (known.channel_means[is_dark].mean(0) * known.channel_means[~is_dark].mean(0) < 0).all()
    assert TONES.stat().st_mode & 0o044 == 0o044


def test_identity_of_a_tone(tmp_path: Any) -> None:
    family = families.component("stable_diffusion")
    assert "tone" not in model_identity(family.Config())
    assert model_identity(family.Config(tone="shapes"))["tone"] == "shapes"
    tones().save(tmp_path / "a.safetensors")
    first = model_identity(family.Config(tone=str(tmp_path / "a.safetensors")))["tone"]
    (tmp_path / "a.safetensors").rename(tmp_path / "b.safetensors")
    assert model_identity(family.Config(tone=str(tmp_path / "b.safetensors")))["tone"] == first


def test_mistakes_in_the_option(tmp_path: Any) -> None:
    with pytest.raises(ModelError, match=r"none\.safetensors is no file: give a \.safetensors file of tones"):
        model_identity(families.component("stable_diffusion").Config(tone=str(tmp_path / "none.safetensors")))
    with pytest.raises(ConfigError, match='tone must be null, "shapes" or a'):
        families.component("stable_diffusion").Config(tone="shape")
    with pytest.raises(ConfigError, match="tone must be null for this family, which starts from pure noise"):
        families.component("sana").Config(tone="shapes")
