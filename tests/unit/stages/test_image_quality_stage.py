"""Stage image_quality: two sets of images by the world's preference model, and what is refused."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from unit.generation import fakes
from unit.generation.fakes import Run, ShiftConfig

from goldennoise.config.compose import load
from goldennoise.errors import ArtifactError, ConfigError, DataError, GoldenNoiseError, ModelError
from goldennoise.generation.image_features import FeatureMaker
from goldennoise.generation.inception import inception
from goldennoise.stages.eval import Config as EvalConfig
from goldennoise.stages.eval import run as evaluate
from goldennoise.stages.image_quality import run

BY_CLIP = ("scorer=[shapes_clip]", "stage.features=shapes_clip")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """12 images in "one", 10 others in "other"."""
    random = np.random.default_rng(0)
    for name, num in (("one", 12), ("other", 10)):
        (tmp_path / name).mkdir()
        for number in range(num):
            size = (64, 64, 3) if number % 3 else (48, 64, 3)
            Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)).save(tmp_path / name / f"{number}.png")
    return tmp_path


def a_run(folder: Path, *overrides: str, images: str = "one", reference: str = "other") -> Any:
    own = (f"stage.images={folder / images}", f"stage.reference_images={folder / reference}", "stage.num_subsets=4")
    paths = (f"outputs={folder / 'outputs'}", "compute.device=cpu", "stage.images_per_part=5")
    return run(load(["stage=image_quality", *BY_CLIP, *own, *paths, *overrides]))


def test_two_folders_are_compared_and_a_second_run_is_a_no_op(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = a_run(folder)
    assert artifact.record["counts"] == {"images": 12, "reference_images": 10}
    found = json.loads((artifact.path / "summary.json").read_text())
    assert found["fid"] > 0
    assert (found["dim"], found["subset_size"], found["num_subsets"]) == (128, 5, 4)
    assert {path.name for path in artifact.path.iterdir()} >= {"tables.md", "tables.tex", "parts"}
    assert "10 images do not determine the covariance of 128 numbers" in capsys.readouterr().out
    with patch.object(FeatureMaker, "embed", side_effect=AssertionError):
        assert a_run(folder).version == "v1"
    assert a_run(folder, "seed=1").version == "v2"
    assert a_run(folder, reference="one").version == "v3"


def test_a_set_has_no_distance_to_itself(folder: Path) -> None:
    found = json.loads((a_run(folder, reference="one").path / "summary.json").read_text())
    assert found["fid"] == pytest.approx(0, abs=1e-6)
    assert found["images"] == found["reference"]


def test_a_killed_run_goes_on_after_its_last_part(folder: Path) -> None:
    original, made = FeatureMaker.__call__, list[Any]()

    def stopping(self: FeatureMaker) -> Any:
        work = original(self)

        def one(part: Any, progress: Any) -> None:
            made.append(part)
            if len(made) == 3:
                raise KeyboardInterrupt
            work(part, progress)

        return one

    with patch.object(FeatureMaker, "__call__", stopping):
        with pytest.raises(KeyboardInterrupt):
            a_run(folder)
        a_run(folder)
    assert len(made) == 6  # five parts, one of them begun twice


def test_features_are_those_of_each_image_whatever_the_batch(folder: Path) -> None:
    made = [a_run(folder, f"compute.batch_size={size}", f"name=by{size}") for size in (1, 7)]
    one, two = (json.loads((each.path / "summary.json").read_text()) for each in made)
    assert one["kid"] == pytest.approx(two["kid"], abs=1e-4)
    assert one["fid"] == pytest.approx(two["fid"], abs=1e-4)


@pytest.mark.parametrize(
    ("overrides", "error", "what"),
    [
        (["stage.features=hpsv2"], ConfigError, r"must be inception or one of the scorers of this run \(shapes_clip\)"),
        (["compute.devices=2"], ConfigError, "runs in one process on one device"),
        (["stage.images=nowhere"], DataError, r"no such folder of images; .* set stage\.method too"),
        (["stage.reference_images=nowhere"], DataError, r"set stage\.reference_method too"),
        (["stage.images=scores/gone@v1", "stage.method=npnet"], ArtifactError, "no scores artifact called gone"),
        (["stage.subset_size=11"], ConfigError, "the smaller set has 10 images"),
        (["scorer=[shapes_verifier]", "stage.features=shapes_verifier"], ConfigError, "gives no features of images"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    folder: Path, overrides: list[str], error: type[GoldenNoiseError], what: str
) -> None:
    with pytest.raises(error, match=what):
        a_run(folder, *overrides)
    assert not list((folder / "outputs").rglob("*.partial"))


def test_methods_of_an_evaluation_are_compared(tmp_path: Path) -> None:
    methods = {"standard": ShiftConfig(), "shifted": ShiftConfig(amount=0.5)}
    with pytest.MonkeyPatch.context() as patched:
        fakes.install(patched)
        scores = evaluate(Run(EvalConfig(num_seeds=2, num_bootstrap=100), str(tmp_path), methods))
    chosen = ["stage.images=scores/test@v1", "stage.reference_images=scores/test@v1", f"outputs={tmp_path}"]
    own = ["stage=image_quality", *BY_CLIP, *chosen, "stage.reference_method=standard", "compute.device=cpu"]
    artifact = run(load([*own, "stage.method=shifted"]))
    assert [each["reference"] for each in artifact.record["inputs"]] == [scores.reference]
    assert artifact.record["counts"] == {"images": 12, "reference_images": 12}
    with pytest.raises(ConfigError, match="scores/test@v1 has no method npnet; choose from standard, shifted"):
        run(load([*own, "stage.method=npnet"]))


def test_one_image_is_no_set(folder: Path) -> None:
    for number in range(1, 12):
        (folder / f"one/{number}.png").unlink()
    with pytest.raises(DataError, match="holds one image; a set has at least 2"):
        a_run(folder)


def test_inception_without_its_package_is_a_sentence(folder: Path) -> None:
    with (
        patch("goldennoise.generation.inception.find_spec", return_value=None),
        pytest.raises(ConfigError, match=r"pip install goldennoise\[fidelity\], or choose the features of a scorer"),
    ):
        a_run(folder, "stage.features=inception")


def test_weights_of_inception_that_are_none_are_a_sentence(folder: Path) -> None:
    pytest.importorskip("torch_fidelity")
    with pytest.raises(ModelError, match=r"does not exist: set stage\.inception_path to the file"):
        a_run(folder, "stage.features=inception", f"stage.inception_path={folder / 'gone.pth'}")
    (folder / "text.pth").write_text("no weights")
    with pytest.raises(ModelError, match=r"text\.pth"):
        a_run(folder, "stage.features=inception", f"stage.inception_path={folder / 'text.pth'}")


def test_inception_sees_8_bits_and_its_weights_are_read_without_running_them(tmp_path: Path) -> None:
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    network_class = module.FeatureExtractorInceptionV3
    with (
        patch.object(network_class, "load_state_dict"),
        patch.object(module, "load_state_dict_from_url"),
    ):
        network = network_class("inception", ["2048"])
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    pixels = torch.randint(0, 256, (2, 3, 40, 32), dtype=torch.uint8)
    found = inception(str(tmp_path / "weights.pth"), torch.device("cpu"))(pixels / 255)
    torch.testing.assert_close(found, network(pixels)[0])
    assert found.shape == (2, 2048)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other\.pth holds other weights than Inception's"):
        inception(str(tmp_path / "other.pth"), torch.device("cpu"))
