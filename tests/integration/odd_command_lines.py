"""Odd command lines: options of every group with values that fit, nearly fit and do not fit, drawn from a seed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from typing import Any

import hydra
from integration.fuzz_tree import KINDS, SMALL
from integration.odd_values import FITTING, FLAGS, FOLDERS, NAMES, ODD, PATHS
from omegaconf import OmegaConf

from goldennoise.config.compose import RunConfig
from goldennoise.config.files import conf_folder, options
from goldennoise.generation.units import image_file
from goldennoise.store.artifacts import ArtifactStore, Draft
from goldennoise.store.files import whole
from goldennoise.store.paths import given_path

STAGES = (*SMALL, "collect_layouts", "train_layouts", "all", "all_layouts", "demo_app")
GROUPS = ("stage", "model", "prompts", "scorer", "npnet", "method", "compute", "logger", "experiment")

SMALL_METHODS: dict[str, Sequence[str]] = {
    "standard": (),
    "fixed_schedule": ("method.fixed_schedule.num_steps=2",),
    "re_denoise": ("method.re_denoise.num_steps=2",),
    "npnet": (),
    "npnet_packaged": (),
    "best_of_n": ("method.best_of_n.num_candidates=2",),
    "zero_order": ("method.zero_order.num_neighbours=1", "method.zero_order.num_rounds=1"),
    "gradient": ("method.gradient.num_iterations=1",),
    "find": ("method.find.num_updates=1", "method.find.num_rollouts=2", "method.find.num_epochs=1"),
    "layout": (),
    "re_paint": ("method.re_paint.num_steps=2",),
}

LIMITS = {
    **dict.fromkeys(("num_prompts", "num_seeds", "num_steps", "num_epochs", "num_rounds", "num_candidates"), 4),
    **dict.fromkeys(("num_neighbours", "num_iterations", "num_updates", "num_rollouts", "reward_steps", "depth"), 3),
    **dict.fromkeys(("num_samples", "images_per_prompt", "num_examples"), 8),
    **dict.fromkeys(("num_workers", "devices"), 1),
    **dict.fromkeys(("height", "width", "image_size", "embed_dim", "value_hidden", "rank", "num_layouts"), 256),
    **dict.fromkeys(("vector_hidden", "hidden", "patch_size", "window", "depths", "heads", "attention_heads"), 64),
    **{"num_bootstrap": 10_000, "num_threads": 4, "timesteps": 1000},
}
"""Options that decide how long a run takes -> the largest value that is run, as a number or in a list."""


@dataclass(frozen=True)
class Case:
    """arguments: of the command line. folders: where it may write, relative to where it is started."""

    arguments: tuple[str, ...]
    folders: tuple[str, ...]


def draw(rng: random.Random) -> Case:
    """A command line of some stage with up to four options that fit, mostly, and up to three that hardly do."""
    stage = rng.choice([*SMALL, *SMALL, *SMALL, *STAGES])
    arguments = [*SMALL.get(stage, (f"stage={stage}",))]
    methods = _methods(rng, stage)
    if methods:
        arguments = [argument for argument in arguments if not argument.startswith("method")]
        arguments.append(f"method=[{','.join(methods)}]")
        arguments += [setting for name in methods for setting in SMALL_METHODS[name]]
    arguments.append(rng.choice(("name=base", "name=base", "name=base", "name=new")))
    num_odd = rng.choice((0, 0, 0, 0, 1, 1, 1, 2))
    arguments += [_fitting(rng, stage, methods) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    arguments += [rng.choice(KINDS_OF_ODD)(rng, stage) for _ in range(num_odd)]
    rng.shuffle(arguments)
    folders = ["outputs"]
    if rng.random() < 0.1:
        arguments.append(f"outputs={rng.choice(FOLDERS)}")
        folders = [arguments[-1].removeprefix("outputs=")]
    return Case(tuple(arguments), tuple(folders))


def _methods(rng: random.Random, stage: str) -> list[str]:
    """Names of methods for a stage that uses some."""
    if stage == "collect":
        return [rng.choice([*SMALL_METHODS])]
    if stage == "sample":
        return [rng.choice([name for name in SMALL_METHODS if name != "standard"])]
    return ["standard", *rng.sample([*SMALL_METHODS][1:], rng.choice((0, 1, 1, 2)))] if stage == "eval" else []


@cache
def leaves(stage: str) -> Mapping[str, Any]:
    """Option -> value, as `stage` composes them with every small method and both scorers."""
    chosen = [f"stage={stage}", f"method=[{','.join(SMALL_METHODS)}]", "scorer=[shapes_clip,shapes_verifier]"]
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        values = OmegaConf.to_container(hydra.compose("config", chosen), resolve=False)
    assert isinstance(values, dict)
    return dict(_leaves("", values))


def _leaves(prefix: str, values: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    found = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found += _leaves(f"{prefix}{key}.", value)
        else:
            found.append((f"{prefix}{key}", value))
    return found


def _known(rng: random.Random, stage: str, methods: Sequence[str] | None = None) -> tuple[str, Any]:
    """An option, those of the stage more often than others; of methods only these, if any are given."""
    groups = ["stage", "stage", "stage", "model", "prompts", "npnet", "method", "compute", "logger", "scorer"]
    if methods is not None:
        groups = [*groups[:6], "model", "compute", *(f"method.{name}." for name in methods)]
    group = rng.choice(groups)
    return rng.choice([item for item in leaves(stage).items() if item[0].startswith(group)])


def _fitting(rng: random.Random, stage: str, methods: Sequence[str]) -> str:
    """An option with a value that it takes, for the most part."""
    key, value = _known(rng, stage, methods)
    name = key.rpartition(".")[2]
    if name in FITTING:
        fits: Sequence[object] = FITTING[name]
    elif isinstance(value, bool):
        fits = ("true", "false")
    elif isinstance(value, float):
        fits = (0.5, 1.0, 0.1, 0.9, 0.0, 1e-30, 1e-3, 1e6)
    else:
        fits = (1, 2, 3, 2, 1, 1, 0) if isinstance(value, int) or value is None else (value,)
    return f"{key}={rng.choice(fits)}"


def _odd_value(rng: random.Random, stage: str) -> str:
    return f"{_known(rng, stage)[0]}={rng.choice(ODD)}"


def _root_value(rng: random.Random, _: str) -> str:
    return f"{rng.choice(('seed', 'name', 'version', 'seed', 'name'))}={rng.choice((*ODD, *NAMES, 'v1', 'v2', 'v7'))}"


def _odd_path(rng: random.Random, stage: str) -> str:
    keys = [
        "prompts.path",
        "model.path",
        "model.lora",
        "method.npnet.artifact",
        "method.layout.images",
        "model.revision",
    ]
    keys += ["stage.images", "stage.npnet", "stage.pairs", "stage.scores", "stage.source_network", "prompts.held_out"]
    key = rng.choice([key for key in keys if key in leaves(stage)])
    value = rng.choice(PATHS)
    return f"{key}=[{value}]" if key == "prompts.held_out" else f"{key}={value}"


def _misspelt(rng: random.Random, stage: str) -> str:
    key, value = _known(rng, stage)
    place = rng.randrange(len(key))
    spelt = rng.choice(
        (key[:place] + key[place + 1 :], key[:place] + rng.choice("x.é[@/:-") + key[place:], key.upper())
    )
    return f"{spelt}={value}"


def _prefixed(rng: random.Random, stage: str) -> str:
    key, value = _known(rng, stage)
    key = rng.choice((key, key, f"{key}.new", f"{key.rpartition('.')[0]}.new", "new", "hydra.new"))
    prefix = rng.choice(("+", "++", "~", "~", "+~", "++"))
    return f"{prefix}{key}" if prefix == "~" else f"{prefix}{key}={rng.choice((value, *ODD))}"


def _choice(rng: random.Random, _: str) -> str:
    group = rng.choice(GROUPS)
    known = [*options(group), *options(group)]
    lists = [f"[{','.join(rng.sample(known, 2))}]", f"[{rng.choice(known)}]", f"[{known[0]},{known[0]}]"]
    return f"{rng.choice(('', '', '', '+', '++', '~'))}{group}={rng.choice((*known, *lists, *ODD[:70], *ODD[-20:]))}"


def _called(rng: random.Random, _: str) -> str:
    """A method or scorer under an odd name."""
    group, kind = rng.choice((("method", "standard"), ("scorer", "shapes_clip"), ("method", "re_denoise")))
    name = rng.choice(NAMES)
    return rng.choice(
        (
            f"++{group}={{{name}: {{kind: {kind}}}}}",
            f"+{group}.{name}.kind={kind}",
            f"++{group}.{name}={{kind: {kind}}}",
        )
    )


def _flag(rng: random.Random, _: str) -> str:
    return rng.choice(FLAGS)


def _of_hydra(rng: random.Random, _: str) -> str:
    keys = ("hydra.mode", "hydra.job.chdir", "hydra.verbose", "hydra.job.name", "hydra.nothing", "hydra.output_subdir")
    keys += (
        "hydra/launcher",
        "hydra/job_logging",
        "hydra",
        "hydra.job_logging.root.level",
        "hydra.job.num",
        "hydra.run",
    )
    return f"{rng.choice(keys)}={rng.choice(('true', 'null', 'MULTIRUN', 'none', 'x', *ODD[:60]))}"


KINDS_OF_ODD = (
    *(_odd_value,) * 5, *(_odd_path,) * 3, *(_misspelt,) * 2, *(_prefixed,) * 2, *(_choice,) * 2, *(_called,) * 2,
    _root_value, _root_value, _flag, _of_hydra,
)  # fmt: skip


def is_small(config: RunConfig) -> bool:
    """Whether a run of `config` takes seconds."""
    whole_set = getattr(config.stage, "num_prompts", 1) is None and config.prompts.kind != "file"
    serves = config.stage.kind == "demo_app" or config.compute.compile or config.logger.kind == "wandb"
    return (
        not whole_set
        and not serves
        and all(
            size <= LIMITS.get(key, size)
            for key, size in _sizes("", {key: _plain(part) for key, part in vars(config).items()})
        )
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _sizes(key: str, value: Any) -> list[tuple[str, int]]:
    """Every whole number of nested mappings and lists with the name of its option."""
    if isinstance(value, Mapping):
        return [size for name, part in value.items() for size in _sizes(name, part)]
    if isinstance(value, list | tuple):
        return [size for part in value for size in _sizes(key, part)]
    return [(key, value)] if isinstance(value, int) and not isinstance(value, bool) else []


def write_names(config: RunConfig) -> None:
    """In place of a long run: an artifact with a file for every name that would become one."""
    kind = KINDS.get(config.stage.kind, "npnet")
    draft = ArtifactStore(given_path(config.outputs)).begin(
        kind, config.name, config.version, {"stage": asdict(config.stage)}, [], asdict(config)
    )
    if isinstance(draft, Draft):
        with draft:
            for name in (*config.method, *config.scorer):
                with whole(image_file(draft.path, name, "prompt", config.seed)) as file:
                    file.touch()
            draft.commit({})
