"""The command line: `python -m goldennoise stage=collect|train|eval|report|...`, with Hydra's overrides."""

import logging
import os
import sys

from goldennoise.config import RunConfig, launch
from goldennoise.errors import GoldenNoiseError
from goldennoise.machine_mistakes import machine_mistakes


def run_stage(config: RunConfig) -> None:
    from goldennoise.stages import component

    with machine_mistakes():
        artifact = component(config.stage.kind).run(config)
    if artifact is not None and os.environ.get("RANK", "0") == "0":
        print(f"{artifact.reference}  {artifact.path}")


def complain(error: GoldenNoiseError) -> None:
    print(f"error: {error}", file=sys.stderr)


def main() -> None:
    # Threads that spin while they wait slow every other program on the same cores; OpenMP reads it when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A full disk would otherwise print a traceback for every line that cannot be logged.
    logging.raiseExceptions = False
    try:
        with machine_mistakes():
            done = launch(run_stage, complain)
    except GoldenNoiseError as error:
        complain(error)
        done = False
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)
    sys.exit(0 if done else 2)


if __name__ == "__main__":
    main()
