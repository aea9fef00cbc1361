"""What every scorer with published weights must do, on small random weights by the code that reads the real ones."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_weights
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import as_prompts
from tiny_weights import WRITERS, built
from torch import Tensor

from goldennoise import scorers as scorer_kinds
from goldennoise.data.images import read_image
from goldennoise.errors import ConfigError, ScorerError
from goldennoise.scorers import clipscore, hpsv2, imagereward, mps
from goldennoise.scorers.batch import score_batch
from goldennoise.scorers.networks import preprocess
from goldennoise.scorers.options import WeightsConfig
from goldennoise.scorers.protocol import Scorer, TextReader

LONG = "a very long prompt about nothing, " * 40
PROMPTS = ["a red dog", "two blue cats", "", "naïve café 猫 🐈", LONG]
READS_PROMPTS = sorted(set(WRITERS) - {"aesthetic"})


@pytest.fixture(scope="module", autouse=True)
def _small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_weights.shrink(patch, tmp_path_factory.mktemp("architecture"))
        yield


@pytest.fixture(scope="module")
def scorers(tmp_path_factory: pytest.TempPathFactory, _small: None) -> dict[str, Scorer]:
    return {kind: built(write(tmp_path_factory.mktemp(kind))) for kind, write in WRITERS.items()}


@pytest.fixture(params=sorted(WRITERS))
def scorer(request: pytest.FixtureRequest, scorers: dict[str, Scorer]) -> Scorer:
    return scorers[request.param]


def some_images(num: int = len(PROMPTS), height: int = 48, width: int = 40) -> Tensor:
    """Distinct pictures: noise under a slope of its own colour."""
    generator = torch.Generator().manual_seed(num * height + width)
    slope = torch.linspace(0, 1, width).expand(num, 3, height, width) * torch.rand(num, 3, 1, 1, generator=generator)
    return (0.6 * slope + 0.4 * torch.rand(num, 3, height, width, generator=generator)).clamp(0, 1)


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_one_finite_float_per_image_on_the_cpu(scorer: Scorer) -> None:
    scores = scorer.score(some_images(), as_prompts(PROMPTS))
    assert (scores.shape, scores.dtype, scores.device.type) == ((len(PROMPTS),), torch.float32, "cpu")
    assert scores.isfinite().all()
    assert scores.std() > 1e-3


def test_batch_equals_single(scorer: Scorer) -> None:
    images = some_images()
    alone = [scorer.score(images[i : i + 1], as_prompts(PROMPTS[i : i + 1])) for i in range(len(PROMPTS))]
    close(scorer.score(images, as_prompts(PROMPTS)), torch.cat(alone))


def test_a_prompt_that_was_read_before_scores_as_one_that_was_not(tmp_path: Path, scorer: Scorer) -> None:
    images = some_images()
    once = scorer.score(images, as_prompts(PROMPTS))
    close(scorer.score(images, as_prompts(PROMPTS)), once)
    close(built(WRITERS[scorer.name](tmp_path)).score(images, as_prompts(PROMPTS)), once)


def test_scores_follow_the_order_of_images_and_prompts(scorer: Scorer) -> None:
    images, order = some_images(), [3, 0, 4, 1, 2]
    permuted = scorer.score(images[order], as_prompts([PROMPTS[place] for place in order]))
    close(permuted, scorer.score(images, as_prompts(PROMPTS))[order])


@pytest.mark.parametrize("kind", READS_PROMPTS)
def test_the_prompt_tells(scorers: dict[str, Scorer], kind: str) -> None:
    images = some_images(1).expand(len(PROMPTS), -1, -1, -1)
    assert len(set(scorers[kind].score(images, as_prompts(PROMPTS)).tolist())) > 1


def test_the_aesthetic_score_ignores_the_prompt(scorers: dict[str, Scorer]) -> None:
    images = some_images()
    close(
        scorers["aesthetic"].score(images, as_prompts(PROMPTS[::-1])),
        scorers["aesthetic"].score(images, as_prompts(PROMPTS)),
    )


@pytest.mark.parametrize("size", [(32, 32), (33, 90), (120, 31), (7, 200)])
def test_images_of_any_size(scorer: Scorer, size: tuple[int, int]) -> None:
    assert scorer.score(some_images(2, *size), as_prompts(PROMPTS[:2])).isfinite().all()


def test_the_middle_is_seen_and_by_hpsv2_the_whole(scorer: Scorer) -> None:
    wide = some_images(1, 32, 67)
    odd, even = wide[..., 17:49], wide[..., 18:50]
    seen = scorer.score(wide, as_prompts(["a dog"]))
    if scorer.name == "hpsv2":
        images = wide.clone().requires_grad_()
        scorer.score(images, as_prompts(["a dog"])).sum().backward()
        assert images.grad is not None
        assert (images.grad.abs().sum(dim=(0, 1, 2)) > 0).all()
    else:
        close(seen, scorer.score(odd if scorer.name in ("pickscore", "mps") else even, as_prompts(["a dog"])))
    assert (scorer.score(odd, as_prompts(["a dog"])) - scorer.score(even, as_prompts(["a dog"]))).abs() > 3e-4


@pytest.mark.parametrize(
    ("kind", "num_words"), [("hpsv2", 75), ("clipscore", 72), ("pickscore", 75), ("mps", 75), ("imagereward", 33)]
)
def test_prompts_are_cut_where_the_reference_cuts_them(scorers: dict[str, Scorer], kind: str, num_words: int) -> None:
    images = best_images(scorers[kind], ["c"])
    for kept in (num_words, num_words - 1):
        prompts = [" ".join(["c"] * kept + [last]) for last in ("d", "e")]
        one, other = scorers[kind].score(images.expand(2, -1, -1, -1), as_prompts(prompts)).tolist()
        assert (one == other) == (kept == num_words)


def best_images(scorer: Scorer, prompts: Sequence[str]) -> Tensor:
    """The image that the scorer likes best for each prompt."""
    images = some_images(12)
    best = [scorer.score(images, as_prompts([prompt] * len(images))).argmax() for prompt in prompts]
    return images[torch.stack(best)]


def test_the_gradient_is_that_of_finite_differences(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the score without the 8-bit rounding, which the gradient leaves out: steps of levels have no slope."""
    monkeypatch.setattr(preprocess, "_rounded", lambda images: images)
    assert scorer.differentiable
    generator = torch.Generator().manual_seed(3)
    start = 0.3 + 0.4 * some_images(2)
    way = torch.randn(start.shape, generator=generator)
    prompts = best_prompts(scorer, start)
    images = start.clone().requires_grad_()
    scorer.score(images, as_prompts(prompts)).sum().backward()
    assert images.grad is not None
    slope, step = (images.grad * way).sum(), 1e-3
    ahead, behind = (scorer.score(start + side * step * way, as_prompts(prompts)).double().sum() for side in (1, -1))
    assert slope.abs() > 1e-4
    torch.testing.assert_close(((ahead - behind) / (2 * step)).float(), slope, rtol=0.03, atol=1e-3)


def best_prompts(scorer: Scorer, images: Tensor) -> Sequence[str]:
    """For each image the prompt it scores highest for: CLIPScore has no gradient where its cosine is negative."""
    words = [*PROMPTS, "green", "a house by the sea", "one", "four birds"]
    scores = torch.stack([scorer.score(images, as_prompts([word] * len(images))) for word in words])
    return [words[place] for place in scores.argmax(dim=0)]


def test_missing_pixels_are_refused_not_scored(scorer: Scorer) -> None:
    images = some_images(2)
    images[1, 1, 20, 20] = float("nan")
    with pytest.raises(ScorerError, match=rf"scorer {scorer.name} gives nan for b\.png"):
        score_batch({scorer.name: scorer}, images, as_prompts(PROMPTS[:2]), ["a.png", "b.png"])


def test_lower_precision_scores_nearly_the_same(scorer: Scorer, tmp_path: Path) -> None:
    config = replace(WRITERS[scorer.name](tmp_path), dtype="bfloat16")
    low = built(config).score(some_images(), as_prompts(PROMPTS))
    full = scorer.score(some_images(), as_prompts(PROMPTS))
    assert low.dtype == torch.float32
    assert not torch.equal(low, full)
    assert (low - full).abs().max() < 0.25 * (full.abs().max() + full.std())


def test_the_version_is_that_of_the_weights(scorer: Scorer, tmp_path: Path) -> None:
    versions = []
    for name, seed in (("same", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        versions.append(built(WRITERS[scorer.name](tmp_path / name, seed)).version)
    assert versions[0] == scorer.version != versions[1]


def test_the_version_is_known_without_loading_while_the_files_are_here(scorer: Scorer, tmp_path: Path) -> None:
    config = WRITERS[scorer.name](tmp_path)
    module = scorer_kinds.component(scorer.name)
    assert module.version(config) == scorer.version
    files = [file for file in tmp_path.rglob("*") if file.suffix in (".safetensors", ".pt", ".pth", ".json")]
    assert files
    for file in files:
        file.rename(file.with_name(f"moved-{file.name}"))
    assert module.version(config) is None


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_the_version_is_that_of_everything_pickscore_is_built_from(tmp_path: Path, file: str) -> None:
    versions = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        config = WRITERS["pickscore"](tmp_path / name)
        if name == "other":
            found = next((tmp_path / name).rglob(file))
            found.write_text(found.read_text() + " ")
        versions.append(built(config).version)
    assert versions[0] != versions[1]


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_where_the_weights_lie_decides_nothing_and_their_precision_does(kind: str) -> None:
    config = scorer_kinds.component(kind).Config()
    found = scorer_kinds.identities({"": config})
    assert scorer_kinds.identities({"": replace(config, path="elsewhere", revision="v2")}) == found
    assert scorer_kinds.identities({"": replace(config, dtype="bfloat16")}) != found


@pytest.mark.parametrize("kind", sorted(set(WRITERS) - {"mps", "imagereward", "aesthetic"}))
def test_image_features_have_unit_length(scorers: dict[str, Any], kind: str) -> None:
    features = scorers[kind].embed(some_images())
    close(features.norm(dim=1), torch.ones(len(PROMPTS)))
    assert features.device.type == "cpu"


def test_a_file_from_a_folder_is_scored_whatever_its_mode(scorer: Scorer, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 65536, (40, 48), dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "16bit.png")
    Image.fromarray(np.uint8(grey >> 8)).save(tmp_path / "grey.png")
    Image.fromarray(np.uint8(grey >> 8)).convert("RGBA").save(tmp_path / "rgba.png")
    read = [read_image(tmp_path / name) for name in ("16bit.png", "grey.png", "rgba.png")]
    images = torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2)
    scores = scorer.score(images, as_prompts(["a dog"] * 3))
    assert scores[1] == scores[2]
    torch.testing.assert_close(scores[0], scores[1], rtol=0.1, atol=0.1)


def test_clipscore_is_never_negative_and_the_prefix_is_part_of_it(tmp_path: Path) -> None:
    config = WRITERS["clipscore"](tmp_path)
    bare, prefixed = built(replace(config, prefix="")), built(config)
    assert bare.version != prefixed.version
    images = some_images()
    scores = bare.score(images, as_prompts(PROMPTS))
    close(
        bare.score(images, as_prompts([f"A photo depicts {prompt}" for prompt in PROMPTS])),
        prefixed.score(images, as_prompts(PROMPTS)),
    )
    cosines = (bare.embed(images) * bare._towers.texts(PROMPTS)).sum(1)  # type: ignore[attr-defined]
    assert (cosines < 0).any()
    assert (cosines > 0).any()
    close(scores, 2.5 * cosines.clamp(min=0))


def test_hpsv2_tells_its_releases_apart(tmp_path: Path) -> None:
    config = WRITERS["hpsv2"](tmp_path)
    (tmp_path / hpsv2.FILES["v2.1"]).rename(tmp_path / hpsv2.FILES["v2.0"])
    assert built(replace(config, release="v2.0")).version.startswith("v2.0 ")
    with pytest.raises(ConfigError, match=r"release=v2: release must be one of v2\.0, v2\.1"):
        hpsv2.Config(release="v2")


def test_mps_counts_the_words_near_the_condition_by_the_nearest_of_the_prompt(scorers: dict[str, Any]) -> None:
    one = scorers["mps"]
    tokens = one._texts(PROMPTS)[:, :-1].clone()
    condition = one._condition([mps.CONDITION])[0, :-1]
    best = (tokens[0] @ condition.T).amax(dim=-1).argmax()
    tokens[0, 1:4] = tokens[0, best] * torch.tensor([0.02, 0.005, 0.0])[:, None]
    near = one._near(tokens)
    assert near[0, [best, 1, 2, 3]].tolist() == [True, True, False, False]
    assert one._near(tokens * torch.tensor([1.0, 1e4, 1.0, 1.0, 1.0])[:, None, None]).equal(near)


@pytest.mark.parametrize(("kind", "name"), [("pickscore", "logit_scale"), ("mps", "mps.model.logit_scale")])
def test_the_logit_scale_is_part_of_the_score(scorers: dict[str, Scorer], kind: str, name: str, tmp_path: Path) -> None:
    config = WRITERS[kind](tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors[name] += 1
    save_file(tensors, tmp_path / "model.safetensors")
    close(
        built(config).score(some_images(), as_prompts(PROMPTS)),
        math.e * scorers[kind].score(some_images(), as_prompts(PROMPTS)),
    )


def test_imagereward_is_standardised_as_published(tmp_path: Path) -> None:
    config = WRITERS["imagereward"](tmp_path)
    tensors = torch.load(tmp_path / imagereward.FILE)
    tensors["mlp.layers.7.weight"] *= 0
    tensors["mlp.layers.7.bias"][:] = 0.16717362830052426 + 2 * 1.0333394966054072
    torch.save(tensors, tmp_path / imagereward.FILE)
    close(built(config).score(some_images(), as_prompts(PROMPTS)), torch.full((len(PROMPTS),), 2.0))


def test_only_so_many_texts_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mps, "NUM_KEPT", 2)
    one: Any = built(WRITERS["mps"](tmp_path))
    scores = one.score(some_images(), as_prompts(PROMPTS))
    assert list(one._texts._kept) == PROMPTS[-2:]
    close(one.score(some_images(), as_prompts(PROMPTS)), scores)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"path": ""}, "path='': path must be a folder or a hub id"),
        ({"sha256": "abc"}, "sha256=abc: sha256 must be null or 64 hex digits"),
        ({"dtype": "float64"}, "dtype=float64: dtype must be one of float32, bfloat16, float16"),
    ],
)
def test_options_out_of_range(options: dict[str, str], expected: str) -> None:
    for config in (WeightsConfig, clipscore.Config):
        with pytest.raises(ConfigError, match=expected):
            config(**({"path": "x"} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", READS_PROMPTS)
def test_prompts_are_counted_that_are_longer_than_the_text_encoder_reads(scorers: dict[str, Scorer], kind: str) -> None:
    scorer: Any = scorers[kind]
    tokenizer = scorer._tokenizer if hasattr(scorer, "_tokenizer") else None
    prefix = "A photo depicts " if kind == "clipscore" else ""
    num_cut, longest = 0, 0
    for text in ("", "dog", LONG, *("a " * number for number in range(20, 90))):
        own = scorer._towers._tokenize.encode(prefix + text) if tokenizer is None else tokenizer(text).input_ids
        num_tokens = len(own) + 2 * (tokenizer is None)
        assert scorer.num_cut(as_prompts([text])) == (num_tokens > scorer.num_tokens), (text, num_tokens)
        num_cut += num_tokens > scorer.num_tokens
        longest = max(longest, num_tokens * (num_tokens <= scorer.num_tokens))
    assert num_cut > 5
    assert longest in (scorer.num_tokens, scorer.num_tokens - 1)  # a letter may have a token of its own and a space
    assert scorer.num_tokens == (35 if kind == "imagereward" else 77)
    assert isinstance(scorer, TextReader)
    assert scorer.num_cut(as_prompts(["dog", LONG, LONG + "!", ""])) == 2


def test_a_scorer_that_ignores_prompts_cuts_none(scorers: dict[str, Scorer]) -> None:
    assert not isinstance(scorers["aesthetic"], TextReader)
