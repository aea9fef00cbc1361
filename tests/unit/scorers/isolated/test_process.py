"""Scorers in a process of their own: right scores in right order, and one sentence for all that goes wrong."""

import gc
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import as_prompts
from torch import Tensor

from goldennoise import scorers
from goldennoise.errors import ConfigError, ScorerError
from goldennoise.scorers import hpsv3, vqascore
from goldennoise.scorers.isolated import process
from goldennoise.scorers.isolated.process import ProcessConfig, ProcessScorer

STAND_IN = Path(__file__).with_name("stand_in.py")
PROMPTS = ["a cat, 1", 'a "dog"\n2', "ein Fl\u00fcgel 3"]
Start = Callable[..., ProcessScorer]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start the stand-in with what it is to do; its process id is in `tmp_path / "pid"`."""
    monkeypatch.setattr(process, "SERVED", STAND_IN)

    def started(how: str = "well", **options: float) -> ProcessScorer:
        config = ProcessConfig(command=sys.executable, **options)
        return ProcessScorer("foreign", "points", config, [how, str(tmp_path / "pid")])

    return started


@pytest.fixture
def images() -> Tensor:
    """(3, 3, 5, 7), in the first row as red as 10, 20 and 31 of 255, the last a little less."""
    images = torch.rand(3, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    images[:, 0, 0] = torch.tensor([10, 20, 30.6])[:, None] / 255
    return images


def is_running(file: Path) -> bool:
    """Whether the process with the id in `file` is there and more than a zombie."""
    try:
        status = Path(f"/proc/{file.read_text()}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def wait_until_ended(file: Path) -> bool:
    for _ in range(100):
        if not is_running(file):
            return True
        time.sleep(0.05)
    return False


def test_scores_are_those_of_the_images_and_their_prompts_in_order(start: Start, images: Tensor) -> None:
    scorer = start()
    assert scorer.score(images, as_prompts(PROMPTS)).tolist() == [1010, 2020, 3031]
    assert scorer.score(images.flip(0), as_prompts(PROMPTS[::-1])).tolist() == [3031, 2020, 1010]
    assert [scorer.score(images[i : i + 1], as_prompts(PROMPTS[i : i + 1])).item() for i in range(3)] == [
        1010,
        2020,
        3031,
    ]
    assert scorer.score(images.double().requires_grad_(), as_prompts(PROMPTS)).dtype == torch.float32


def test_it_does_not_take_itself_for_one_of_our_processes(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launchers = {"RANK", "LOCAL_RANK", "GROUP_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"}
    for name in (*launchers, "LOCAL_MODELS"):
        monkeypatch.setenv(name, "1")
    scorer = start()
    told = Path(f"/proc/{(tmp_path / 'pid').read_text()}/environ").read_text().split("\0")
    names = {line.partition("=")[0] for line in told}
    assert scorer.version == "stand-in 7"
    assert {"PATH", "LOCAL_MODELS"} <= names
    assert not names & launchers


def test_it_says_what_it_is(start: Start) -> None:
    scorer = start()
    assert (scorer.name, scorer.unit, scorer.version) == ("foreign", "points", "stand-in 7")
    assert (scorer.higher_is_better, scorer.differentiable, scorer.may_select) == (True, False, True)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("dies at the start", "ended with code 1; its last words: "),
        ("dies at the start", "RuntimeError: no weights here"),
        ("greets wrongly", "answered '{\"hello\": 1}' in place of its version; its last words: loading | looking for"),
        ("greets in another language", "answered 'Loading checkpoint 1/3' in place of its version"),
    ],
)
def test_a_process_that_does_not_start_is_told_with_its_last_words(start: Start, how: str, expected: str) -> None:
    with pytest.raises(ScorerError, match=re.escape(expected)) as caught:
        start(how)
    assert str(caught.value).startswith(f"scorer foreign: its process ({sys.executable}) ")
    assert "\n" not in str(caught.value)


def test_a_process_that_is_never_ready_is_ended(start: Start, tmp_path: Path) -> None:
    with pytest.raises(ScorerError, match=r"took longer than 2 s to start; its last words: .*never ready \| ready"):
        start("never ready", start_timeout_s=2.0)
    assert wait_until_ended(tmp_path / "pid")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("dies", "ended with code 9; its last words: looking for dies | ready | out of memory"),
        ("nonsense", "answered 'Setting pad_token_id' in place of its scores; its last words: "),
        ("no object", "answered '[1.0]' in place of its scores"),
        ("no numbers", "answered ['good', 'good', 'good'] in place of its scores"),
        ("too few", "scorer foreign gives scores of shape (1,) for 3 images; give one each"),
        ("nan", 'scorer foreign gives nan for "a "dog"'),
    ],
)
def test_a_batch_without_scores_is_told(start: Start, images: Tensor, how: str, expected: str) -> None:
    with pytest.raises(ScorerError, match=re.escape(expected)):
        start(how).score(images, as_prompts(PROMPTS))


def test_a_batch_that_takes_too_long_ends_the_process(start: Start, images: Tensor, tmp_path: Path) -> None:
    scorer = start("hangs", batch_timeout_s=0.5)
    began = time.monotonic()
    with pytest.raises(ScorerError, match=r"took longer than 0\.5 s to score 3 images; its last words: "):
        scorer.score(images, as_prompts(PROMPTS))
    assert time.monotonic() - began < process.END_S
    assert wait_until_ended(tmp_path / "pid")


@pytest.mark.parametrize("how", ["dies", "nonsense"])
def test_asked_again_after_a_failure_it_says_that_it_has_ended(start: Start, images: Tensor, how: str) -> None:
    scorer = start(how)
    for _ in range(3):
        with pytest.raises(ScorerError) as caught:
            scorer.score(images, as_prompts(PROMPTS))
    assert "ended with code" in str(caught.value)


def test_a_process_without_a_word_is_told() -> None:
    with pytest.raises(ScorerError, match=r"its process \(false\) ended with code 1; it said nothing"):
        ProcessScorer("foreign", "points", ProcessConfig(command="false"), [])


def test_a_command_that_is_not_there_is_named() -> None:
    config = ProcessConfig(command="/no/such/python -X utf8")
    with pytest.raises(ScorerError, match=r"its option command=/no/such/python -X utf8 cannot be run \(No such"):
        ProcessScorer("foreign", "points", config, [])


def test_an_environment_that_has_not_been_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScorerError, match=r"its option command=vqascore/bin/python cannot be run \(No such"):
        vqascore.build(vqascore.Config(), torch.device("cpu"))


def test_it_ends_with_its_object_and_takes_with_it_what_it_started(
    start: Start, images: Tensor, tmp_path: Path
) -> None:
    scorer = start("starts others")
    assert os.getsid(int((tmp_path / "pid").read_text())) != os.getsid(0)  # so Ctrl-C here does not reach it
    scorer.score(images, as_prompts(PROMPTS))
    folder = Path(scorer._folder.name)
    assert is_running(tmp_path / "pid")
    assert is_running(tmp_path / "pid.other")
    assert folder.is_dir()
    began = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        del scorer
        gc.collect()
    assert time.monotonic() - began < process.END_S  # it was asked to end before it was made to
    assert [warning for warning in caught if str(folder) in str(warning.message)] == []
    assert wait_until_ended(tmp_path / "pid")
    assert wait_until_ended(tmp_path / "pid.other")
    assert not folder.exists()


@pytest.mark.parametrize("last", ["raise KeyboardInterrupt", "import os; os.kill(os.getpid(), 9)"])
def test_it_ends_when_we_do(tmp_path: Path, last: str) -> None:
    lines = [
        "import sys",
        "from pathlib import Path",
        "from goldennoise.scorers import process",
        f"process.SERVED = Path({str(STAND_IN)!r})",
        "config = process.ProcessConfig(command=sys.executable)",
        f"scorer = process.ProcessScorer('foreign', 'points', config, ['well', {str(tmp_path / 'pid')!r}])",
        last,
    ]
    source = os.pathsep.join([str(Path(scorers.__file__).parents[2]), os.environ["PYTHONPATH"]])
    subprocess.run([sys.executable, "-c", "\n".join(lines)], env=os.environ | {"PYTHONPATH": source}, check=False)
    assert wait_until_ended(tmp_path / "pid")


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("command", "", "a command that a shell could read"),
        ("command", "python 'x", "a command that a shell could read"),
        ("start_timeout_s", 0.0, "a number of seconds above 0"),
        ("batch_timeout_s", float("nan"), "a number of seconds above 0"),
        ("batch_timeout_s", float("inf"), "a number of seconds above 0"),
    ],
)
def test_options_that_are_refused(option: str, value: object, allowed: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{option}=.* must be {allowed}"):
        ProcessConfig(**{"command": "python", option: value})  # type: ignore[arg-type]


def test_how_a_process_is_run_decides_nothing(start: Start) -> None:
    scorer = start()
    here = vqascore.Config(command="python", batch_timeout_s=3.0, start_timeout_s=4.0)
    identity = {"kind": "vqascore", "model": "clip-flant5-xxl", "version": "stand-in 7"}

    def identity_of(config: Any) -> Any:
        return scorers.identities({"": config})[""] | {"version": scorer.version}

    assert identity_of(here) == identity
    assert identity_of(vqascore.Config(command="other", model="clip-flant5-xl")) != identity
    assert identity_of(hpsv3.Config(command="other")) == identity_of(hpsv3.Config())
    assert scorers.identities({"": here})[""] == identity | {"version": None}


NOISE = """
import os, subprocess, sys
print("Loading checkpoint shards", flush=True)
os.write(1, b"from below Python\\n")
subprocess.run(["echo", "from another process"])
assert sys.stdin.read() == ""
def red(file):
    import zlib
    content = open(file, "rb").read()
    return zlib.decompress(content[content.index(b"IDAT") + 4 :])[1]
class Value(float):
    def item(self):
        return float(self)
"""
VQASCORE = """
class VQAScore:
    def __init__(self, model, device, cache_dir):
        assert (model, device, cache_dir) == ("clip-flant5-xl", "cpu", "the hub's cache")
    def __call__(self, images, texts):
        print("0it [00:00, ?it/s]")
        (image,), (text,) = images, texts
        return Value(1000 * len(text) + red(image))
"""
HPSV3 = """
class HPSv3RewardInferencer:
    def __init__(self, device):
        assert device == "cpu"
    def reward(self, {arguments}):
        (prompt,), (image,) = prompts, image_paths
        return [[Value(1000 * len(prompt) + red(image)), Value(0.5)]]
"""


@pytest.fixture
def environment(tmp_path: Path) -> Callable[[dict[str, str]], str]:
    """Put stand-ins for foreign packages into an environment of their own; the command that runs its Python."""

    def made(files: dict[str, str]) -> str:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
        (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
        for name, content in files.items():
            (packages / name).parent.mkdir(exist_ok=True)
            (packages / name).write_text(content)
        return str(tmp_path / "env/bin/python")

    return made


def test_vqascore_is_served_whatever_its_package_prints(
    environment: Callable[[dict[str, str]], str], images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = environment(
        {
            "t2v_metrics.py": NOISE + VQASCORE,
            "t2v_metrics-1.2.dist-info/METADATA": "Name: t2v-metrics\nVersion: 1.2\n",
            "huggingface_hub/constants.py": 'HF_HUB_CACHE = "the hub\'s cache"',
        }
    )
    # Nothing of ours may reach into its environment.
    (tmp_path / "json.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    scorer = vqascore.build(vqascore.Config(command=command, model="clip-flant5-xl"), torch.device("cpu"))
    assert (scorer.name, scorer.version) == ("vqascore", "t2v-metrics 1.2 clip-flant5-xl")
    expected = [1000 * len(prompt) + red for prompt, red in zip(PROMPTS, (10, 20, 31), strict=True)]
    assert scorer.score(images, as_prompts(PROMPTS)).tolist() == expected
    assert scorer.score(images.flip(0), as_prompts(PROMPTS[::-1])).tolist() == expected[::-1]


@pytest.mark.parametrize("arguments", ["image_paths, prompts", "prompts, image_paths"])
def test_hpsv3_is_served_by_the_package_and_by_its_repository(
    environment: Callable[[dict[str, str]], str], images: Tensor, arguments: str
) -> None:
    command = environment(
        {
            "hpsv3.py": NOISE + HPSV3.format(arguments=arguments),
            "hpsv3-1.0.0.dist-info/METADATA": "Name: hpsv3\nVersion: 1.0.0\n",
        }
    )
    scorer = hpsv3.build(hpsv3.Config(command=command), torch.device("cpu"))
    assert (scorer.name, scorer.version) == ("hpsv3", "hpsv3 1.0.0")
    expected = [1000 * len(prompt) + red for prompt, red in zip(PROMPTS, (10, 20, 31), strict=True)]
    assert scorer.score(images, as_prompts(PROMPTS)).tolist() == expected


def test_an_environment_without_the_package_is_told() -> None:
    with pytest.raises(ScorerError, match=r"ended with code 1; its last words: .*No module named 't2v_metrics'"):
        vqascore.build(vqascore.Config(command=sys.executable), torch.device("cpu"))


def test_what_serves_ends_with_its_pipe_even_while_it_loads(environment: Callable[[dict[str, str]], str]) -> None:
    """A run that is killed cannot end it otherwise, and it may hold a whole GPU."""
    command = environment({"hpsv3.py": "import time\ntime.sleep(60)"})
    child = subprocess.Popen([*command.split(), "-I", str(process.SERVED), "hpsv3", "cpu"], stdin=subprocess.PIPE)
    child.communicate(timeout=30)
    assert child.returncode == 0
