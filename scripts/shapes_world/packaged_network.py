"""Trains packaged/shapes and ships it: `python scripts/shapes_world/packaged_network.py`.

The first two stages of experiment=shapes_layouts; half an hour on two cores, and a killed run goes on where it was. It
is shipped as the network of model=shapes_turbo, too: the VAE and the text encoder, which a student has from its
teacher, are all of a model that layouts and their training see.
"""

import subprocess
import sys

from goldennoise.config.compose import load
from goldennoise.diffusion.identity import model_identity
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
    for name, folder in PACKAGED.items():
        model = load((f"model={name.removeprefix('packaged/')}",)).model
        save_npnet(load_npnet(trained), folder, record | {"model": model_identity(model)})


if __name__ == "__main__":
    main()
