"""Which options of prompts are published test sets."""

from omegaconf import OmegaConf

from goldennoise.config.compose import fill
from goldennoise.config.files import conf_folder, outside_folders
from goldennoise.data.prompts import PromptsConfig


def benchmark_sets() -> dict[str, PromptsConfig]:
    """Those of files, by name, ours and those of installed packages; whether a file is there is not looked at."""
    found = {}
    for folder in (conf_folder(), *outside_folders()):
        for path in sorted((folder / "prompts").glob("*.yaml")):
            values = OmegaConf.to_container(OmegaConf.load(path))
            if isinstance(values, dict) and values.get("benchmark") is True and values.get("kind") == "file":
                found[path.stem] = fill(
                    f"prompts={path.stem}", PromptsConfig, {str(key): values[key] for key in values}
                )
    return found
