"""One More Step: the step by hand and as published, the marginals of training, every sampler, what it is told."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TEXT_DIM, as_prompts, tiny_pipeline, tiny_scheduler, tiny_text_config, tiny_tokenizer
from tiny_flows import tiny_sd3_pipeline
from torch import Tensor
from transformers import CLIPTextModel
from unit.networks.small_npnet import make_network as make_npnet
from unit.networks.small_one_more_step import make_network

from goldennoise.diffusion.given_pipeline import from_pipeline
from goldennoise.diffusion.schedules.schedulers import SCHEDULERS, make_scheduler
from goldennoise.errors import ConfigError, ModelError
from goldennoise.methods import build, identity
from goldennoise.methods.one_more_step import Config, OneMoreStepMethod, stepped
from goldennoise.methods.protocol import SampleBatch
from goldennoise.methods.tools import MethodTools
from goldennoise.networks.checkpoint import save_npnet
from goldennoise.runtime.seeding import derive_seed, gaussian_noise

TEXTS = ["a red circle", "two blue squares", "a star"]
NETWORK = make_network(text=(77, TEXT_DIM))


def batch_of(model: Any, texts: list[str] = TEXTS) -> SampleBatch:
    source = gaussian_noise(model.latent_shape, range(len(texts)))
    return SampleBatch(as_prompts(texts), list(range(len(texts))), model.encode(texts), source, root_seed=6)


@torch.no_grad()
def golden_of(model: Any, batch: SampleBatch | None = None, **options: Any) -> Tensor:
    return OneMoreStepMethod(Config(**options), NETWORK).golden(model, batch or batch_of(model))


def fresh(batch: SampleBatch) -> Tensor:
    """The noise that the network sees."""
    samples = zip(batch.prompts, batch.seeds, strict=True)
    seeds = [derive_seed(6, "one_more_step", prompt.id, seed) for prompt, seed in samples]
    return gaussian_noise(batch.source.shape[1:], seeds)


def test_the_published_step_forgets_the_root() -> None:
    image, noise = (gaussian_noise((4, 8, 8), seeds).double() for seeds in ([1, 2], [3, 4]))
    for alpha_bar in (0.0047, 0.0082, 0.014):
        exact, published = (stepped(image, noise, alpha_bar, variant) for variant in ("exact", "published"))
        expected = math.sqrt(alpha_bar) * image + (1 - alpha_bar) * noise
        torch.testing.assert_close(published, expected, rtol=0, atol=1e-12)
        forgotten = (math.sqrt(1 - alpha_bar) - (1 - alpha_bar)) * noise
        torch.testing.assert_close(exact - published, forgotten, rtol=0, atol=1e-12)


@torch.no_grad()
def test_the_step_is_that_of_ddpm_from_pure_noise() -> None:
    # With beta 1 the posterior of DDPM forgets the latents it comes from (Ho et al. 2020, eq. 7).
    image, noise, alpha_bar = gaussian_noise((4, 8, 8), [1]), gaussian_noise((4, 8, 8), [2]), 0.0082
    beta, before, here = 1.0, alpha_bar, 0.0
    mean = math.sqrt(before) * beta / (1 - here) * image
    expected = mean + math.sqrt((1 - before) / (1 - here) * beta) * noise
    torch.testing.assert_close(stepped(image, noise, alpha_bar), expected)


def test_images_of_the_data_give_the_marginals_of_training() -> None:
    generator, num, side = torch.Generator().manual_seed(0), 20_000, 4
    tone = torch.randn(num, 4, generator=generator) @ torch.tensor(
        [[0.7, 0.6, -0.7, -0.5], [0, 0.3, 0.1, 0], [0, 0, 0.2, 0.1], [0, 0, 0, 0.2]]
    )
    images = (tone + torch.tensor([0.2, -0.1, 0.0, 0.3]))[..., None, None] + 0.5 * torch.randn(
        num, 4, side, side, generator=generator
    )
    noises = torch.randn(2, num, 4, side, side, generator=generator)
    model = from_pipeline(tiny_pipeline())
    scheduler = tiny_scheduler()
    scheduler.set_timesteps(model.num_steps)
    first = scheduler.timesteps[:1].expand(num)
    trained = scheduler.add_noise(images, noises[0], first).double()
    alpha_bar = model.alpha_bar_of_start()
    assert alpha_bar == pytest.approx(float(scheduler.alphas_cumprod[first[0]]), abs=1e-9)

    def apart(variant: str) -> float:
        """The largest distance of moments from those of training, in standard errors."""
        started = stepped(images, noises[1], alpha_bar, variant).double()
        found = []
        for moment in (
            lambda x: x.flatten(1).mean(1),
            lambda x: x.square().flatten(1).mean(1),
            lambda x: torch.einsum("ni,nj->nij", x.mean((2, 3)), x.mean((2, 3))),
        ):
            one, other = moment(trained), moment(started)
            # Each image is in both: what differs is the noise alone.
            error = (one - other).std(0) / math.sqrt(num)
            found.append(((one - other).mean(0) / error).abs().max())
        return float(torch.stack(found).max())

    assert apart("exact") < 3
    assert apart("published") > 4


@pytest.mark.parametrize(("guidance", "passes"), [(1.0, 1), (2.5, 2), (0.0, 2)])
@torch.no_grad()
def test_golden_noise_by_hand(guidance: float, passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = from_pipeline(tiny_pipeline())
    batch, alpha_bar = batch_of(model), model.alpha_bar_of_start()
    given = NETWORK(fresh(batch), model.encode(TEXTS).cond)
    without = NETWORK(fresh(batch), model.encode([""] * 3).cond)
    image = without + guidance * (given - without)
    expected = math.sqrt(alpha_bar) * image + math.sqrt(1 - alpha_bar) * batch.source
    calls: list[int] = []
    forward = type(NETWORK).forward
    monkeypatch.setattr(type(NETWORK), "forward", lambda *given: (calls.append(len(given[1])), forward(*given))[1])
    torch.testing.assert_close(golden_of(model, batch, guidance=guidance), expected, rtol=0, atol=1e-5)
    assert calls == [3 * passes]
    assert model.num_evaluations == 0


@torch.no_grad()
def test_the_networks_prompt_is_its_own() -> None:
    model = from_pipeline(tiny_pipeline())
    toned = golden_of(model, prompt="dark {prompt}")
    batch = batch_of(model)
    told = SampleBatch(batch.prompts, batch.seeds, model.encode([f"dark {text}" for text in TEXTS]), batch.source, 6)
    torch.testing.assert_close(toned, golden_of(model, told))
    assert not torch.allclose(toned, golden_of(model), atol=1e-4)


def test_a_row_depends_on_its_sample_alone() -> None:
    model = from_pipeline(tiny_pipeline())
    whole, batch = golden_of(model, guidance=2.0), batch_of(model)
    for row, text in enumerate(TEXTS):
        alone = SampleBatch(as_prompts([text]), [row], model.encode([text]), batch.source[row : row + 1], 6)
        torch.testing.assert_close(golden_of(model, alone, guidance=2.0)[0], whole[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("option", SCHEDULERS)
def test_alpha_bar_is_that_of_the_samplers_first_timestep(option: str, spacing: str) -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = make_scheduler(option, pipe.scheduler.config, spacing)
    model = from_pipeline(pipe)
    model.num_steps = 10
    pipe.scheduler.set_timesteps(10)
    first = pipe.scheduler.timesteps[0]
    assert model.alpha_bar_of_start() == pytest.approx(float(pipe.scheduler.alphas_cumprod[int(first)]), rel=1e-5)
    if spacing == "leading" and option != "lcm":
        assert int(first) == 901


@torch.no_grad()
def test_own_timesteps_count() -> None:
    pipe = tiny_pipeline()
    pipe.scheduler = make_scheduler("euler", pipe.scheduler.config)
    model = from_pipeline(pipe)
    model.num_steps, model._timesteps = 3, [850, 400, 10]
    assert model.alpha_bar_of_start() == pytest.approx(float(pipe.scheduler.alphas_cumprod[850]), rel=1e-5)


@pytest.mark.parametrize("option", ["euler", "heun", "euler_a", "dpmpp_2m", "unipc", "pndm"])
@torch.no_grad()
def test_the_denoiser_sees_the_same_whatever_the_sampler(option: str) -> None:
    pipe = tiny_pipeline()
    expected = golden_of(from_pipeline(pipe))
    pipe.scheduler = make_scheduler(option, pipe.scheduler.config, "leading")
    model = from_pipeline(pipe)
    golden = golden_of(model)
    if option not in ("dpmpp_2m", "unipc"):  # which space their timesteps otherwise, so that they begin elsewhere
        torch.testing.assert_close(golden, expected, rtol=0, atol=1e-6)
    started = model._schedule.start(pipe.scheduler, golden, model.num_steps)
    seen = model._schedule.network_input(pipe.scheduler, started, pipe.scheduler.timesteps[0])
    torch.testing.assert_close(seen, golden, rtol=0, atol=1e-6)


def zero_terminal() -> Any:
    return tiny_pipeline(
        rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing", set_alpha_to_one=True
    )


@pytest.mark.parametrize("make", [tiny_sd3_pipeline, zero_terminal])
def test_models_that_start_from_pure_noise_have_nothing_to_gain(make: Any) -> None:
    model = from_pipeline(make())
    batch = SampleBatch(as_prompts(TEXTS), [0, 1, 2], model.encode(TEXTS), gaussian_noise(model.latent_shape, range(3)))
    with pytest.raises(ModelError, match="starts from pure noise, in which nothing of an image is left"):
        golden_of(model, batch)


def test_a_tone_is_not_added_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    model = from_pipeline(tiny_pipeline())
    monkeypatch.setattr(type(model), "is_toned", True)
    with pytest.raises(ModelError, match=r"the tone that source noise has already: set model\.tone=null"):
        golden_of(model)


def test_a_zero_terminal_schedule_that_starts_below_its_end_is_no_obstacle() -> None:
    pipe = zero_terminal()
    pipe.scheduler = make_scheduler("ddim", pipe.scheduler.config, "leading")
    assert golden_of(from_pipeline(pipe)).isfinite().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": "dark background"}, r"prompt='dark background': prompt must be a text with {prompt}, where the"),
        ({"guidance": -1.0}, "guidance=-1.0: guidance must be a finite number >= 0"),
        ({"variant": "both"}, "variant=both: variant must be exact or published"),
        ({"text_encoder": ""}, "text_encoder='': text_encoder must be null or a folder"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Config(**options)


def test_a_network_that_predicts_noise_is_refused(tmp_path: Path) -> None:
    save_npnet(make_npnet(), tmp_path, {})
    with pytest.raises(ModelError, match=r"npnet/x@v1 predicts noise, not an image: give it to method=\[npnet\]"):
        build(Config(artifact="npnet/x@v1"), MethodTools({}, lambda *_: tmp_path))


@pytest.fixture(scope="module")
def text_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of another width than the model's own."""
    folder, tokenizer = tmp_path_factory.mktemp("text_encoder"), tiny_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        CLIPTextModel(tiny_text_config(tokenizer, 24, num_layers=2)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def test_a_text_encoder_of_its_own(text_encoder: Path, tmp_path: Path) -> None:
    network = make_network(text=(77, 24))
    save_npnet(network, tmp_path, {})
    model, tools = from_pipeline(tiny_pipeline()), MethodTools({}, lambda *_: tmp_path)
    batch, alpha_bar = batch_of(model), model.alpha_bar_of_start()
    tokens = tiny_tokenizer()(TEXTS + [""] * 3, padding="max_length", max_length=77, return_tensors="pt").input_ids
    given, without = CLIPTextModel.from_pretrained(text_encoder).eval()(tokens).last_hidden_state.chunk(2)
    image = network(fresh(batch), without) + 2 * (network(fresh(batch), given) - network(fresh(batch), without))
    expected = math.sqrt(alpha_bar) * image + math.sqrt(1 - alpha_bar) * batch.source
    method = build(Config(guidance=2.0, text_encoder=str(text_encoder)), tools)
    torch.testing.assert_close(method.golden(model, batch), expected, rtol=0, atol=1e-5)
    with pytest.raises(ModelError, match=r"width 24, not 4 and 16: .*set text_encoder"):
        build(Config(), tools).golden(model, batch)


def test_a_text_encoder_is_known_by_its_content(text_encoder: Path, tmp_path: Path) -> None:
    first = identity(Config(text_encoder=str(text_encoder)))
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in text_encoder.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    assert identity(Config(text_encoder=str(moved), artifact="npnet/other@v1")) == first
    (moved / "config.json").write_text("{}")
    assert identity(Config(text_encoder=str(moved))) != first
    assert identity(Config())["text_encoder"] is None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("tokenizer", "holds no tokenizer: give a folder"),
        ("config.json", "holds no CLIP text model of transformers"),
        ("model.safetensors", "holds no CLIP text model of transformers"),
    ],
)
def test_another_folder_is_refused(damage: str, words: str, text_encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    for file in text_encoder.iterdir():
        if not file.name.startswith(damage) and not (damage == "tokenizer" and file.name == "vocab.json"):
            (folder / file.name).write_bytes(file.read_bytes())
    save_npnet(NETWORK, tmp_path / "network", {})
    with pytest.raises(ModelError, match=words):
        build(Config(text_encoder=str(folder)), MethodTools({}, lambda *_: tmp_path / "network"))


def test_weights_that_are_missing_are_no_random_ones(text_encoder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    for file in text_encoder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors: dict[str, np.ndarray] = load_file(tmp_path / "model.safetensors")
    name = next(name for name in tensors if name.endswith("final_layer_norm.weight"))
    del tensors[name]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    save_npnet(NETWORK, tmp_path / "network", {})
    with pytest.raises(ModelError, match=r"lacks weights of its text model, .*final_layer_norm\.weight for one"):
        build(Config(text_encoder=str(tmp_path)), MethodTools({}, lambda *_: tmp_path / "network"))
