"""Arguments of the public calls that are of another kind, out of range or do not fit together: one sentence each."""

from typing import Any

import pytest
import torch
from unit.diffusion.families.test_families import shared
from unit.test_api import PROMPTS, _generator, _network

from goldennoise import GoldenNoise, re_denoise
from goldennoise.errors import ConfigError, ModelError
from goldennoise.runtime.seeding import gaussian_noise


@pytest.fixture
def pipe() -> Any:
    return shared("stable_diffusion")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latents": torch.zeros(3, 4, 8, 8)}, "a batch of 3: latents must be one noise for each of the 2 prompts"),
        (
            {"latents": torch.zeros(2, 4, 8, 8).long()},
            r"a tensor of torch\.int64: latents must be a floating-point tensor",
        ),
        ({"latents": torch.zeros(2, 4, 8, 8) * 1j}, r"a tensor of torch\.complex64: latents must be a floating-point"),
        ({"latents": torch.zeros(2, 4, 8, 8).numpy()}, "a ndarray: latents must be a floating-point tensor"),
        ({"latents": torch.tensor(1.0)}, r"a tensor of torch\.float32: latents must be a floating-point tensor \(B, C"),
        ({"generator": [torch.Generator()]}, "a list of 1: generator must be one generator, or one for each of the 2"),
        ({"generator": []}, "a list of 0: generator must be one generator, or one for each of the 2"),
        ({"generator": 7}, r"^generator=7: generator must be a torch\.Generator, such as"),
        ({"generator": [torch.Generator(), 7]}, r"generator must be a torch\.Generator, such as"),
    ],
)
def test_noise_that_does_not_fit_is_refused(pipe: Any, arguments: dict[str, Any], message: str) -> None:
    for call in (GoldenNoise(_network()), re_denoise):
        with pytest.raises(ConfigError, match=message) as caught:
            call(pipe, PROMPTS, **arguments)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (None, "^prompt=None: "),
        (3, "^prompt=3: "),
        ([], r"^prompt=\[\]: "),
        (["a ring", None], "^prompt=a list with None: "),
        ([["a ring"]], r"^prompt=a list with \['a ring'\]: "),
        (b"a ring", "^prompt=a list with 97: "),
    ],
)
def test_what_is_no_prompt_is_refused(pipe: Any, prompt: Any, message: str) -> None:
    for call in (GoldenNoise(_network()), re_denoise):
        with pytest.raises(ConfigError, match=f"{message}prompt must be a text or a list of at least one$"):
            call(pipe, prompt)


@pytest.mark.parametrize("prompt", [("a ring",), iter(["a ring"])])
def test_prompts_may_stand_in_anything_that_lists_them(pipe: Any, prompt: Any) -> None:
    source = gaussian_noise((4, 8, 8), [0])
    assert torch.equal(re_denoise(pipe, prompt, source, num_steps=2), re_denoise(pipe, "a ring", source, num_steps=2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_noise_of_another_dtype_is_taken_as_the_pipeline_takes_it(pipe: Any, dtype: torch.dtype) -> None:
    source = gaussian_noise((4, 8, 8), [0, 1]).to(dtype)
    for call in (GoldenNoise(_network()), re_denoise):
        golden = call(pipe, PROMPTS, latents=source)
        assert golden.dtype == torch.float32
        assert torch.equal(golden, call(pipe, PROMPTS, latents=source.float()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"denoise_guidance": "5.5"}, "denoise_guidance='5.5': denoise_guidance must be a finite number"),
        ({"invert_guidance": float("nan")}, "invert_guidance=nan: invert_guidance must be a finite number"),
        ({"denoise_guidance": None}, "denoise_guidance=None: denoise_guidance must be a finite number"),
        ({"num_steps": 10.0}, r"num_steps=10\.0: num_steps must be a whole number"),
        ({"num_steps": "10"}, "num_steps='10': num_steps must be a whole number"),
        ({"num_rounds": None}, "num_rounds=None: num_rounds must be a whole number"),
        ({"depth": 1.5}, r"depth=1\.5: depth must be a whole number"),
        ({"negative_prompt": 3}, "negative_prompt=a int: negative_prompt must be one text for all prompts"),
    ],
)
def test_numbers_of_re_denoise_that_are_none_are_refused(pipe: Any, arguments: dict[str, Any], message: str) -> None:
    generator = _generator()
    with pytest.raises(ConfigError, match=f"^{message}"):
        re_denoise(pipe, PROMPTS, generator=generator, **arguments)
    assert torch.equal(generator.get_state(), _generator().get_state())


@pytest.mark.parametrize("side", ["64", 64.0, 0, -8, True])
def test_a_size_that_is_none_is_refused(pipe: Any, side: Any) -> None:
    with pytest.raises(ConfigError, match=f"^height={side}: height must be a multiple of 4 px"):
        GoldenNoise(_network())(pipe, PROMPTS, height=side)


@pytest.mark.parametrize("other", [None, "pipe", torch.nn.Identity()])
def test_no_pipeline_is_refused(other: Any) -> None:
    for call in (GoldenNoise(_network()), re_denoise):
        with pytest.raises(ModelError, match=f"^{type(other).__name__} is not supported: pass a diffusers pipeline"):
            call(other, "a ring")


def test_a_compiled_network_is_a_network(pipe: Any) -> None:
    network, source = _network(), gaussian_noise((4, 8, 8), [0, 1])
    compiled, plain = (GoldenNoise(one) for one in (torch.compile(network, backend="eager"), network))
    torch.testing.assert_close(compiled(pipe, PROMPTS, latents=source), plain(pipe, PROMPTS, latents=source))


@pytest.mark.parametrize("other", ["outputs/npnet/demo/v1", None, torch.nn.Identity(), shared("stable_diffusion").unet])
def test_no_network_is_refused(other: Any) -> None:
    with pytest.raises(ConfigError, match=f"^network=a {type(other).__name__}: .*GoldenNoise.from_pretrained"):
        GoldenNoise(other)
