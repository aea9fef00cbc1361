"""Files of weights: from a folder, from the hub's cache, and a sentence for all that goes wrong."""

import hashlib
from pathlib import Path

import huggingface_hub.constants
import pytest

from goldennoise.errors import ModelError
from goldennoise.networks.checkpoint import find_npnet
from goldennoise.store.hub import find_file

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with `weights.bin` of owner/name at the branch "main" and nothing at any other."""
    repository = tmp_path / "cache" / "models--owner--name"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "weights.bin").write_bytes(CONTENT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return snapshot


def test_a_file_of_a_folder_is_found_with_or_without_its_hash(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(CONTENT)
    assert find_file(str(tmp_path), "weights.bin") == tmp_path / "weights.bin"
    assert find_file(str(tmp_path), "weights.bin", sha256=SHA256) == tmp_path / "weights.bin"


def test_a_file_of_the_cache_is_found_without_a_network(cache: Path) -> None:
    assert find_file("owner/name", "weights.bin", sha256=SHA256) == cache / "weights.bin"


def test_a_file_that_is_missing_from_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"weights\.bin does not exist: .* must lie in it"):
        find_file(str(tmp_path), "weights.bin")


def test_a_folder_in_place_of_a_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").mkdir()
    with pytest.raises(ModelError, match=r"weights\.bin is a folder: give a folder that holds a file weights\.bin"):
        find_file(str(tmp_path), "weights.bin")


@pytest.mark.parametrize("source", ["~nobody-of-that-name/weights", "long/" * 60 + "x" * 5000, "x" * 300, "nul\0/name"])
@pytest.mark.usefixtures("cache")
def test_a_name_that_no_file_can_have_is_one_short_sentence(source: str) -> None:
    for look_up in (lambda: find_file(source, "weights.bin"), lambda: find_npnet(source)):
        with pytest.raises(ModelError) as caught:
            look_up()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize("source", ["other/name", "no such folder", "./owner/name"])
@pytest.mark.usefixtures("cache")
def test_what_cannot_be_fetched_is_named_with_the_command_that_fetches_it(source: str) -> None:
    with pytest.raises(ModelError, match=rf"weights\.bin of {source} is neither .* `hf download {source} weights.bin`"):
        find_file(source, "weights.bin")


@pytest.mark.usefixtures("cache")
def test_another_revision_than_the_one_asked_for_is_not_taken() -> None:
    with pytest.raises(ModelError, match=r"weights\.bin --revision v2.1`"):
        find_file("owner/name", "weights.bin", revision="v2.1")


def test_a_damaged_file_is_refused_with_both_hashes(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(CONTENT + b"!")
    with pytest.raises(ModelError, match=rf"its SHA-256 is [0-9a-f]{{64}}, expected {SHA256}; delete it"):
        find_file(str(tmp_path), "weights.bin", sha256=SHA256)
