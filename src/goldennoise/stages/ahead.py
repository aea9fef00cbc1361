"""What a dry run knows ahead of a stage: its inputs, its model, what earlier stages would make. Loads nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from goldennoise.config.compose import RunConfig, model_artifacts
from goldennoise.data.prompts import Prompt
from goldennoise.data.shapes.locations import PIPELINES
from goldennoise.diffusion.description import BYTES, DENOISER, Description, described, sampling_of
from goldennoise.diffusion.evaluations import Amount, Sampling
from goldennoise.errors import ArtifactError, ModelError
from goldennoise.networks.sources import is_remote, resolve_network
from goldennoise.stages.estimate import Estimate, Size
from goldennoise.stages.job import Decides, distinct, known_scorers
from goldennoise.stages.networks import refuse_other_models
from goldennoise.store.artifacts import Artifact, ArtifactStore
from goldennoise.store.paths import given_path

WORLD_PNG, PHOTOGRAPH_PNG = (1.0, 1.0), (1.5, 3.0)
"""Bytes a pixel of a PNG, least and most. Of the shapes world: the mean of 64 images of the benchmark was 1.0."""


class Ahead:
    """What is known ahead of one stage.

    config: of the stage, with the folders of the model's artifacts. earlier: of the stages before it in the same
    command. inputs: what `input` found, as an `Estimate` has it.
    """

    def __init__(self, config: RunConfig, earlier: Sequence[Estimate] = ()) -> None:
        self.store, self.earlier = ArtifactStore(config.outputs), earlier
        self.inputs: dict[str, str] = {}
        self._is_missing = False
        self.config = config
        self.config = self._located()

    def maker(self, reference: str, kind: str) -> Estimate | None:
        """The earlier stage that would make the artifact `reference`, if there is one."""
        name = reference.removeprefix(f"{kind}/").partition("@")[0]
        makers = (made for made in self.earlier if made.artifact == f"{kind}/{name}" and made.complete is None)
        return next(makers, None)

    def input(self, reference: str, kind: str) -> Artifact | None:
        """The artifact that is read; None for one that is not there yet, which is told and no error."""
        maker, found = self.maker(reference, kind), None
        if kind == "npnet" and is_remote(reference):
            self.inputs[reference] = "on the hub, or in its cache here"
        elif maker is not None and reference.partition("@")[2] in ("", "latest"):
            self.inputs[reference] = f"made by stage {maker.stage} before"
        else:
            try:
                found = self._resolved(reference, kind)
                self.inputs[reference] = f"is there, {found.reference}"
            except (ArtifactError, ModelError) as error:
                made = maker and f"made by stage {maker.stage} before"
                self.inputs[reference] = made or f"missing: {error}"
        self._is_missing |= found is None
        return found

    def prompts(self, load: Callable[[], list[Prompt]]) -> list[Prompt]:
        """What `load` gives. As many as stage.num_prompts, one at least, stand for those of a file that is not here."""
        path, num = self.config.prompts.path, self.config.stage.num_prompts or 1
        if path is None or given_path(path).exists():
            return load()
        self.inputs[path] = f"missing: counts are for {num:,} {'prompt' if num == 1 else 'prompts'}"
        self._is_missing = True
        return [Prompt.of(f"prompt {number}") for number in range(num)]

    def _resolved(self, reference: str, kind: str) -> Artifact:
        return resolve_network(self.store, reference) if kind == "npnet" else self.store.resolve(reference, kind)

    def networks(self, configs: Iterable[Any], *, may_be_others: bool = False) -> dict[str, Artifact]:
        """Those of configs that are there, by reference as written; refused as `Job.networks` refuses them."""
        kinds = {reference: config.artifact_kind for config in configs for reference in config.networks()}
        found = {reference: self.input(reference, kind) for reference, kind in kinds.items()}
        present = {reference: artifact for reference, artifact in found.items() if artifact is not None}
        if not may_be_others and self._has_model:
            refuse_other_models(self.config, present)
        return present

    def complete(self, kind: str, decides: Decides, inputs: Iterable[Artifact] = ()) -> str | None:
        """Reference of the complete artifact of this config; None where there is none, or its inputs are not there."""
        config = self.config
        if self._is_missing or not self.store.versions(kind, config.name):
            return None
        identity = decides(partial(known_scorers, self.store, kind, config))
        found = self.store.find(kind, config.name, config.version, identity, distinct(inputs))
        return None if found is None else found.reference

    def estimate(self, kind: str, complete: str | None, counts: Mapping[str, int | Amount], **known: Any) -> Estimate:
        """Of the artifact of this kind. known: further fields of the `Estimate`."""
        stage, name = self.config.stage.kind, self.config.name
        amounts = {noun: Amount.exactly(num) if isinstance(num, int) else num for noun, num in counts.items()}
        return Estimate(stage, f"{kind}/{name}", complete, self.inputs, amounts, **known)

    def sampling(self, networks: Mapping[str, Artifact] | None = None) -> Sampling:
        folders = {reference: network.path for reference, network in (networks or {}).items()}
        return sampling_of(self.config.model, folders)

    @cached_property
    def model(self) -> Description:
        return described(self.config.model)

    def unknown(self, what: str) -> Size:
        path = getattr(self.config.model, "path", self.config.model.kind)
        return Size(None, f"the files of {path}, which tell {what}, are not here")

    def images(self, num: int) -> Size:
        """Of PNGs of the model."""
        if (px := self.model.image_px) is None:
            return self.unknown("the size of its images")
        rates = WORLD_PNG if self.config.model.path in PIPELINES else PHOTOGRAPH_PNG
        least, most = (round(num * px[0] * px[1] * rate) for rate in rates)
        told = f"{rates[0]:g}" if rates[0] == rates[1] else f"{rates[0]:g} to {rates[1]:g}"
        return Size(Amount(least, most), f"about, PNG of {px[1]} x {px[0]} px at {told} bytes each")

    def latents(self, num: int, num_bytes: int | None = None) -> Size:
        """num_bytes: of a number, by default in the model's own format."""
        if (shape := self.model.latent_shape) is None:
            return self.unknown("the shape of its latents")
        each = BYTES[self.config.model.dtype] if num_bytes is None else num_bytes
        words = f"{' x '.join(map(str, shape))} numbers of {each} bytes each"
        return Size(Amount.exactly(num * shape[0] * shape[1] * shape[2] * each), words)

    @property
    def memory(self) -> Size:
        """Of the model's weights, which is a lower bound."""
        model, config = self.model, self.config
        if not model.parameters:
            return self.unknown("the number of its parameters")
        numbers = model.parameters.values()
        num = max(numbers) if config.compute.offload else sum(numbers)
        whose = f"of its denoiser, about, by {model.source}" if DENOISER in model.parameters else "of the model"
        words = f"{num:,} parameters {whose} in {config.model.dtype}; activations and scorers come on top"
        return Size(Amount(num * BYTES[config.model.dtype], None), words)

    def _located(self) -> RunConfig:
        found = {name: self.input(reference, "model") for name, reference in model_artifacts(self.config).items()}
        self._has_model = None not in found.values()
        folders = {name: str(artifact.path) for name, artifact in found.items() if artifact is not None}
        return replace(self.config, model=replace(self.config.model, **folders)) if folders else self.config
