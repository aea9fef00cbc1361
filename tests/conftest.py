"""Blocks the network in this process and in every one the tests start."""

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS / "no_network"))
import sitecustomize  # noqa: E402, F401

os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS / "no_network"), str(TESTS)])
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
