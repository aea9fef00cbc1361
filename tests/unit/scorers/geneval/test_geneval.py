"""The scorer geneval on tiny random networks: what is found in an image decides, image by image."""

import json
from pathlib import Path

import pytest
import torch
from tiny import as_prompts
from torch import Tensor
from unit.scorers.geneval import tiny_networks

from goldennoise import scorers
from goldennoise.data.prompts import Prompt, prompts_digest
from goldennoise.errors import ModelError, ScorerError
from goldennoise.scorers import shapes_clip, weighted_sum
from goldennoise.scorers.geneval import colours, detector
from goldennoise.scorers.geneval.colours import ColourNamer
from goldennoise.scorers.geneval.detector import Detector
from goldennoise.scorers.geneval.scorer import Config, Geneval, build
from goldennoise.scorers.geneval.tasks import COLOURS

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_networks.save_detector(folder / "detector")
    tiny_networks.save_clip(folder / "clip")
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random networks are never sure, so that little confidence must do."""
    monkeypatch.setattr(detector, "SHORT_SIDE_PX", 64)
    monkeypatch.setattr(colours, "ARCHITECTURE", tiny_networks.ARCHITECTURE)
    monkeypatch.setattr("goldennoise.scorers.geneval.rules.MIN_CONFIDENCE", 0.05)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """(6, 3, 50, 70) in 8 bits."""
    coarse = torch.rand(6, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return (torch.nn.functional.interpolate(coarse, size=(50, 70), mode="bilinear") * 255).round() / 255


def task(name: str, colour: str | None = None) -> dict[str, object]:
    clause = {"class": name, "count": 1} | ({"color": colour} if colour else {})
    return {"tag": "colors", "include": [clause], "prompt": f"a photo of a {colour or 'plain'} {name}"}


def scorer(weights: Path, folder: Path, tasks: list[dict[str, object]]) -> Geneval:
    (folder / "tasks.jsonl").write_text("".join(json.dumps(each) + "\n" for each in tasks))
    paths = {"metadata": folder / "tasks.jsonl", "detector": weights / "detector", "clip": weights / "clip"}
    return build(Config(**{option: str(path) for option, path in paths.items()}), CPU)


def test_a_score_is_whether_what_is_asked_for_is_found(weights: Path, tmp_path: Path, images: Tensor) -> None:
    found = Detector(str(weights / "detector"), CPU).detect(images[0], 0.05)
    assert found
    best = max(found, key=lambda each: each.confidence)
    pixels = (images[0] * 255).byte().permute(1, 2, 0).numpy()
    colour = ColourNamer(str(weights / "clip"), CPU).name(pixels, best)
    other_colour = next(each for each in COLOURS if each != colour)
    absent = next(name for name in ("toilet", "kite", "cake") if name not in {each.name for each in found})
    tasks = [task(best.name), task(absent), task(best.name, colour), task(best.name, other_colour)]
    geneval = scorer(weights, tmp_path, tasks)
    scores = geneval.score(images[:1].expand(4, -1, -1, -1), as_prompts([str(each["prompt"]) for each in tasks]))
    assert scores.tolist() == [1.0, 0.0, 1.0, 0.0]


def test_a_prompt_that_brings_its_task_needs_no_file(weights: Path, tmp_path: Path, images: Tensor) -> None:
    found = max(Detector(str(weights / "detector"), CPU).detect(images[0], 0.05), key=lambda each: each.confidence)
    absent = task("toilet" if found.name != "toilet" else "kite")
    geneval = scorer(weights, tmp_path, [absent | {"prompt": "one"}])
    brought = [Prompt.of("one", metadata=task(found.name)), Prompt.of("another", metadata=task(found.name))]
    assert geneval.score(images[:1].expand(2, -1, -1, -1), brought).tolist() == [1.0, 1.0]
    assert geneval.score(images[:1], as_prompts(["one"])).tolist() == [0.0]
    with pytest.raises(ScorerError, match=r"^geneval: the row of 'one' .* is no task of GenEval \(KeyError: 'tag'\)"):
        geneval.score(images[:1], [Prompt.of("one", metadata={"include": []})])


def test_what_the_prompts_bring_decides_an_artifact() -> None:
    plain, others = as_prompts(["one"]), [Prompt.of("one", metadata=task(name) | {"id": 3}) for name in ("cow", "dog")]
    read = scorers.columns_read({"mine": weighted_sum.Config(parts={"geneval": 1.0}), "clip": shapes_clip.Config()})
    assert read == ["exclude", "include", "tag"]
    assert len({prompts_digest([prompt], read) for prompt in (*plain, *others)}) == 3
    assert {prompts_digest([prompt]) for prompt in others} == {prompts_digest(plain)} == {prompts_digest(plain, read)}


def test_batch_equals_single_and_order_follows(weights: Path, tmp_path: Path, images: Tensor) -> None:
    network = Detector(str(weights / "detector"), CPU)
    seen = [{each.name for each in network.detect(image, 0.05)} for image in images]
    name = next(name for names in seen for name in names if any(name not in others for others in seen))
    geneval = scorer(weights, tmp_path, [task(name)])
    prompts = [f"a photo of a plain {name}"] * len(images)
    together = geneval.score(images, as_prompts(prompts))
    assert together.tolist() == [float(name in names) for names in seen]
    assert 0 < together.mean() < 1
    assert [geneval.score(image[None], as_prompts(prompts[:1])).item() for image in images] == together.tolist()
    assert geneval.score(images.flip(0), as_prompts(prompts)).flip(0).tolist() == together.tolist()


def test_the_published_prompts_are_known_and_no_others(weights: Path, images: Tensor) -> None:
    metadata = Path(__file__).parents[4] / "data" / "prompts" / "geneval_metadata.jsonl"
    config = Config(metadata=str(metadata), detector=str(weights / "detector"), clip=str(weights / "clip"))
    geneval = build(config, CPU)
    assert geneval.score(images[:1], as_prompts(["a photo of two clocks"])).tolist() == [0.0]
    with pytest.raises(ScorerError, match="geneval: 'a photo of 2 clocks' is not a prompt of GenEval"):
        geneval.score(images[:1], as_prompts(["a photo of 2 clocks"]))


def test_the_metadata_of_the_package_is_found_from_every_folder(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = {"detector": str(weights / "detector"), "clip": str(weights / "clip")}
    version = build(Config(**networks), CPU).version
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert build(Config(**networks), CPU).version == version
    (tmp_path / "tasks.jsonl").write_text((Path(__file__).parents[4] / Config().metadata).read_text())
    assert build(Config(metadata="~/tasks.jsonl", **networks), CPU).version == version


def test_it_only_reports_and_its_version_names_all_that_decides(weights: Path, tmp_path: Path) -> None:
    one = scorer(weights, tmp_path, [task("cow")])
    assert (one.may_select, one.differentiable, one.higher_is_better) == (False, False, True)
    assert scorer(weights, tmp_path, [task("cow")]).version == one.version
    others = [scorer(weights, tmp_path, [task("dog")]).version]
    for part, save in (("detector", tiny_networks.save_detector), ("clip", tiny_networks.save_clip)):
        folder = tmp_path / part
        folder.mkdir()
        for beside in ("detector", "clip"):
            (folder / beside).symlink_to(weights / beside)
        (folder / part).unlink()
        save(folder / part, seed=1)
        others.append(scorer(folder, tmp_path, [task("cow")]).version)
    assert len({one.version, *others}) == 4


def test_missing_weights_are_named_with_their_command(weights: Path) -> None:
    metadata = Path(__file__).parents[4] / "data" / "prompts" / "geneval_metadata.jsonl"
    with pytest.raises(ModelError, match=r"`hf download facebook/mask2former-swin-small-coco-instance model\.safetens"):
        build(Config(metadata=str(metadata)), CPU)
    with pytest.raises(ModelError, match=r"`hf download timm/vit_large_patch14_clip_224\.openai open_clip_model\.safe"):
        build(Config(metadata=str(metadata), detector=str(weights / "detector")), CPU)
