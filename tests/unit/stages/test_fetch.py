"""Stage fetch: a published set from a server on this machine, or from a copy at hand."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from goldennoise.config.compose import RunConfig, load
from goldennoise.data.prompts.content import content_digest
from goldennoise.errors import ConfigError, DataError
from goldennoise.stages import fetch

TEXT = "Prompts,Category\na red car,Colors\na dog,Counting\n"
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()
LISTS = {"anime.json": '["a robot"]', "photo.json": '["a boat", "a car"]'}


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if not self.path.endswith("/cut.csv"):
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(TEXT.encode())
        return None


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server of tmp_path/published, from which a run in tmp_path/work may fetch."""
    published = tmp_path / "published"
    published.mkdir()
    (published / "set.csv").write_text(TEXT)
    for name, content in LISTS.items():
        (published / name).write_text(content)
    monkeypatch.setenv("NO_PROXY", "*")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    served = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(published)))
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()
    served.server_close()
    thread.join()


def a_file(*overrides: str, url: str = "", sha256: str = DIGEST) -> RunConfig:
    told = [f"prompts.urls=[{url}]", f"prompts.sha256={sha256}", "prompts.version=v1", "prompts.source=A paper"]
    columns = ["prompts.text_column=Prompts", "prompts.category_column=Category", "prompts.licence=MIT"]
    return load(["stage=fetch", "prompts=file", "prompts.path=sets/a.csv", *told, *columns, *overrides])


def a_folder(server: str, *overrides: str) -> RunConfig:
    urls = ",".join(f"{server}/{name}" for name in LISTS)
    lists = ["prompts.folder=lists", "prompts.category_column=list", f"prompts.urls=[{urls}]"]
    return load(["stage=fetch", "prompts=file", "prompts.path=sets/hpd", *lists, *overrides])


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_file_is_downloaded_checked_and_told(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    fetch.run(a_file(url=f"{server}/set.csv"))
    assert Path("sets/a.csv").read_text() == TEXT
    assert files(Path()) == ["sets/a.csv"]
    assert capsys.readouterr().out == (
        f"sets/a.csv  2 prompts of 2 categories\nSHA-256 {DIGEST} (as published)\n"
        "version: v1; source: A paper; licence: MIT\n"
    )


def test_a_right_file_is_left_without_a_network(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = a_file(url=f"{server}/set.csv")
    fetch.run(config)
    before = Path("sets/a.csv").stat().st_mtime_ns
    for overrides in ([], ["stage.replace=true"]):
        fetch.run(a_file(*overrides, url="http://127.0.0.1:9/set.csv"))
        assert "sets/a.csv  is there already: 2 prompts" in capsys.readouterr().out
    fetch.run(a_file("stage.source=elsewhere.csv", url="http://127.0.0.1:9/set.csv"))
    assert "sets/a.csv  is there already, stage.source is not read: 2 prompts" in capsys.readouterr().out
    assert Path("sets/a.csv").stat().st_mtime_ns == before


def test_another_file_is_refused_unless_it_may_be_replaced(server: str) -> None:
    Path("sets").mkdir()
    Path("sets/a.csv").write_text("mine")
    with pytest.raises(DataError, match=r"sets/a\.csv is not the published set: .* stage=fetch stage\.replace=true"):
        fetch.run(a_file(url=f"{server}/set.csv"))
    assert Path("sets/a.csv").read_text() == "mine"
    fetch.run(a_file("stage.replace=true", url=f"{server}/set.csv"))
    assert Path("sets/a.csv").read_text() == TEXT


def test_a_folder_is_downloaded_file_by_file(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    fetch.run(a_folder(server))
    assert files(Path()) == ["sets/hpd/anime.json", "sets/hpd/photo.json"]
    out = capsys.readouterr().out
    assert "sets/hpd  3 prompts of 2 categories\n" in out
    digest = content_digest(Path("sets/hpd"), "lists")
    assert f"SHA-256 {digest} (not checked, for no published one is known)" in out
    Path("sets/hpd/photo.json").write_text('["mine"]')
    fetch.run(a_folder(server, f"prompts.sha256={digest}", "stage.replace=true"))
    assert content_digest(Path("sets/hpd"), "lists") == digest


def test_files_of_the_user_in_the_folder_stay(server: str) -> None:
    Path("sets/hpd").mkdir(parents=True)
    Path("sets/hpd/mine.txt").write_text("a hen\n")
    with pytest.raises(DataError, match=r"sets/hpd holds mine\.txt, which the set lacks; move away"):
        fetch.run(a_folder(server, "stage.replace=true"))
    assert files(Path()) == ["sets/hpd/mine.txt"]


@pytest.mark.usefixtures("server")
def test_a_copy_takes_the_place_of_the_network(tmp_path: Path) -> None:
    nowhere, published = "http://127.0.0.1:9", tmp_path / "published"
    fetch.run(a_file(f"stage.source={published / 'set.csv'}", url=f"{nowhere}/x.csv"))
    assert Path("sets/a.csv").read_text() == TEXT
    (published / "not_of_the_set.json").write_text('["a hen"]')
    fetch.run(a_folder(nowhere, f"stage.source={published}"))
    assert files(Path("sets/hpd")) == ["anime.json", "photo.json"]
    (published / "set.csv").unlink()
    # Without addresses the copy says which files there are.
    fetch.run(a_folder(nowhere, f"stage.source={published}", "prompts.urls=[]", "prompts.path=sets/texts",
                       "prompts.text_column=null", "prompts.duplicates=keep_first"))  # fmt: skip
    assert files(Path("sets/texts")) == ["anime.json", "not_of_the_set.json", "photo.json"]


@pytest.mark.parametrize(
    ("overrides", "url", "sha256", "expected"),
    [
        (
            [],
            "/none.csv",
            DIGEST,
            r"/none\.csv answers 404 File not found; try again, or give a copy with stage\.source",
        ),
        ([], "/cut.csv", DIGEST, r"/cut\.csv cannot be reached \(.*\); try again"),
        ([], "/set.csv", "0" * 64, rf"/set\.csv is not the published set: its SHA-256 is {DIGEST}, not 0{{64}}; give"),
        ([], "/damaged.csv", "null", r"http://.*/damaged\.csv, line 4: 3 fields, the header names 2; quote"),
        (
            ["stage.source=none.csv"],
            "/set.csv",
            DIGEST,
            r"stage\.source=none\.csv: no such file or folder; give a copy",
        ),
        (["stage.source=."], "/set.csv", DIGEST, r"stage\.source=\. is a folder; give a file, as the set is"),
        (["prompts.path=sets"], "/set.csv", DIGEST, r"stage\.source=\.\./published lacks none\.txt; give a whole copy"),
    ],
)
def test_what_cannot_be_fetched_leaves_nothing(
    server: str, tmp_path: Path, overrides: list[str], url: str, sha256: str, expected: str
) -> None:
    (tmp_path / "published/damaged.csv").write_text(f"{TEXT}a cat, sleeping,Counting\n")
    if overrides == ["prompts.path=sets"]:
        overrides, url = [*overrides, "stage.source=../published"], "/none.txt"
    with pytest.raises(DataError, match=expected) as caught:
        fetch.run(a_file(*overrides, url=server + url, sha256=sha256))
    assert "\n" not in str(caught.value)
    assert files(Path()) == []
    assert not list(Path().rglob("*.tmp"))


@pytest.mark.usefixtures("server")
def test_no_network_and_no_address() -> None:
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/set\.csv cannot be reached \(.*refused\); try again"):
        fetch.run(a_file(url="http://127.0.0.1:9/set.csv"))
    with pytest.raises(ConfigError, match=r"no address is known; get a copy of A paper and give it with stage\.source"):
        fetch.run(a_file())
    with pytest.raises(ConfigError, match=r"prompts\.urls=file:///etc/passwd: an address begins with https"):
        fetch.run(a_file(url="file:///etc/passwd"))
    with pytest.raises(ConfigError, match=r"prompts\.kind=shapes, the default, is part of the package"):
        fetch.run(load(["stage=fetch", "prompts=shapes_benchmark"]))


def test_a_path_that_cannot_be_written_and_one_of_another_kind(server: str) -> None:
    Path("sets").write_text("")
    with pytest.raises(DataError, match=r"sets/a\.csv cannot be written \(.*\); choose another prompts\.path"):
        fetch.run(a_file(url=f"{server}/set.csv"))
    Path("sets").unlink()
    Path("sets/a.csv").mkdir(parents=True)
    with pytest.raises(DataError, match=r"sets/a\.csv is a folder, the set is a file; choose another prompts\.path"):
        fetch.run(a_file("stage.replace=true", url=f"{server}/set.csv"))
    assert Path("sets/a.csv").is_dir()
