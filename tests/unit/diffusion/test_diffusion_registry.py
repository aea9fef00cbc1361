from types import SimpleNamespace

import pytest
from tiny import TinyModel, tiny_pipeline, tiny_xl_pipeline

from goldennoise import diffusion
from goldennoise.diffusion.latent_unet import StableDiffusion, StableDiffusionXL
from goldennoise.errors import ConfigError, ModelError


def test_every_family_has_what_a_family_needs() -> None:
    assert {"stable_diffusion", "stable_diffusion_xl"} <= set(diffusion.kinds())
    for kind in diffusion.kinds():
        family = diffusion.component(kind)
        assert family.Config().kind == kind
        assert callable(family.build)
        assert callable(family.from_pipeline)
        assert family.PIPELINES


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"stable_difusion.*stable_diffusion"):
        diffusion.component("stable_difusion")


def test_parts_of_the_package_are_no_families() -> None:
    for part in diffusion.PARTS:
        with pytest.raises(ConfigError):
            diffusion.component(part)


def test_from_pipeline_takes_the_pipelines_own_settings() -> None:
    pipe = tiny_pipeline()
    model = diffusion.from_pipeline(pipe)
    assert isinstance(model, StableDiffusion)
    assert model.latent_shape == (4, 8, 8)
    assert (model.num_steps, model.guidance) == (50, 7.5)
    assert (model.device, model.dtype) == (pipe.unet.device, pipe.unet.dtype)


def test_an_sdxl_pipeline_is_recognised() -> None:
    model = diffusion.from_pipeline(tiny_xl_pipeline())
    assert isinstance(model, StableDiffusionXL)
    assert (model.latent_shape, model.num_steps, model.guidance) == ((4, 8, 8), 50, 5.0)


def test_an_unsupported_pipeline_is_named_with_the_supported_ones() -> None:
    with pytest.raises(ModelError) as caught:
        diffusion.from_pipeline(SimpleNamespace())
    assert str(caught.value) == (
        "SimpleNamespace is not supported: pass a diffusers pipeline of class "
        f"{' or '.join(sorted(diffusion.pipelines()))}, one of these with ControlNet, "
        "or one of Stable Diffusion or SDXL that inpaints."
    )
    assert {"StableDiffusionPipeline", "StableDiffusionXLPipeline"} <= set(diffusion.pipelines())
    with pytest.raises(ModelError, match="TinyModel"):
        diffusion.from_pipeline(TinyModel())
