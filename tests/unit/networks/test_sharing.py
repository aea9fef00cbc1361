"""Networks given away and taken: what is uploaded is what is saved, is loaded again, and says where it comes from."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest
import torch
import yaml
from unit.networks.small_npnet import make_inputs, make_network

from goldennoise import GoldenNoise, load_npnet
from goldennoise.errors import ConfigError, ModelError
from goldennoise.networks.model_card import model_card

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = ["README.md", "config.json", "model.safetensors"]
RECORD: dict[str, Any] = {
    "model": {
        "kind": "stable_diffusion_xl",
        "path": "stabilityai/stable-diffusion-xl-base-1.0",
        "revision": None,
        "num_steps": 50,
        "guidance": 5.5,
        "scheduler": "dpmpp_2m",
    },
    "data": "pairs/mine@v3",
    "prompt_set": "/home/somebody/private/prompts.txt",
    "teacher": "re_denoise",
    "objective": "gain_weighted",
    "preference": "hpsv2",
    "margin": 0.5,
    "pairs": 900,
    "prompts": 450,
    "epochs": 30,
    "best_epoch": 12,
    "val_loss": 0.25,
    "identity_val_loss": 0.5,
}


class Hub:
    """In place of `HfApi`: what is uploaded goes into `repositories`."""

    repositories: Path
    created: list[tuple[str, bool]]
    files: list[str]
    failure: Exception | None

    def create_repo(self, repository: str, *, exist_ok: bool) -> None:
        if Hub.failure is not None:
            raise Hub.failure
        Hub.created.append((repository, exist_ok))

    def upload_folder(self, *, repo_id: str, folder_path: Path) -> Any:
        assert [repository for repository, _ in Hub.created] == [repo_id]
        shutil.copytree(folder_path, Hub.repositories / f"models--{repo_id.replace('/', '--')}" / "snapshots" / COMMIT)
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/{COMMIT}")

    def list_repo_files(self, repository: str, *, revision: str | None) -> list[str]:
        assert (repository, revision) == ("owner/name", None)
        return Hub.files


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    monkeypatch.setattr(Hub, "repositories", tmp_path / "cache", raising=False)
    monkeypatch.setattr(Hub, "created", [], raising=False)
    monkeypatch.setattr(Hub, "files", [], raising=False)
    monkeypatch.setattr(Hub, "failure", None, raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return Hub


def test_what_is_pushed_is_what_is_saved_and_comes_back(hub: type[Hub], tmp_path: Path) -> None:
    golden = GoldenNoise(make_network(), RECORD)
    assert golden.push_to_hub("owner/name", license="apache-2.0") == f"https://hub/owner/name/commit/{COMMIT}"
    assert hub.created == [("owner/name", True)]
    repository = hub.repositories / "models--owner--name"
    golden.save_pretrained(tmp_path / "saved", license="apache-2.0")
    uploaded = {path.name: path.read_bytes() for path in (repository / "snapshots" / COMMIT).iterdir()}
    assert sorted(uploaded) == FILES
    assert uploaded == {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}

    (repository / "refs").mkdir()
    (repository / "refs" / "v2").write_text(COMMIT)
    with pytest.raises(
        ModelError, match=r"config\.json of owner/name is neither .* `hf download owner/name config\.json`"
    ):
        GoldenNoise.from_pretrained("owner/name")
    noise, text = make_inputs()
    for source, revision in (("owner/name", "v2"), (tmp_path / "saved", None)):
        again = GoldenNoise.from_pretrained(source, revision)
        assert again.record == RECORD
        assert torch.equal(again.network(noise, text), make_network()(noise, text))
    assert load_npnet("owner/name", "v2").config == make_network().config


def test_the_card_tells_what_the_record_tells() -> None:
    card = model_card(make_network().config, RECORD, "apache-2.0")
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "goldennoise",
        "pipeline_tag": "text-to-image",
        "tags": ["golden-noise", "npnet"],
        "license": "apache-2.0",
        "base_model": "stabilityai/stable-diffusion-xl-base-1.0",
    }
    assert text.startswith("\n# NPNet for stabilityai/stable-diffusion-xl-base-1.0\n")
    lines = text.splitlines()
    assert lines[lines.index("```python") : lines.index("```") + 1] == [
        "```python",
        "from goldennoise import GoldenNoise",
        "",
        'golden = GoldenNoise.from_pretrained("owner/name")  # the id of this repository, or a folder with its files',
        "images = pipe(prompts, latents=golden(pipe, prompts, generator=generator)).images",
        "```",
    ]
    assert [line for line in lines if line.startswith(("## ", "- "))] == [
        "## Made for",
        "- noise: 4 x 8 x 8",
        "- prompt embeddings: 5 tokens x 6",
        "- sampler: dpmpp_2m, 50 steps",
        "- guidance: 5.5",
        "## Trained",
        "- data: pairs/mine@v3: 900 pairs of 450 prompts",
        "- prompts: prompts.txt",
        "- golden noise by: re_denoise",
        "- objective: gain_weighted",
        "- pairs kept by: hpsv2, a gain above 0.5",
        "## Measured",
        "- validation loss: 0.25 at epoch 12 of 30",
        "- the same for the source noise itself: 0.5",
    ]
    assert "Licence of the weights: apache-2.0." in lines
    assert "somebody" not in card


def test_a_reward_a_revision_and_a_source_are_told() -> None:
    record = {"model": RECORD["model"] | {"revision": "refs/pr/1"}, "source": "sdxl.pth"}
    record |= {name: RECORD[name] for name in ("data", "prompt_set", "teacher", "pairs", "prompts")}
    card = model_card(make_network().config, record | {"objective": "reward", "reward_scorer": "pickscore"})
    for line in (
        "revision of the model: refs/pr/1",
        "imported from: sdxl.pth",
        "reward: pickscore",
        "objective: reward",
    ):
        assert f"\n- {line}\n" in card
    assert "Measured" not in card


def test_the_card_of_an_empty_record_claims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = model_card(make_network().config, {})
    assert "base_model" not in card
    assert "license:" not in card
    assert "# NPNet for a model that its record does not name\n" in card
    assert "How it was trained is not in its record." in card
    assert "Licence of the weights: not stated." in card
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    assert "base_model" not in model_card(make_network().config, {"model": {"path": "runs/mine"}})


@pytest.mark.parametrize(
    "damage", [{"pairs": None}, {"model": "sdxl"}, {"margin": "0.5"}, {"val_loss": "low"}, {"prompt_set": 3}]
)
def test_a_record_that_tells_something_else_is_refused(damage: dict[str, object], tmp_path: Path) -> None:
    record = {name: value for name, value in (RECORD | damage).items() if value is not None}
    with pytest.raises(ModelError, match=r"record of this network is damaged \("):
        GoldenNoise(make_network(), record).save_pretrained(tmp_path)


@pytest.mark.parametrize(
    "failure", [OSError("401 Unauthorized\nfor url"), ValueError("no"), ConnectionError("offline")]
)
def test_what_the_hub_refuses_is_one_sentence(hub: type[Hub], failure: Exception) -> None:
    hub.failure = failure
    with pytest.raises(ModelError, match=r"owner/name could not be written \(.*`hf auth login`") as caught:
        GoldenNoise(make_network()).push_to_hub("owner/name")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("hub")
def test_names_that_are_none_are_refused_before_anything_is_uploaded() -> None:
    golden = GoldenNoise(make_network())
    with pytest.raises(ConfigError, match="repository=name: repository must be a hub id"):
        golden.push_to_hub("name")
    with pytest.raises(ConfigError, match="license=Apache 2: license must be a licence as the hub calls it"):
        golden.push_to_hub("owner/name", license="Apache 2")
    assert not Hub.created


def test_a_repository_of_a_published_file_is_named_with_what_to_give(hub: type[Hub], tmp_path: Path) -> None:
    hub.files = [".gitattributes", "sdxl.pth", "dreamshaper.safetensors"]
    with pytest.raises(ModelError) as caught:
        GoldenNoise.from_pretrained("owner/name")
    assert str(caught.value) == (
        "owner/name holds no config.json of an NPNet folder, but dreamshaper.safetensors, sdxl.pth: if that is a "
        "published checkpoint, run `hf download owner/name FILE` and give the path that it prints, FILE being "
        "dreamshaper.safetensors."
    )
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "sdxl.pth").write_bytes(b"")
    with pytest.raises(
        ModelError, match=r"but sdxl\.pth: if that is a published checkpoint, give .*folder/sdxl\.pth\."
    ):
        GoldenNoise.from_pretrained(tmp_path / "folder")


def test_a_network_taken_for_another_model_is_refused(hub: type[Hub], tmp_path: Path) -> None:  # noqa: ARG001
    network = make_network()
    network.config = replace(network.config, text_dim=7)
    GoldenNoise(network).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"other shapes, text_embedding"):
        GoldenNoise.from_pretrained(tmp_path)
