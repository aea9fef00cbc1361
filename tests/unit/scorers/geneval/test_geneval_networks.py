"""What surrounds GenEval's networks: sizes, masks, boxes, confidences, crops, and what is said when weights fail."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessor
from unit.scorers.geneval import tiny_networks

from goldennoise.errors import ModelError
from goldennoise.scorers.geneval import colours, detector
from goldennoise.scorers.geneval.colours import ColourNamer, cut_out
from goldennoise.scorers.geneval.detector import Detector, resized_px
from goldennoise.scorers.geneval.rules import Detection
from goldennoise.scorers.geneval.tasks import CLASSES, COLOURS

CPU = torch.device("cpu")


class Prescribed(torch.nn.Module):
    """In place of a Mask2Former: the logits it is given, and the images it was shown."""

    def __init__(self, classes: Tensor, masks: Tensor) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_labels=len(CLASSES))
        self.output = SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)
        self.shown: list[Tensor] = []

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        self.shown.append(pixel_values)
        return self.output


@pytest.fixture
def prescribe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Logits (1, queries, 81) and (1, queries, h, w) -> the detector that gets them, and its network."""

    def made(classes: Tensor, masks: Tensor) -> tuple[Detector, Prescribed]:
        network = Prescribed(classes, masks)
        loaded = network, {"missing_keys": set()}
        monkeypatch.setattr(Mask2FormerForUniversalSegmentation, "from_pretrained", lambda *_, **__: loaded)
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "model.safetensors").touch()
        return Detector(str(tmp_path), CPU), network

    return made


def logits(*probabilities: dict[str, float]) -> Tensor:
    """Class logits (1, queries, 81) with these probabilities; the rest of each is that of no object."""
    found = torch.full((len(probabilities), len(CLASSES) + 1), 1e-9)
    for query, known in enumerate(probabilities):
        found[query, -1] = 1 - sum(known.values())
        for name, probability in known.items():
            found[query, CLASSES.index(name)] = probability
    return found.log()[None]


def rectangle(top: int, bottom: int, left: int, right: int, size: tuple[int, int], inside: float = 20.0) -> Tensor:
    """A mask's logits: `inside` there and -20 elsewhere."""
    mask = torch.full(size, -20.0)
    mask[top:bottom, left:right] = inside
    return mask


def test_boxes_masks_and_confidences_in_the_images_own_size(prescribe, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """64 x 96 px stay as they are and need no padding; masks come at a quarter of that."""
    monkeypatch.setattr(detector, "SHORT_SIDE_PX", 64)
    half_sure = float(np.log(3))  # probability 3/4 inside
    masks = torch.stack([rectangle(4, 8, 6, 18, (16, 24)), rectangle(0, 16, 0, 24, (16, 24), half_sure)])
    found, _ = prescribe(logits({"cow": 0.8}, {"dog": 0.6, "tv remote": 0.35}), masks[None])
    cow, dog, remote = found.detect(torch.rand(3, 64, 96), 0.2)
    assert (cow.name, dog.name, remote.name) == ("cow", "dog", "tv remote")
    # Interpolated between 20 and -20, the edge lies half-way: at four times the mask's own.
    assert cow.box_px == (24, 16, 72, 32)
    assert cow.mask.shape == (64, 96)
    assert cow.mask.sum() == 48 * 16 - 4  # its corners are bent
    assert cow.mask[16:32, 25:71].all()
    assert dog.box_px == remote.box_px == (0, 0, 96, 64)
    assert dog.confidence == pytest.approx(0.6 * 0.75, rel=1e-5)
    assert remote.confidence == pytest.approx(0.35 * 0.75, rel=1e-5)
    assert 0.75 < cow.confidence < 0.8
    assert [each.name for each in found.detect(torch.rand(3, 64, 96), remote.confidence)] == ["cow", "dog"]


def test_nothing_found_is_no_detection(prescribe) -> None:  # type: ignore[no-untyped-def]
    found, _ = prescribe(logits({"cow": 0.3}), torch.full((1, 1, 200, 200), 20.0))
    assert found.detect(torch.rand(3, 32, 32), 0.3) == []
    empty, _ = prescribe(logits({"cow": 0.9}), torch.full((1, 1, 200, 200), -20.0))
    assert empty.detect(torch.rand(3, 32, 32), 0.3) == []


def test_masks_may_overlap(prescribe) -> None:  # type: ignore[no-untyped-def]
    found, _ = prescribe(logits({"cow": 0.9}, {"cow": 0.8}), torch.full((1, 2, 200, 200), 20.0))
    assert [each.mask.all() for each in found.detect(torch.rand(3, 32, 32), 0.3)] == [True, True]


def test_detections_are_those_of_transformers_own_processing(prescribe, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """At 384 px, where that works, with its maps that may overlap."""
    monkeypatch.setattr(detector, "SHORT_SIDE_PX", 384)
    generator = torch.Generator().manual_seed(0)
    # Transformers looks at as many likely classes as there are queries, so the numbers are equal at 100.
    classes = 6 * torch.randn(1, 100, len(CLASSES) + 1, generator=generator)
    masks = torch.nn.functional.interpolate(4 * torch.randn(1, 100, 6, 6, generator=generator), size=(96, 96))
    found, network = prescribe(classes, masks)
    ours = found.detect(torch.rand(3, 384, 384), 0.1)
    processor = Mask2FormerImageProcessor()
    (theirs,) = processor.post_process_instance_segmentation(network.output, threshold=0.1, return_binary_maps=True)
    assert len(ours) == len(theirs["segments_info"]) >= 50
    by_confidence = sorted(
        zip(theirs["segments_info"], theirs["segmentation"], strict=True), key=lambda e: -e[0]["score"]
    )
    for our, (segment, mask) in zip(sorted(ours, key=lambda each: -each.confidence), by_confidence, strict=True):
        assert our.name == CLASSES[segment["label_id"]]
        assert our.confidence == pytest.approx(segment["score"], abs=1e-5)
        np.testing.assert_array_equal(our.mask, mask.numpy() > 0)


def test_the_network_sees_what_mmdet_shows_it(prescribe) -> None:  # type: ignore[no-untyped-def]
    """800 px on the short side, normalised as ImageNet is, zeros up to a multiple of 32 px below and to the right."""
    found, network = prescribe(logits({"cow": 0.9}), torch.full((1, 1, 200, 248), 20.0))
    image = torch.tensor([1.0, 0.5, 0.0])[:, None, None].expand(3, 100, 123)
    (cow,) = found.detect(image, 0.3)
    (shown,) = network.shown
    assert shown.shape == (1, 3, 800, 992)
    expected = torch.tensor([(1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, -0.406 / 0.225])
    torch.testing.assert_close(shown[0, :, 0, 0], expected)
    torch.testing.assert_close(shown[0, :, -1, 983], expected)
    assert not shown[0, :, :, 984:].any()
    assert cow.mask.shape == (100, 123)


def test_what_lies_on_the_padding_is_cut_off(prescribe) -> None:  # type: ignore[no-untyped-def]
    """984 of 992 columns are image; the mask's columns 246 and 247 of 248 lie beyond it."""
    padding_only = rectangle(0, 200, 246, 248, (200, 248))[None, None]
    found, _ = prescribe(logits({"cow": 0.9}), padding_only)
    assert all(each.box_px[0] >= 122 for each in found.detect(torch.rand(3, 100, 123), 0.1))
    left_half = rectangle(0, 200, 0, 124, (200, 248))[None, None]
    found, _ = prescribe(logits({"cow": 0.9}), left_half)
    (cow,) = found.detect(torch.rand(3, 100, 123), 0.1)
    assert cow.box_px == (0, 0, 62, 100)


def test_only_the_likeliest_hundred_are_looked_at(prescribe) -> None:  # type: ignore[no-untyped-def]
    found, _ = prescribe(logits(*[{"cow": 0.4}] * 70, *[{"dog": 0.5}] * 70), torch.full((1, 140, 8, 8), 20.0))
    names = [each.name for each in found.detect(torch.rand(3, 8, 8), 0.3)]
    assert (names.count("dog"), names.count("cow")) == (70, 30)


@pytest.mark.parametrize(
    ("size_px", "expected"),
    [
        ((512, 512), (800, 800)),
        ((1024, 1024), (800, 800)),
        ((100, 123), (800, 984)),
        ((400, 1000), (533, 1333)),
        ((500, 1001), (666, 1333)),
    ],
)
def test_sizes_follow_the_short_side_up_to_a_longest_one(size_px: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized_px(*size_px) == expected
    assert resized_px(*size_px[::-1]) == expected[::-1]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_networks.save_detector(folder / "detector")
    tiny_networks.save_clip(folder / "clip")
    return folder


@pytest.fixture
def namer(weights: Path, monkeypatch: pytest.MonkeyPatch) -> ColourNamer:
    monkeypatch.setattr(colours, "ARCHITECTURE", tiny_networks.ARCHITECTURE)
    return ColourNamer(str(weights / "clip"), CPU)


def test_a_detector_is_read_from_its_folder_and_finds_the_same_again(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "SHORT_SIDE_PX", 64)
    found = Detector(str(weights / "detector"), CPU)
    images = torch.rand(4, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    detections = [found.detect(image, 0.01) for image in images]
    assert any(detections)
    assert [found.detect(image, 0.01) for image in images] == detections


def test_a_cut_out_is_the_box_with_grey_around_the_object() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(6, 8, 3), dtype=np.uint8)
    mask = np.zeros((6, 8), dtype=np.bool_)
    mask[1:4, 2:7] = True
    mask[1, 2] = False
    cut = np.asarray(cut_out(pixels, Detection("cow", 0.9, (2, 1, 7, 4), mask)))
    assert cut.shape == (3, 5, 3)
    assert cut[0, 0].tolist() == [153, 153, 153]
    cut = cut.copy()
    cut[0, 0] = pixels[1, 2]
    np.testing.assert_array_equal(cut, pixels[1:4, 2:7])


def test_the_colour_is_the_nearest_of_ten_by_three_templates(namer: ColourNamer, weights: Path) -> None:
    network = open_clip.create_model(
        tiny_networks.ARCHITECTURE, pretrained=str(weights / "clip/open_clip_model.safetensors")
    )
    network.eval()
    tokenize = open_clip.get_tokenizer(tiny_networks.ARCHITECTURE)
    transform = open_clip.image_transform(32, is_train=False)
    rng = np.random.default_rng(2)
    named = []
    for name in ("wine glass", "cow") * 10:
        pixels = np.broadcast_to(rng.integers(0, 256, size=3, dtype=np.uint8), (20, 30, 3))
        detection = Detection(name, 0.9, (0, 0, 30, 20), rng.random((20, 30)) < 0.9)
        image = Image.fromarray(np.where(detection.mask[..., None], pixels, 153).astype(np.uint8))
        likeness = []
        with torch.no_grad():
            features = network.encode_image(transform(image)[None])[0]
            for colour in COLOURS:
                texts = [f"a photo of a {colour} {name}", f"a photo of a {colour}-colored {name}"]
                encoded = network.encode_text(tokenize([*texts, f"a photo of a {colour} object"]))
                mean = (encoded / encoded.norm(dim=1, keepdim=True)).mean(dim=0)
                likeness.append(torch.cosine_similarity(mean, features, dim=0))
        named.append(namer.name(pixels, detection))
        assert named[-1] == COLOURS[int(torch.stack(likeness).argmax())]
    assert len(set(named)) >= 3


def test_published_clip_is_openais_with_its_own_activation() -> None:
    config = open_clip.get_model_config(colours.ARCHITECTURE)
    assert config is not None
    assert config["quick_gelu"]
    assert (config["vision_cfg"]["layers"], config["vision_cfg"]["patch_size"]) == (24, 14)


def test_weights_that_are_not_there_are_named_with_the_command_that_fetches_them() -> None:
    with pytest.raises(ModelError, match=rf"`hf download {detector.PUBLISHED} model.safetensors`"):
        Detector(detector.PUBLISHED, CPU)
    with pytest.raises(ModelError, match=rf"`hf download {colours.PUBLISHED} open_clip_model.safetensors`"):
        ColourNamer(colours.PUBLISHED, CPU)


def test_a_folder_without_a_config_is_named(weights: Path, tmp_path: Path) -> None:
    shutil.copy(weights / "detector/model.safetensors", tmp_path)
    with pytest.raises(ModelError, match=r"config\.json does not exist"):
        Detector(str(tmp_path), CPU)


def test_other_networks_are_refused(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_networks.save_detector(tmp_path, num_classes=7)
    with pytest.raises(ModelError, match="tells 7 classes apart: give a Mask2Former for instances of COCO's 80"):
        Detector(str(tmp_path), CPU)
    shutil.copy(weights / "detector/config.json", tmp_path)
    with pytest.raises(ModelError, match="does not hold a Mask2Former for instances of COCO's 80 classes: give one"):
        Detector(str(tmp_path), CPU)
    monkeypatch.setattr(colours, "ARCHITECTURE", tiny_networks.ARCHITECTURE)
    (tmp_path / "model.safetensors").rename(tmp_path / "open_clip_model.safetensors")
    with pytest.raises(ModelError, match=r"open_clip_model\.safetensors does not hold CLIP tiny-geneval: give timm"):
        ColourNamer(str(tmp_path), CPU)


@pytest.mark.parametrize(
    "damage",
    [bytes(range(256)), b"[" * 100_000, b"[]", {"num_labels": "many"}, {"backbone_config": {"depths": None}},
     {"decoder_layers": 10**9}, {"backbone_config": {"depths": [9**9]}}],
)  # fmt: skip
def test_a_config_of_something_else_is_one_sentence(
    weights: Path, tmp_path: Path, damage: bytes | dict[str, Any]
) -> None:
    shutil.copy(weights / "detector/model.safetensors", tmp_path)
    config = json.loads((weights / "detector/config.json").read_text())
    content = damage if isinstance(damage, bytes) else json.dumps(config | damage).encode()
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=f"{tmp_path}.*") as caught:
        Detector(str(tmp_path), CPU)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_file_without_a_tensor_is_refused_and_not_filled_up(tmp_path: Path) -> None:
    tiny_networks.save_detector(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["class_predictor.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"comes without class_predictor\.weight and other tensors"):
        Detector(str(tmp_path), CPU)
