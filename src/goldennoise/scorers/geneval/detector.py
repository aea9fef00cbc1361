"""Objects in an image, by the Mask2Former that transformers has (arXiv 2112.01527).

GenEval uses mmdet's `mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco`. The checkpoint here is of the same architecture,
trained on the same data by its authors: detections are alike, not equal. The size an image is seen at, and what happens
after the network, is what mmdet 2.27 does for that model, and what `post_process_instance_segmentation` of transformers
does not do: masks in the image's own size that may overlap, and confidence = class probability x mean probability in
the mask. Padding is 0 after normalisation, as this checkpoint was trained with; square images need none.
"""

from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from transformers import Mask2FormerForUniversalSegmentation

from goldennoise.errors import ModelError
from goldennoise.scorers.geneval.rules import Detection
from goldennoise.scorers.geneval.tasks import CLASSES
from goldennoise.store.hub import find_file, read_description

EXPECTED = f"Mask2Former for instances of COCO's {len(CLASSES)} classes"
PUBLISHED = "facebook/mask2former-swin-small-coco-instance"
SHORT_SIDE_PX, LONG_SIDE_PX = 800, 1333
"""The short side of the image becomes so long, unless the long side then exceeds its bound."""
MULTIPLE_PX = 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MAX_DETECTIONS = 100


class Detector:
    """Detections of COCO's classes."""

    def __init__(self, source: str, device: torch.device) -> None:
        """source: a local folder with config.json and model.safetensors, or a hub id.

        Raises `ModelError` for files that are missing, or hold another network or other classes.
        """
        weights = find_file(source, "model.safetensors")
        read_description(find_file(source, "config.json"), EXPECTED, ModelError)
        # The stages draw a bar of their own; this one would be torn into it.
        transformers.utils.logging.disable_progress_bar()
        # Any: transformers wraps `to` in a way that type checkers cannot follow.
        network: Any
        try:
            loaded: Any = Mask2FormerForUniversalSegmentation.from_pretrained(
                weights.parent, use_safetensors=True, output_loading_info=True
            )
        # transformers fails on other files than its own with whatever its first wrong step raises.
        except Exception as error:
            raise ModelError(f"{source} does not hold a {EXPECTED}: give one, such as {PUBLISHED}") from error
        network, loading = loaded
        # transformers would fill what is missing with random numbers.
        if missing := sorted(loading["missing_keys"]):
            raise ModelError(f"{weights} comes without {missing[0]} and other tensors: give {PUBLISHED} whole")
        if network.config.num_labels != len(CLASSES):
            num_classes = network.config.num_labels
            raise ModelError(f"{source} tells {num_classes} classes apart: give a {EXPECTED}, such as {PUBLISHED}")
        self._network = network.to(device).eval()
        self._device = device

    @torch.no_grad()
    def detect(self, image: Tensor, min_confidence: float) -> list[Detection]:
        """Every detection more confident than `min_confidence`. image: (3, height, width), float in [0, 1].

        One image at a time, so what is found in it does not depend on its neighbours.
        """
        resized = _resized(image.to(self._device, torch.float32))
        height, width = resized.shape[1:]
        padded = F.pad(resized, (0, -width % MULTIPLE_PX, 0, -height % MULTIPLE_PX))
        output = self._network(pixel_values=padded[None])
        probabilities = output.class_queries_logits[0].softmax(dim=1)[:, : len(CLASSES)]
        likely, cells = probabilities.flatten().topk(min(MAX_DETECTIONS, probabilities.numel()))
        # A mask can only lower the confidence; most masks are never needed at full size.
        likely, cells = likely[likely > min_confidence], cells[likely > min_confidence]
        if not len(cells):
            return []
        masks = output.masks_queries_logits[0, cells // len(CLASSES)]
        masks = _scaled(_scaled(masks, padded.shape[1:])[:, :height, :width], image.shape[1:])
        inside = masks > 0
        certainty = (masks.sigmoid() * inside).sum(dim=(1, 2)) / (inside.sum(dim=(1, 2)) + 1e-6)
        names = [CLASSES[cell % len(CLASSES)] for cell in cells.tolist()]
        return [
            _detection(name, confidence, mask)
            for name, confidence, mask in zip(names, (likely * certainty).tolist(), inside.cpu(), strict=True)
            if confidence > min_confidence
        ]


def resized_px(height: int, width: int) -> tuple[int, int]:
    """Height and width the network sees an image at."""
    scale = min(SHORT_SIDE_PX / min(height, width), LONG_SIDE_PX / max(height, width))
    return int(height * scale + 0.5), int(width * scale + 0.5)


def _resized(image: Tensor) -> Tensor:
    mean, std = (image.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (_scaled(image, resized_px(*image.shape[1:])) - mean) / std


def _scaled(images: Tensor, size_px: tuple[int, ...]) -> Tensor:
    """Bilinear without antialiasing, as OpenCV and mmdet have it. images: (C, height, width)."""
    return F.interpolate(images[None], size=size_px, mode="bilinear", align_corners=False)[0]


def _detection(name: str, confidence: float, mask: Tensor) -> Detection:
    rows, columns = (mask.any(dim=axis).nonzero() for axis in (1, 0))
    box = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    left, top, right, bottom = (float(edge) for edge in box)
    return Detection(name, confidence, (left, top, right, bottom), mask.numpy())
