"""Distils the packaged world into model=shapes_turbo and ships it: `python scripts/shapes_world/turbo.py`.

The defaults of stage=distil; half an hour on two cores, and a killed run goes on where it was.
"""

import assemble

from goldennoise.config.compose import load
from goldennoise.data.shapes.locations import TURBO
from goldennoise.stages import distil


def main() -> None:
    assemble.write_pipeline(distil.run(load(("stage=distil", "name=shapes_turbo"))).path, TURBO)


if __name__ == "__main__":
    main()
