from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from tiny import TinyModel, tiny_pipeline, tiny_xl_pipeline

from goldennoise import re_denoise
from goldennoise.diffusion import families
from goldennoise.diffusion.families.latent_unet import StableDiffusion, StableDiffusionXL
from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.errors import ConfigError, ModelError
from goldennoise.runtime.seeding import gaussian_noise


def test_every_family_has_what_a_family_needs() -> None:
    assert {"stable_diffusion", "stable_diffusion_xl"} <= set(families.kinds())
    for kind in families.kinds():
        family = families.component(kind)
        assert family.Config().kind == kind
        assert callable(family.build)
        assert callable(family.from_pipeline)
        assert family.PIPELINES


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"stable_difusion.*stable_diffusion"):
        families.component("stable_difusion")


def test_parts_of_the_package_are_no_families() -> None:
    for part in families.PARTS:
        with pytest.raises(ConfigError):
            families.component(part)


def test_from_pipeline_takes_the_pipelines_own_settings() -> None:
    pipe = tiny_pipeline()
    model = from_pipeline(pipe)
    assert isinstance(model, StableDiffusion)
    assert model.latent_shape == (4, 8, 8)
    assert (model.num_steps, model.guidance) == (50, 7.5)
    assert (model.device, model.dtype) == (pipe.unet.device, pipe.unet.dtype)


def test_an_sdxl_pipeline_is_recognised() -> None:
    model = from_pipeline(tiny_xl_pipeline())
    assert isinstance(model, StableDiffusionXL)
    assert (model.latent_shape, model.num_steps, model.guidance) == ((4, 8, 8), 50, 5.0)


class Logged(StableDiffusionPipeline):
    """A user's pipeline that only says more."""

    def progress_bar(self, *arguments: Any, **options: Any) -> Any:
        return super().progress_bar(*arguments, **options)


class Sharpened(Logged):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return super().__call__(*arguments, **options)


class Reworded(StableDiffusionXLPipeline):
    def encode_prompt(self, *arguments: Any, **options: Any) -> Any:
        return super().encode_prompt(*arguments, **options)


class Rescaled(StableDiffusionPipeline):
    def prepare_latents(self, *arguments: Any, **options: Any) -> Any:
        return 2 * super().prepare_latents(*arguments, **options)


class Inpainting(StableDiffusionInpaintPipeline):
    """Of a pipeline that is taken as the model that it steers."""


def of_class(pipeline_class: type, parts: Any, **settings: Any) -> Any:
    return pipeline_class(**parts.components, **settings)


@pytest.mark.parametrize("pipeline_class", [Logged, Inpainting])
def test_a_subclass_that_calls_as_its_base_does_is_taken_as_its_base(pipeline_class: type) -> None:
    base = tiny_pipeline()
    pipe = of_class(pipeline_class, base, requires_safety_checker=False)
    assert isinstance(from_pipeline(pipe), StableDiffusion)
    source = gaussian_noise((4, 8, 8), [0])
    assert torch.equal(re_denoise(pipe, "a ring", source), re_denoise(base, "a ring", source))


def test_a_class_of_the_users_is_not_known_by_its_name_alone() -> None:
    named = type("StableDiffusionPipeline", (Sharpened,), {})
    with pytest.raises(
        ModelError, match=r"^StableDiffusionPipeline is a StableDiffusionPipeline with its own __call__,"
    ):
        from_pipeline(of_class(named, tiny_pipeline(), requires_safety_checker=False))
    unrelated = type("StableDiffusionPipeline", (), {})
    with pytest.raises(ModelError, match="StableDiffusionPipeline is not supported"):
        from_pipeline(unrelated())


@pytest.mark.parametrize(
    ("pipeline_class", "make", "base", "own"),
    [
        (Sharpened, tiny_pipeline, "StableDiffusionPipeline", "__call__"),
        (Rescaled, tiny_pipeline, "StableDiffusionPipeline", "prepare_latents"),
        (Reworded, tiny_xl_pipeline, "StableDiffusionXLPipeline", "encode_prompt"),
    ],
)
def test_a_subclass_that_may_treat_noise_or_text_otherwise_is_refused(
    pipeline_class: type, make: Any, base: str, own: str
) -> None:
    settings = {"requires_safety_checker": False} if make is tiny_pipeline else {"add_watermarker": False}
    pipe = of_class(pipeline_class, make(), **settings)
    with pytest.raises(ModelError) as caught:
        from_pipeline(pipe)
    assert str(caught.value) == (
        f"{pipeline_class.__name__} is a {base} with its own {own}, which may treat noise or text in another way: if "
        f"it does not, pass {base}.from_pipe(pipe)."
    )


def test_an_unsupported_pipeline_is_named_with_the_supported_ones() -> None:
    with pytest.raises(ModelError) as caught:
        from_pipeline(SimpleNamespace())
    assert str(caught.value) == (
        "SimpleNamespace is not supported: pass a diffusers pipeline of class "
        f"{' or '.join(sorted(families.pipelines()))}, one of these with ControlNet, "
        "or one of Stable Diffusion or SDXL that inpaints."
    )
    assert {"StableDiffusionPipeline", "StableDiffusionXLPipeline"} <= set(families.pipelines())
    with pytest.raises(ModelError, match="TinyModel"):
        from_pipeline(TinyModel())
