"""Scorers of packages whose requirements exclude ours, served over pipes by a Python of their own.

Run as `python -I served.py KIND DEVICE [OPTION ...]` by `process.py`, in an environment that has the package and not
goldennoise: nothing but the standard library and the package is imported here. The first line it writes is
{"version": ...}, when the model is loaded; then {"scores": [...]} for every line {"images": [PNG file, ...],
"prompts": [...]} it reads. It ends when there is no more to read, even in the middle of loading or scoring.
"""

import importlib.metadata
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import IO

Score = Callable[[str, str], float]
"""The score of an image file for a prompt. One pair at a time: padding would make it depend on the others."""


def vqascore(device: str, model: str) -> Score:
    """Probability of "Yes" to whether the image shows the prompt (Lin et al., arXiv 2404.01291), by t2v-metrics."""
    import t2v_metrics
    from huggingface_hub.constants import HF_HUB_CACHE

    # Its own default for the cache is a folder beside whatever runs.
    judge = t2v_metrics.VQAScore(model=model, device=device, cache_dir=HF_HUB_CACHE)
    return lambda image, prompt: judge(images=[image], texts=[prompt]).item()


def hpsv3(device: str) -> Score:
    """Mean of the human preference that HPSv3 predicts (Ma et al., arXiv 2508.03789); beside it lies its deviation."""
    from hpsv3 import HPSv3RewardInferencer

    judge = HPSv3RewardInferencer(device=device)
    # By name: the order of the two differs between the package and its repository.
    return lambda image, prompt: judge.reward(prompts=[prompt], image_paths=[image])[0][0].item()


SERVED: dict[str, tuple[str, Callable[..., Score]]] = {"vqascore": ("t2v-metrics", vqascore), "hpsv3": ("hpsv3", hpsv3)}
"""Kind -> the distribution whose version is told, and what loads the model."""


def main(kind: str, device: str, *options: str) -> None:
    pipe, answers = _own_pipes()
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(pipe, requests), daemon=True).start()
    distribution, load = SERVED[kind]
    score = load(device, *options)
    _write(answers, {"version": " ".join([distribution, importlib.metadata.version(distribution), *options])})
    while True:
        request = json.loads(requests.get())
        pairs = zip(request["images"], request["prompts"])  # noqa: B905 (Python 3.9 has no strict)
        _write(answers, {"scores": [score(image, prompt) for image, prompt in pairs]})


def _own_pipes() -> tuple[IO[str], IO[str]]:
    """The pipes to and from goldennoise; whatever else reads or prints here gets nothing and goes to stderr."""
    requests, answers = (os.fdopen(os.dup(number), mode, encoding="utf-8") for number, mode in ((0, "r"), (1, "w")))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, answers


def _read(pipe: IO[str], requests: "queue.SimpleQueue[str]") -> None:
    """Every request, and the end of this process with that of goldennoise, whatever it is doing then."""
    for line in pipe:
        requests.put(line)
    os._exit(0)


def _write(answers: IO[str], message: dict[str, object]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
