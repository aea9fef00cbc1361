"""The artifact store: fingerprints, versions, resuming, locks, damage."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldennoise.errors import ArtifactError, ConfigError, GoldenNoiseError
from goldennoise.store import drafts
from goldennoise.store.artifacts import Artifact, ArtifactStore, Draft
from goldennoise.store.files import put
from goldennoise.store.identity import fingerprint

Identity = dict[str, Any]

IDENTITY: Identity = {"stage": {"margin": 0.0, "sizes": [1, 2]}, "seed": 0}
OTHER: Identity = {"stage": {"margin": 0.5, "sizes": [1, 2]}, "seed": 0}


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "outputs")


def begin(store: ArtifactStore, identity: Identity = IDENTITY, version: str = "auto", **other: Any) -> Artifact | Draft:
    given: dict[str, Any] = {"kind": "pairs", "name": "shapes", "inputs": [], "config": {"compute": {"device": "cpu"}}}
    return store.begin(version=version, identity=identity, **(given | other))


def draft_of(store: ArtifactStore, identity: Identity = IDENTITY, version: str = "auto", **other: Any) -> Draft:
    outcome = begin(store, identity, version, **other)
    assert isinstance(outcome, Draft)
    return outcome


def make(store: ArtifactStore, identity: Identity = IDENTITY, text: str = "content", **other: Any) -> Artifact:
    with draft_of(store, identity, **other) as draft:
        (draft.path / "parts").mkdir()
        (draft.path / "parts" / "0.txt").write_text(text)
        return draft.commit({"pairs": 3})


def test_fingerprint_depends_on_values_not_on_order() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2}}, ["x"]) == fingerprint({"b": {"c": 2}, "a": 1}, ["x"])
    identities: list[Identity] = [{"a": 1}, {"a": 2}, {"a": 1.0}, {"b": 1}]
    assert len({fingerprint(identity, inputs) for identity in identities for inputs in (["x"], ["y"], [])}) == 12


def test_fingerprint_is_the_same_in_every_release() -> None:
    canonical = '{"identity":{"margin":0.5,"name":"été"},"inputs":["00ff"]}'
    assert fingerprint({"name": "été", "margin": 0.5}, ["00ff"]) == hashlib.sha256(canonical.encode()).hexdigest()


def test_record_tells_what_it_is_made_of(store: ArtifactStore) -> None:
    source = make(store)
    network = make(store, OTHER, kind="npnet", inputs=[source])
    record = json.loads((network.path / "record.json").read_text())
    assert record == network.record
    assert record["inputs"] == [{"reference": "pairs/shapes@v1", "fingerprint": source.fingerprint}]
    assert record["fingerprint"] == fingerprint(OTHER, [source.fingerprint])
    assert record["config"] == {"compute": {"device": "cpu"}}
    assert record["counts"] == {"pairs": 3}
    assert list(record["files"]) == ["parts/0.txt"]
    assert record["packages"]["torch"]
    assert {"host", "command", "git_commit", "start", "end", "kind", "name", "version"} <= record.keys()
    assert sorted(path.name for path in network.path.iterdir()) == ["parts", "record.json"]


def test_same_identity_is_complete_already(store: ArtifactStore) -> None:
    first = make(store)
    assert begin(store) == first
    assert begin(store, version="v1") == first


def test_other_identity_gets_the_next_version(store: ArtifactStore) -> None:
    assert [make(store).version, make(store, OTHER).version, make(store, {"seed": 3}).version] == ["v1", "v2", "v3"]
    assert begin(store, OTHER).reference == "pairs/shapes@v2"


def test_other_inputs_get_the_next_version(store: ArtifactStore) -> None:
    sources = [make(store), make(store, OTHER)]
    versions = [make(store, kind="npnet", inputs=[source]).version for source in sources]
    assert versions == ["v1", "v2"]


def test_unfinished_draft_is_resumed(store: ArtifactStore) -> None:
    with draft_of(store) as draft:
        assert not draft.resumed
        (draft.path / "0.txt").write_text("kept")
    with draft_of(store, OTHER) as other:
        assert other.path.name == "v2.partial"
    with draft_of(store) as again:
        assert again.resumed
        assert again.path == draft.path
        assert (again.path / "0.txt").read_text() == "kept"
        assert again.commit({}).version == "v1"


def test_half_written_files_are_left_out(store: ArtifactStore) -> None:
    with draft_of(store) as draft:
        (draft.path / "0.txt.tmp").write_text("half")
        artifact = draft.commit({})
    assert artifact.record["files"] == {}
    assert not (artifact.path / "0.txt.tmp").exists()


def test_explicit_version_of_something_else_lists_what_changed(store: ArtifactStore) -> None:
    make(store)
    with pytest.raises(ArtifactError, match=r"pairs/shapes@v1 exists .*stage\.margin 0\.0 -> 0\.5\)") as caught:
        begin(store, OTHER, version="v1")
    assert "seed" not in str(caught.value)
    with pytest.raises(ArtifactError, match="inputs"):
        begin(store, version="v1", inputs=[make(store, OTHER)])


def test_explicit_version_of_another_draft_is_refused(store: ArtifactStore) -> None:
    draft_of(store, version="v4").release()
    with pytest.raises(ArtifactError, match=r"stage\.margin"):
        begin(store, OTHER, version="v4")
    assert make(store, OTHER).version == "v5"


@pytest.mark.parametrize(
    ("name", "version"),
    [
        *((name, "auto") for name in ("a/b", "", ".x", "con", "Aux.txt", "a.", "a.tmp", "a.lock", "x" * 101)),
        *(("a", version) for version in ("3", "v0", "v" + "9" * 300, "v\u0663", "v1\n")),
    ],
)
def test_impossible_names(store: ArtifactStore, name: str, version: str) -> None:
    with pytest.raises(ConfigError):
        begin(store, name=name, version=version)


def test_resolve(store: ArtifactStore) -> None:
    for number in range(11):
        newest = make(store, {"seed": number})
    draft_of(store, OTHER).release()
    for reference in ("pairs/shapes@latest", "shapes@latest", "shapes", "pairs/shapes", "shapes@v11", str(newest.path)):
        assert store.resolve(reference, "pairs") == newest
    assert store.resolve("shapes@v2", "pairs").record["identity"] == {"seed": 1}
    assert newest.reference == "pairs/shapes@v11"


@pytest.mark.parametrize(
    ("reference", "kind", "message"),
    [
        ("shape", "pairs", "did you mean shapes"),
        ("shapes@v7", "pairs", "complete versions are v1"),
        ("pairs/shapes@v1", "npnet", "is of kind pairs, and npnet is needed"),
        ("shapes", "npnet", "stage=train name=shapes"),
        ("started", "pairs", "pairs/started@v1 is unfinished: run its collect command"),
        ("shapes@v2", "pairs", "pairs/shapes@v2 is unfinished"),
        ("{root}/pairs/shapes/v2.partial", "pairs", "is unfinished"),
        ("{root}/pairs/shapes", "pairs", "is not a complete artifact"),
        ("{root}/pairs/shapes/v1", "npnet", "is of kind pairs"),
        ("no/such/folder", "pairs", "neither a folder nor the name of an artifact"),
    ],
)
def test_resolve_says_what_is_wrong(store: ArtifactStore, reference: str, kind: str, message: str) -> None:
    make(store)
    draft_of(store, OTHER).release()
    draft_of(store, name="started").release()
    with pytest.raises(ArtifactError, match=message):
        store.resolve(reference.format(root=store.root), kind)


def test_damage_is_found(store: ArtifactStore) -> None:
    artifact = make(store)
    artifact.check()
    (artifact.path / "parts" / "0.txt").write_text("Content")
    assert artifact.damaged() == ["parts/0.txt"]
    with pytest.raises(ArtifactError, match=r"parts/0\.txt is damaged"):
        artifact.check()
    (artifact.path / "parts" / "0.txt").unlink()
    assert artifact.damaged() == ["parts/0.txt"]


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "pairs"}'])
def test_damaged_record(store: ArtifactStore, content: str) -> None:
    (make(store).path / "record.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"record\.json is damaged"):
        store.resolve("shapes", "pairs")


@pytest.mark.parametrize("absolute", [True, False])
def test_a_record_that_names_files_outside_of_its_folder_is_refused(store: ArtifactStore, absolute: bool) -> None:
    path = make(store).path
    precious = store.root / "precious.txt"
    precious.write_text("precious")
    record = json.loads((path / "record.json").read_text())
    record["files"][str(precious.absolute()) if absolute else "../../../precious.txt"] = "another digest"
    (path / "record.json").write_text(json.dumps(record))
    for refused in (lambda: begin(store, version="v1"), lambda: store.resolve("shapes", "pairs")):
        with pytest.raises(ArtifactError, match="names a file outside of its folder"):
            refused()
    draft_of(store).release()
    assert precious.is_file()


def damage(file: Path, how: str) -> None:
    """Another content for a record.json or draft.json."""
    record = json.loads(file.read_text())
    wrong: dict[str, object] = {
        "empty": {},
        "list": [1, 2],
        "no fingerprint": {key: part for key, part in record.items() if key != "fingerprint"},
        "number for text": record | {"fingerprint": 3},
        "text for files": record | {"files": "none"},
        "list for identity": record | {"identity": [1]},
        "other inputs": record | {"inputs": ["pairs/shapes@v1"]},
        "unknown kind": record | {"kind": "spoons"},
    }
    if how == "a folder":
        file.unlink()
        file.mkdir()
    elif how == "no JSON":
        file.write_bytes(b"\xff{")
    elif how == "too deep":
        file.write_text("[" * 100_000)
    else:
        file.write_text(json.dumps(wrong[how]))


DAMAGE = [
    "empty",
    "list",
    "no fingerprint",
    "number for text",
    "list for identity",
    "other inputs",
    "no JSON",
    "too deep",
]


@pytest.mark.parametrize("how", [*DAMAGE, "text for files", "unknown kind", "a folder"])
def test_a_damaged_record_of_another_version_is_passed_over(
    store: ArtifactStore, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = make(store).path / "record.json"
    damage(damaged, how)
    with draft_of(store, OTHER) as draft:
        assert draft.reference == "pairs/shapes@v2"
        assert f"{damaged.parent} is passed over: {damaged}" in caplog.text
    for refused in (lambda: begin(store, version="v1"), lambda: store.resolve("shapes@v1", "pairs")):
        with pytest.raises(ArtifactError, match=r"record\.json is damaged: .*; restore it or"):
            refused()


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_draft_of_another_version_is_passed_over(
    store: ArtifactStore, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with draft_of(store) as first:
        damage(first.path / "draft.json", how)
    with draft_of(store, OTHER) as draft:
        assert draft.reference == "pairs/shapes@v2"
        assert f"is passed over: {first.path / 'draft.json'}" in caplog.text
    with pytest.raises(ArtifactError, match=r"draft\.json is damaged"):
        begin(store, version="v1")


def test_a_file_replaced_by_a_folder_is_repaired(store: ArtifactStore) -> None:
    file = make(store).path / "parts" / "0.txt"
    file.unlink()
    (file / "inside").mkdir(parents=True)
    with draft_of(store) as draft:
        assert draft.damaged == ["parts/0.txt"]
        put_beside = draft.path / "new.tmp"
        put_beside.write_text("content")
        (draft.path / "parts" / "0.txt").mkdir()
        put(put_beside, draft.path / "parts" / "0.txt")
        assert draft.commit({"pairs": 3}).damaged() == []


def test_a_record_is_asked_for_what_it_does_not_hold(store: ArtifactStore) -> None:
    artifact = make(store)
    assert artifact.recorded("config", "compute", "device", kind=str) == "cpu"
    for keys, kind in ((("config", "stage"), dict), (("config", "compute", "device", "x"), str), (("config",), list)):
        with pytest.raises(ArtifactError, match=r"record\.json is damaged: (it has no )?config"):
            artifact.recorded(*keys, kind=kind)


def test_a_file_system_without_locks_is_told(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlocked(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(drafts.fcntl, "flock", unlocked)
    with pytest.raises(ArtifactError, match=r"cannot be locked \(No locks available\): choose a folder on another"):
        begin(store)


def test_damaged_artifact_becomes_a_draft_again(store: ArtifactStore, caplog: pytest.LogCaptureFixture) -> None:
    artifact = make(store)
    (artifact.path / "parts" / "0.txt").write_text("damaged")
    with draft_of(store) as draft:
        assert draft.resumed
        assert draft.damaged == ["parts/0.txt"]
        assert "pairs/shapes@v1 is damaged and is repaired: parts/0.txt" in caplog.text
        assert not (draft.path / "parts" / "0.txt").exists()
        with pytest.raises(ArtifactError, match="unfinished"):
            store.resolve("shapes", "pairs")
    with draft_of(store) as draft:
        (draft.path / "parts" / "0.txt").write_text("content")
        assert draft.commit({"pairs": 3}).record["files"] == artifact.record["files"]


@pytest.mark.parametrize("with_draft", [False, True])
def test_a_version_that_lost_its_record_is_passed_over_or_refused(store: ArtifactStore, with_draft: bool) -> None:
    lost = make(store).path
    (lost / "record.json").unlink()
    if with_draft:
        partial = lost.with_name("v1.partial")
        partial.mkdir()
        (partial / "draft.json").write_text(json.dumps({"fingerprint": "x"}))
    with pytest.raises(ArtifactError, match=r"shapes/v1 is not a complete artifact: it has no record\.json; restore"):
        make(store, version="v1")
    assert make(store).version == "v2"
    assert (lost / "parts/0.txt").is_file()


def test_a_record_that_is_a_pipe_is_not_waited_for(store: ArtifactStore) -> None:
    folder = store.root / "pairs/shapes/v1"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "record.json")
    assert make(store).version == "v2"


def test_other_folders_are_no_versions(store: ArtifactStore) -> None:
    folder = store.root / "pairs/shapes"
    for name in ("vx", "v", "v01", "vx.partial", "old"):
        (folder / name).mkdir(parents=True)
        for file in ("record.json", "draft.json"):
            (folder / name / file).write_text("{}")
    assert make(store).version == "v1"


@pytest.mark.parametrize("said", [{"version": "é"}, {"version": "v1/../../x"}, {"version": "v7"}, {"identity": {}}])
def test_what_a_draft_says_wrongly_of_itself_is_written_again(store: ArtifactStore, said: Identity) -> None:
    record = make(store).record
    for name in ("record.json", "draft.json"):
        path = store.root / "pairs/shapes/v1" / name
        if name == "draft.json":
            # As a run leaves it that is killed before the end.
            path = path.parent.rename(path.parent.with_name("v1.partial")) / name
            (path.parent / "record.json").rename(path)
        else:
            (path.parent / "parts/0.txt").write_text("damaged")
        path.write_text(json.dumps(json.loads(path.read_text()) | said))
        with draft_of(store) as draft:
            assert json.loads((draft.path / "draft.json").read_text())["identity"] == IDENTITY
            (draft.path / "parts/0.txt").write_text("content")
            repaired = draft.commit({"pairs": 3})
        assert repaired.path == store.root / "pairs/shapes/v1"
        assert {key: repaired.record[key] for key in said} == {key: record[key] for key in said}


FORKED_WRITER = """
import os, sys, time
from goldennoise.store.artifacts import ArtifactStore
draft = ArtifactStore(sys.argv[1]).begin("pairs", "shapes", "auto", {"seed": 0}, [], {})
child = os.fork()
if child == 0:
    print(os.getpid(), flush=True)
    time.sleep(60)
os._exit(9)
"""


def test_forked_child_does_not_keep_the_lock(store: ArtifactStore) -> None:
    command = [sys.executable, "-c", FORKED_WRITER, str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.wait()
        try:
            draft_of(store, {"seed": 0}).release()
        finally:
            os.kill(child, signal.SIGKILL)


WRITER = """
import sys, time
from goldennoise.store.artifacts import ArtifactStore
draft = ArtifactStore(sys.argv[1]).begin("pairs", "shapes", "auto", {"seed": 0}, [], {})
(draft.path / "0.txt").write_text("half of the work")
print("writing", flush=True)
time.sleep(60)
draft.commit({})
"""


@pytest.fixture
def writer(store: ArtifactStore) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", WRITER, str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def test_second_writer_is_refused(store: ArtifactStore, writer: "subprocess.Popen[str]") -> None:
    with pytest.raises(ArtifactError, match=f"v1 is being written by process {writer.pid}"):
        begin(store, {"seed": 0})
    with draft_of(store, OTHER) as other:
        assert other.path.name == "v2.partial"


def test_killed_writer_leaves_only_an_unfinished_folder(store: ArtifactStore, writer: "subprocess.Popen[str]") -> None:
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    folder = store.root / "pairs" / "shapes"
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["v1.partial"]
    with pytest.raises(ArtifactError, match="unfinished"):
        store.resolve("shapes", "pairs")
    with draft_of(store, {"seed": 0}) as draft:
        assert draft.resumed
        assert (draft.path / "0.txt").exists()
        draft.commit({})
    assert store.resolve("shapes", "pairs").damaged() == []


def test_folder_of_a_run_killed_before_its_draft_file_is_reused(store: ArtifactStore) -> None:
    (store.root / "pairs" / "shapes" / "v1.partial").mkdir(parents=True)
    with draft_of(store) as draft:
        assert not draft.resumed
        assert draft.path.name == "v1.partial"


def test_kill_between_record_and_rename_is_resumed(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with draft_of(store) as draft, monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            draft.commit({})
    with pytest.raises(ArtifactError, match="unfinished"):
        store.resolve("shapes", "pairs")
    with draft_of(store) as draft:
        assert draft.resumed
        assert draft.commit({}).record["files"] == {}


def test_full_disk_keeps_the_draft(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with draft_of(store) as draft, monkeypatch.context() as patch:
        patch.setattr(drafts, "write_json", full)
        with pytest.raises(ArtifactError, match="no space left"):
            draft.commit({})
    with draft_of(store) as draft:
        assert draft.resumed


@pytest.mark.parametrize("reference", ["x" * 5000, "a/" * 300, "~nobody-of-that-name/v1", "nul\0", "é", "../../v1"])
def test_a_reference_that_nothing_can_have_is_one_sentence(store: ArtifactStore, reference: str) -> None:
    with pytest.raises(GoldenNoiseError) as found:
        store.resolve(reference, "pairs")
    assert str(found.value).isprintable()
    assert len(str(found.value)) < 400


def test_a_folder_may_be_named_from_the_home_folder(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = make(store)
    monkeypatch.setenv("HOME", str(store.root))
    assert store.resolve("~/pairs/shapes/v1", "pairs").path == artifact.path
