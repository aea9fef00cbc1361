"""In place of `served.py`: a scorer that answers at once, and misbehaves as its argument says."""

import json
import os
import sys
import time


def answer(message: object) -> None:
    print(message if isinstance(message, str) else json.dumps(message), flush=True)


def scores(request: dict) -> list:  # type: ignore[type-arg]
    """1000 x the prompt's last word + the red of the top right pixel: tells which image came with which prompt."""
    from PIL import Image

    reds = [Image.open(file).getpixel((6, 0))[0] for file in request["images"]]
    return [1000 * int(prompt.split()[-1]) + red for prompt, red in zip(request["prompts"], reds, strict=True)]


def main(how: str, where: str) -> None:
    sys.stderr.write(f"loading\n\nlooking for {how}\nready\n")
    with open(where, "w") as file:  # noqa: PTH123
        file.write(str(os.getpid()))
    if how == "dies at the start":
        raise RuntimeError("no weights here")
    if how == "never ready":
        time.sleep(60)
    if how == "greets wrongly":
        answer({"hello": 1})
    if how == "greets in another language":
        answer("Loading checkpoint 1/3")
    answer({"version": "stand-in 7"})
    for line in sys.stdin:
        request = json.loads(line)
        if how == "dies":
            print("out of memory", file=sys.stderr)
            os._exit(9)
        if how == "hangs":
            time.sleep(60)
        if how == "starts others":
            other = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
            with open(f"{where}.other", "w") as file:  # noqa: PTH123
                file.write(str(other))
        answers = {
            "nonsense": "Setting pad_token_id",
            "no object": [1.0],
            "no numbers": {"scores": ["good"] * len(request["images"])},
            "too few": {"scores": [1.0]},
            "nan": {"scores": [1.0] + [float("nan")] * (len(request["images"]) - 1)},
        }
        answer(answers.get(how) or {"scores": scores(request)})


if __name__ == "__main__":
    main(*sys.argv[1:])
