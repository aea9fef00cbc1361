"""The tables of docs/performance.md's section on a GPU, from the JSON that `make test-gpu` wrote.

`python scripts/performance_page.py FILE` prints them. A figure that the file does not hold is a dash.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

DASH = "-"
FORMAT = 1
"""Of the file."""
Row = Mapping[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path, help="gpu.json of make test-gpu")
    file = parser.parse_args().file
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
    except (OSError, ValueError) as error:
        print(f"error: {file} is no JSON of make test-gpu ({error}): give the gpu.json that it wrote", file=sys.stderr)
        sys.exit(2)
    print(page(content))


def page(content: Mapping[str, Any]) -> str:
    parts = [_about(content), _measurements(content), _peaks(content), _checks(content), _left_out(content)]
    return "\n\n".join(part for part in parts if part)


def shown(value: Any, form: str = "{}") -> str:
    return DASH if value is None else form.format(value)


def _about(content: Mapping[str, Any]) -> str:
    versions, machine = content.get("versions") or {}, content.get("machine") or {}
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    cuda = f", CUDA {machine['cuda']}" if machine.get("cuda") else ""
    if content.get("models") == "tiny":
        return "A dry run of tiny models on a CPU: these figures say nothing of a GPU or of full-size models."
    return (
        f"Measured on {shown(content.get('device'))}{cuda}, {shown(content.get('started'))} UTC, commit "
        f"{shown(content.get('commit'))}. Packages: {packages or DASH}."
    )


def _measurements(content: Mapping[str, Any]) -> str:
    peaks = {row.get("dtype"): row.get("tera_flop_per_s") for row in content.get("peaks") or []}
    columns: dict[str, Callable[[Row], str]] = {
        "model": lambda row: shown(row.get("model") or row.get("name")),
        "option": lambda row: shown(row.get("option")),
        "image": lambda row: shown(row.get("side_px"), "{} px"),
        "guided evaluation": lambda row: shown(row.get("evaluation_s"), "{:.4f} s"),
        "TFLOP/s": lambda row: shown(row.get("tera_flop_per_s"), "{:.4g}"),
        "of peak": lambda row: shown(_share(row, peaks), "{:.0%}"),
        "decoding 2 images": lambda row: shown(row.get("decoding_s"), "{:.3f} s"),
        "NPNet": lambda row: shown(row.get("npnet_s"), "{:.4f} s"),
        "of an image": lambda row: shown(row.get("npnet_share"), "{:.2%}"),
        "images/s": lambda row: shown(row.get("images_per_s"), "{:.3g}"),
        "peak memory": lambda row: shown(row.get("peak_gb"), "{:.1f} GB"),
    }
    return _table(columns, content.get("measurements") or [])


def _share(row: Row, peaks: Mapping[Any, Any]) -> float | None:
    """Of the rate of large matrix products in the same number format."""
    rate, peak = row.get("tera_flop_per_s"), peaks.get(row.get("dtype"))
    return rate / peak if rate and peak else None


def _peaks(content: Mapping[str, Any]) -> str:
    columns: dict[str, Callable[[Row], str]] = {
        "matrix products in": lambda row: shown(row.get("dtype")),
        "size": lambda row: shown(row.get("size")),
        "TFLOP/s": lambda row: shown(row.get("tera_flop_per_s"), "{:.4g}"),
    }
    return _table(columns, content.get("peaks") or [])


def _checks(content: Mapping[str, Any]) -> str:
    columns: dict[str, Callable[[Row], str]] = {
        "check": lambda row: shown(row.get("name")),
        "result": lambda row: shown(row.get("status")),
        "largest deviation": lambda row: shown(row.get("deviation"), "{:.1e}"),
        "tolerance": lambda row: shown(row.get("tolerance"), "{:g}"),
    }
    return _table(columns, content.get("checks") or [])


def _left_out(content: Mapping[str, Any]) -> str:
    names = content.get("not_run") or []
    return f"Not run for lack of time: {'; '.join(names)}." if names else ""


def _table(columns: Mapping[str, Callable[[Row], str]], rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [" | ".join(columns), "|".join("---" for _ in columns)]
    lines += [" | ".join(cell(row) for cell in columns.values()) for row in rows]
    return "\n".join(f"| {line} |" if place != 1 else f"|{line}|" for place, line in enumerate(lines))


if __name__ == "__main__":
    main()
