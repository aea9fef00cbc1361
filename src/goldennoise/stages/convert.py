"""convert: an NPNet from elsewhere -> an npnet artifact, or any NPNet -> a file in a published layout."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldennoise.config.compose import RunConfig
from goldennoise.diffusion.identity import model_identity
from goldennoise.errors import ConfigError
from goldennoise.networks.sources import SUFFIXES, is_hub_reference, is_remote, locate, source_digests
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.store.hub import local_path
from goldennoise.store.options import Options, filled, one_of, option
from goldennoise.store.record import RECORD

if TYPE_CHECKING:
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """A network, and the layout to write it in."""

    kind: str = "convert"
    npnet: str = option(check=filled("an npnet artifact, a folder, a hub id or a file"))
    """An npnet artifact, its folder, a hub id "owner/name" (with @REVISION), or a published checkpoint file."""
    layout: str = option("goldennoise", one_of("goldennoise", "nested", "flat"))
    """"goldennoise" makes an npnet artifact; "nested" (.pth) and "flat" (.safetensors) a checkpoint artifact, one file
    for code that loads the published checkpoints."""
    svd_attention: bool = True
    """Of a published file: false runs the network that the published SDXL trainer trains, without attention. No
    published layout holds that network."""


def run(config: RunConfig) -> Artifact:
    """The npnet or checkpoint artifact of this config: complete already, or made.

    Raises `ModelError` for what is no NPNet, and for a network that the layout cannot hold.
    """
    stage: Config = config.stage
    store = ArtifactStore(config.outputs)
    source = _artifact(store, stage.npnet)
    _refuse_unfit(stage, source)
    path = locate(stage.npnet) if source is None else source.path
    _refuse_attention(stage, path)
    if stage.layout != "goldennoise":
        return _publish(config, store, path, [] if source is None else [source])
    # Torch loads here, when every mistake that can be seen without it has been reported.
    from goldennoise.networks.importing import import_network

    return import_network(
        store, stage.npnet, config.name, config.version, asdict(config), model_identity(config.model),
        stage.svd_attention,
    )  # fmt: skip


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the npnet or checkpoint artifact, see `stages.dry_run`; which is complete shows when the network is read."""
    stage: Config = config.stage
    if _is_named(stage.npnet) or is_remote(stage.npnet):
        source = ahead.input(stage.npnet, "npnet")
        _refuse_unfit(stage, source)
    else:
        path = locate(stage.npnet)
        _refuse_attention(stage, path)
        ahead.inputs[stage.npnet] = f"is there, {path}"
    return ahead.estimate("npnet" if stage.layout == "goldennoise" else "checkpoint", None, {})


def _refuse_unfit(stage: Config, source: Artifact | None) -> None:
    if stage.layout == "goldennoise" and source is not None:
        raise ConfigError(
            f"stage.npnet={stage.npnet}: {source.reference} is an npnet artifact already; stage.layout=nested or flat "
            "writes it for other code"
        )


def _refuse_attention(stage: Config, path: Path) -> None:
    if not stage.svd_attention and path.is_dir():
        raise ConfigError(
            f"stage.svd_attention=false: {stage.npnet} says itself whether it has attention; the option is for "
            "published files"
        )


def _artifact(store: ArtifactStore, reference: str) -> Artifact | None:
    """The npnet artifact meant, its files checked; None for everything that lies elsewhere."""
    if not _is_named(reference):
        return None
    artifact = store.resolve(reference, "npnet")
    artifact.check()
    return artifact


def _is_named(reference: str) -> bool:
    """Whether it means an artifact of the store."""
    path = local_path(reference)
    is_elsewhere = path is not None and not (path / RECORD).is_file()
    return not (is_elsewhere or Path(reference).suffix in SUFFIXES or is_hub_reference(reference))


def _publish(config: RunConfig, store: ArtifactStore, path: Path, inputs: list[Artifact]) -> Artifact:
    from goldennoise.networks.checkpoint import load_npnet
    from goldennoise.networks.published import load_published
    from goldennoise.networks.publishing import FILES, save_published

    stage: Config = config.stage
    network = load_published(path, stage.svd_attention) if path.is_file() else load_npnet(path)
    network.config.refuse_unpublishable()
    options = {"kind": "convert", "layout": stage.layout, "svd_attention": stage.svd_attention}
    identity = {"stage": options, "source": None if inputs else source_digests(path)}
    outcome = store.begin("checkpoint", config.name, config.version, identity, inputs, asdict(config))
    if isinstance(outcome, Artifact):
        print(f"{outcome.reference} is complete.")
        return outcome
    with outcome as draft:
        save_published(network, draft.path / FILES[stage.layout], stage.layout)
        artifact = draft.commit({"parameters": sum(parameter.numel() for parameter in network.parameters())})
    print(f"{artifact.reference}: {stage.npnet} in the layout {stage.layout}, {artifact.path / FILES[stage.layout]}")
    return artifact
