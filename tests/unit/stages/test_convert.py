"""Stage convert: networks from elsewhere become artifacts, artifacts files for others, or one sentence says why not."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file
from unit.generation.fakes import Run
from unit.networks.small_npnet import make_inputs, make_network

from goldennoise.diffusion.families.table import StableDiffusionXL as ModelConfig
from goldennoise.errors import ArtifactError, ConfigError, GoldenNoiseError, ModelError
from goldennoise.networks.checkpoint import load_npnet, save_npnet
from goldennoise.networks.npnet import Config as ArchitectureConfig
from goldennoise.networks.npnet import NetworkConfig as NPNetConfig
from goldennoise.networks.npnet.network import NPNet
from goldennoise.networks.npnet.network import build as seeded_npnet
from goldennoise.networks.published import load_published
from goldennoise.networks.publishing import save_published
from goldennoise.networks.sources import network_at, resolve_network
from goldennoise.stages.convert import Config, run
from goldennoise.store.artifacts import Artifact, ArtifactStore

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = {"kind": "stable_diffusion", "path": "owner/model", "revision": None, "weights": None}


def a_run(outputs: Path, npnet: object, **changes: Any) -> Run:
    """Changes are fields of the run, or `layout` and `svd_attention` of its stage."""
    options = {name: changes.pop(name) for name in ("layout", "svd_attention") if name in changes}
    return replace(Run(Config(npnet=str(npnet), **options), str(outputs), {}, {}, model=ModelConfig()), **changes)


@pytest.fixture(scope="module")
def published() -> NPNet:
    config = NPNetConfig((4, 8, 8), 77, 6, ArchitectureConfig(canonical_signs=False))
    return seeded_npnet(config, seed=1).eval()


@pytest.fixture(scope="module")
def file(published: NPNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "sdxl.pth"
    save_published(published, path, "nested")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small network of ours, canonical signs and all, as somebody else gave it away."""
    save_npnet(make_network(), tmp_path / "given", {"model": MODEL, "pairs": 36})
    return tmp_path / "given"


def _doubled(module: torch.nn.Module) -> None:
    if isinstance(module, NPNet):
        module.alpha.mul_(2)


def equal(one: NPNet, other: NPNet) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(theirs[name], tensor) for name, tensor in mine.items())


def test_a_published_file_becomes_a_network_and_the_network_a_file_for_others(
    published: NPNet, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = run(a_run(tmp_path, file))
    assert artifact.reference == "npnet/test@v1"
    assert equal(load_npnet(artifact.path), published)
    assert artifact.record["identity"]["model"]["path"] == "stabilityai/stable-diffusion-xl-base-1.0"
    assert artifact.record["counts"] == {"parameters": sum(each.numel() for each in published.parameters())}
    assert "npnet/test@v1: imported from" in capsys.readouterr().out
    assert run(a_run(tmp_path, file)).path == artifact.path
    assert "npnet/test@v1 is complete." in capsys.readouterr().out

    back = run(a_run(tmp_path, "npnet/test@v1", layout="flat"))
    assert back.reference == "checkpoint/test@v1"
    assert list(back.record["files"]) == ["npnet.safetensors"]
    assert back.record["inputs"] == [{"reference": "npnet/test@v1", "fingerprint": artifact.fingerprint}]
    assert equal(load_published(back.path / "npnet.safetensors"), published)
    assert run(a_run(tmp_path, "npnet/test@v1", layout="flat")).path == back.path
    assert run(a_run(tmp_path, file, svd_attention=False)).version == "v2"
    assert load_npnet(tmp_path / "npnet/test/v2").config == load_published(file, svd_attention=False).config
    assert load_npnet(tmp_path / "npnet/test/v2").config.vector_mean == "after"
    with pytest.raises(ModelError, match="vector_mean=after, not before; keep it in the layout goldennoise"):
        run(a_run(tmp_path, file, layout="flat", svd_attention=False))


def test_a_file_goes_from_one_published_layout_to_the_other(published: NPNet, file: Path, tmp_path: Path) -> None:
    artifact = run(a_run(tmp_path, file, layout="flat"))
    assert artifact.record["inputs"] == []
    assert equal(load_published(artifact.path / "npnet.safetensors"), published)
    content = torch.load(file)
    torch.save(content | {"alpha": torch.ones(1)}, tmp_path / "other.pth")
    other = run(a_run(tmp_path, tmp_path / "other.pth", layout="flat"))
    assert other.version == "v2"
    assert load_file(other.path / "npnet.safetensors")["alpha"].item() == 1.0


def test_a_folder_becomes_a_network_of_the_model_that_it_names(folder: Path, tmp_path: Path) -> None:
    artifact = run(a_run(tmp_path, folder))
    noise, text = make_inputs()
    assert torch.equal(load_npnet(artifact.path)(noise, text), make_network()(noise, text))
    assert artifact.record["identity"]["model"] == MODEL
    record = json.loads((artifact.path / "config.json").read_text())["record"]
    assert record == {"model": MODEL, "pairs": 36, "source": "given"}
    moved = folder.rename(tmp_path / "moved")
    assert run(a_run(tmp_path, moved)).path == artifact.path
    save_npnet(make_network().requires_grad_(False).apply(_doubled), moved, {"model": MODEL})
    assert run(a_run(tmp_path, moved)).version == "v2"
    (artifact.path / "config.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"config\.json is damaged: .* run the convert command again"):
        run(a_run(tmp_path, "npnet/test@v1", layout="flat"))


def test_a_hub_id_as_a_method_names_it_is_used_where_it_lies_and_is_the_network_that_convert_makes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "cache" / "models--owner--net"
    shutil.copytree(folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "v2.1").write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    store = ArtifactStore(tmp_path / "outputs")
    network = resolve_network(store, "owner/net@v2.1")
    assert network.reference == "owner/net@v2.1"
    assert network.path == repository / "snapshots" / COMMIT
    assert network.recorded("identity", "model") == MODEL
    assert not store.root.exists()
    assert network_at("owner/net@v2.1", network.path, network.fingerprint) == network
    assert network_at("owner/net@v2.1", tmp_path / "of another machine", network.fingerprint) == network
    with pytest.raises(ArtifactError, match="another network on this machine than on the first one"):
        network_at("owner/net@v2.1", network.path, "other")
    (network.path / "record.json").write_text("{}")
    assert network_at("owner/net@v2.1", network.path, network.fingerprint) == network
    (network.path / "record.json").unlink()
    artifact = run(a_run(store.root, "owner/net@v2.1"))
    assert artifact.fingerprint == network.fingerprint
    assert (
        "imported from owner/net@v2.1, for latents 4 x 8 x 8 and text 5 x 6 of owner/model" in capsys.readouterr().out
    )
    assert resolve_network(store, "npnet/test").path == artifact.path
    with pytest.raises(
        ModelError, match=r"config\.json of owner/net is neither .*`hf download owner/net config\.json`"
    ):
        resolve_network(store, "owner/net")


@pytest.mark.parametrize("given", ["folder", "file"])
def test_a_method_is_told_to_convert_what_is_no_artifact(given: str, folder: Path, file: Path, tmp_path: Path) -> None:
    path = folder if given == "folder" else file
    with pytest.raises(
        ArtifactError, match=f"is no artifact: make it one with stage=convert stage.npnet={path} name=NAME"
    ):
        resolve_network(ArtifactStore(tmp_path), str(path))


def test_a_network_that_does_not_name_its_model_needs_the_users_word(tmp_path: Path) -> None:
    save_npnet(make_network(), tmp_path / "given", {})
    assert run(a_run(tmp_path, tmp_path / "given")).record["identity"]["model"]["kind"] == "stable_diffusion_xl"
    from goldennoise.networks.importing import import_network

    with pytest.raises(ModelError, match=r"does not say which model .*stage=convert stage\.npnet=.*given model=MODEL"):
        import_network(ArtifactStore(tmp_path), str(tmp_path / "given"), "net", "auto", {}, None)


@pytest.mark.parametrize("record", [[1], {"model": "sdxl"}, {"model": {"path": 3}}, {"selected_by": "hpsv2"}])
def test_a_record_of_something_else_is_refused(record: Any, folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | {"record": record}))
    with pytest.raises(ModelError, match=r"config\.json has a record that no NPNet has"):
        run(a_run(tmp_path, folder))
    assert not (tmp_path / "npnet").exists()


@pytest.mark.usefixtures("folder")
def test_an_artifact_is_found_below_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    artifact = run(a_run(tmp_path, "~/given"))
    assert resolve_network(ArtifactStore(tmp_path / "other"), "~/npnet/test/v1").path == artifact.path
    with pytest.raises(ConfigError, match="is an npnet artifact already"):
        run(a_run(tmp_path / "other", "~/npnet/test/v1"))


@pytest.mark.parametrize("reference", ["x" * 5000, "owner/" + "x" * 5000, "~nobody-of-that-name/net", "nul\0"])
def test_a_reference_that_nothing_can_have_is_one_sentence(reference: str, tmp_path: Path) -> None:
    for look_up in (
        lambda: run(a_run(tmp_path, reference)),
        lambda: resolve_network(ArtifactStore(tmp_path), reference),
    ):
        with pytest.raises(GoldenNoiseError) as caught:
            look_up()
        assert len(str(caught.value)) < 600


class _Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def _malicious(path: Path, _: Path) -> None:
    torch.save({"unet_svd": _Malicious(path.with_name("executed"))}, path)


def _truncated(path: Path, whole: Path) -> None:
    path.write_bytes(whole.read_bytes()[:-100_000])


BAD_FILES = {
    "missing": (lambda *_: None, r"net\.pth does not exist"),
    "malicious": (_malicious, "holds more than tensors, which could run code: it is refused"),
    "truncated": (_truncated, r"net\.pth is truncated or damaged"),
    "empty": (lambda path, _: path.write_bytes(b""), "damaged"),
}


@pytest.mark.parametrize(("make", "message"), BAD_FILES.values(), ids=BAD_FILES)
@pytest.mark.parametrize("layout", ["goldennoise", "nested"])
def test_a_bad_file_is_one_sentence_and_leaves_nothing(
    make: Any, message: str, layout: str, file: Path, tmp_path: Path
) -> None:
    make(tmp_path / "net.pth", file)
    before = list(tmp_path.iterdir())
    with pytest.raises(ModelError, match=message) as caught:
        run(a_run(tmp_path / "outputs", tmp_path / "net.pth", layout=layout))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("npnet", "options", "error", "message"),
    [
        ("npnet/test@v1", {}, ConfigError, "npnet/test@v1 is an npnet artifact already; stage.layout=nested or flat"),
        ("npnet/test@v1", {"layout": "flat"}, ModelError, "image_size=32, not 224; .*canonical_signs=True, not False"),
        ("given", {"svd_attention": False}, ConfigError, "svd_attention=false: .*given says itself whether"),
        ("npnet/nothing@v1", {"layout": "flat"}, ArtifactError, "no npnet artifact called nothing"),
        (
            "owner/name",
            {},
            ModelError,
            r"config\.json of owner/name is neither .* `hf download owner/name config\.json`",
        ),
    ],
)
def test_what_cannot_be_converted_is_one_sentence(
    folder: Path, tmp_path: Path, npnet: str, options: dict[str, Any], error: type[GoldenNoiseError], message: str
) -> None:
    artifact: Artifact = run(a_run(tmp_path, folder))
    assert artifact.reference == "npnet/test@v1"
    with pytest.raises(error, match=message) as caught:
        run(a_run(tmp_path, folder if npnet == "given" else npnet, **options))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "checkpoint").exists()


def test_options_out_of_range() -> None:
    with pytest.raises(ConfigError, match="layout=flatt: layout must be one of goldennoise, nested, flat"):
        Config(npnet="net.pth", layout="flatt")
    with pytest.raises(ConfigError, match="npnet=''"):
        Config(npnet="")
