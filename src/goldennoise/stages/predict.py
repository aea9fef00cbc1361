"""predict: scores said before the images are finished -> what each predictor is worth, within a prompt."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldennoise import scorers
from goldennoise.config.compose import RunConfig
from goldennoise.data.prompts import Prompt, load_prompts, prompts_digest
from goldennoise.diffusion.evaluations import ZERO
from goldennoise.diffusion.identity import model_identity, shown_name
from goldennoise.errors import ConfigError, DataError, require
from goldennoise.generation import predictors
from goldennoise.generation.predictors.base import JUDGED, LEARNT, SAME
from goldennoise.methods.base import SearchConfig
from goldennoise.scorers.protocol import refuse_reporting_only
from goldennoise.stages.job import Job, ScoredBy, opened
from goldennoise.stages.networks import selected_with
from goldennoise.store.artifacts import Artifact, Draft
from goldennoise.store.files import file_digest, whole, write_json
from goldennoise.store.identity import deciding
from goldennoise.store.options import Check, Options, filled, number, option
from goldennoise.store.paths import given_path

if TYPE_CHECKING:
    import pandas as pd

    from goldennoise.evaluation.predictions import Judgement
    from goldennoise.evaluation.report.tables import Table
    from goldennoise.generation.batch import Sample
    from goldennoise.generation.predictions import PredictionPart
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate

_STEPS = Check(lambda steps: min(steps, default=1) >= 1, "a list of whole numbers, at least 1")


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """Which predictors, and the samples that they predict and learn from."""

    kind: str = "predict"
    """Of this stage."""
    predictors: list[str]
    """Those of `goldennoise.generation.predictors` to measure."""
    table: str | None = None
    """A CSV or Parquet file with values of your own: prompt_id, seed, value, evaluations, and predictor if several."""
    num_prompts: int = option(64, number(least=2))
    """The first prompts of the set, whose images are judged; at least 2."""
    num_seeds: int = option(8, number(least=2))
    """Source noises of each, those of eval; at least 2."""
    selecting_scorer: str = option("shapes_clip", filled("the name of one of the scorers of the run"))
    """The one of the run's scorers that judges previews and is learnt; all others judge the predictors."""
    preview_steps: list[int] = option(check=_STEPS)
    """Steps of the model's sampler after which its predicted image is scored."""
    num_learnt_prompts: int = option(64, number(least=2))
    """The next prompts of the set, which features and critic learn from; at least 2."""
    num_learnt_seeds: int = option(4, number(least=1))
    """Source noises of each of these, at least 1."""
    num_same_seeds: int = option(4, number(least=1))
    """Further source noises of the judged prompts, which difficulty is measured by; at least 1."""
    num_bootstrap: int = option(10_000, number(least=100))
    """Resamples behind an interval, at least 100."""
    images_per_part: int = option(64, number(least=1), identity=False)
    """What a killed run loses at most, at least 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = predictors.kinds()
        fits = set(self.predictors) <= set(known) and len(set(self.predictors)) == len(self.predictors)
        require(fits, "predictors", self.predictors, f"a list of some of {', '.join(known)}")
        require(
            bool(self.predictors or self.table), "predictors", "[]", "one predictor at least where there is no table"
        )

    @property
    def reads(self) -> set[str]:
        """Which samples the predictors read beside those they predict."""
        return {role for kind in self.predictors for role in predictors.component(kind).READS}


def run(config: RunConfig) -> Artifact:
    """The prediction artifact of this config: complete already, resumed, repaired, or made."""
    _refuse_unfit(config)
    stage: Config = config.stage
    prompts = _prompts(config)
    table = None if stage.table is None else given_path(stage.table)
    given = None if table is None else _given(table, prompts[: stage.num_prompts], stage.num_seeds)
    with opened(config, "prediction") as job:
        if done := job.begin(partial(_identity, config, prompts), (), "index.html", lambda: _refuse_unfit_scorers(job)):
            return done
        # Torch loads here, when every mistake that can be seen without them has been reported.
        from goldennoise.generation.predictions import PredictionMaker, cut

        samples = _samples(stage, prompts)
        parts = cut([sample for _, sample in samples], [*config.scorer], job.stage.images_per_part)
        job.make(parts, PredictionMaker(job.loader, job.path), "images")
        return job.finish(lambda draft: _finish(job, draft, parts, [role for role, _ in samples], given))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the prediction artifact, see `stages.dry_run`."""
    _refuse_unfit(config)
    stage: Config = config.stage
    prompts = _prompts(config)
    done = ahead.complete("prediction", partial(_identity, config, prompts))
    seeds = stage.num_seeds + (stage.num_same_seeds if SAME in stage.reads else 0)
    num = stage.num_prompts * seeds + (len(prompts) - stage.num_prompts) * stage.num_learnt_seeds
    sampling = ahead.sampling()
    image = sampling.image() + (sampling.steps(1) if "features" in stage.predictors else ZERO)
    return ahead.estimate("prediction", done, {"images": num}, evaluations=image * num, memory=ahead.memory)


def _identity(config: RunConfig, prompts: list[Prompt], scored_by: ScoredBy) -> dict[str, Any]:
    table = config.stage.table
    return {
        "stage": deciding(config.stage) | {"table": table and file_digest(given_path(table))},
        "model": model_identity(config.model),
        "scorers": scored_by(config.scorer),
        "prompts": prompts_digest(prompts, scorers.columns_read(config.scorer)),
        "seed": config.seed,
    }


def _prompts(config: RunConfig) -> list[Prompt]:
    """Those that are judged, and then those that are learnt from, if anything learns."""
    stage: Config = config.stage
    needed = stage.num_prompts + (stage.num_learnt_prompts if LEARNT in stage.reads else 0)
    prompts = load_prompts(config.prompts)
    if len(prompts) < needed:
        raise ConfigError(
            f"stage.num_prompts={stage.num_prompts}: with stage.num_learnt_prompts={stage.num_learnt_prompts} the run "
            f"needs {needed} prompts, and the prompt set has {len(prompts)}; set fewer"
        )
    return prompts[:needed]


def _refuse_unfit(config: RunConfig) -> None:
    """Raise ConfigError for what cannot be run, before anything is read or loaded."""
    stage: Config = config.stage
    known = ", ".join(config.scorer) or "none"
    if stage.selecting_scorer not in config.scorer:
        raise ConfigError(
            f"stage.selecting_scorer={stage.selecting_scorer}: selecting_scorer must be one of the scorers of this run "
            f"({known}), which scorer=[...] chooses"
        )
    if (most := max(stage.preview_steps, default=0)) > config.model.num_steps:
        raise ConfigError(
            f"stage.preview_steps={stage.preview_steps}: the model samples in {config.model.num_steps} steps, and "
            f"{most} are more; leave out what is more, or set model.num_steps"
        )
    if "preview" in stage.predictors and not stage.preview_steps:
        raise ConfigError("stage.preview_steps=[]: the predictor preview needs one number of steps at least")


def _given(table: Path, prompts: list[Prompt], num_seeds: int) -> "pd.DataFrame":
    """The values of a file. Raises `DataError` for one that does not fit."""
    from goldennoise.evaluation.given_predictions import read_predictions

    if not table.is_file():
        raise DataError(f"stage.table={table}: no such file; give a table in CSV or Parquet")
    return read_predictions(table, [prompt.id for prompt in prompts], num_seeds)


def _refuse_unfit_scorers(job: Job) -> None:
    refuse_reporting_only(job.loader.scorer(job.config.stage.selecting_scorer), "stage.selecting_scorer")
    for name, scorer in job.loader.scorers.items():
        if scorer.higher_is_better is None:
            raise ConfigError(f"scorer.{name}: neither end of {name} is better, so it judges no choice; leave it out")


def _samples(stage: Config, prompts: "list[Prompt]") -> "list[tuple[str, Sample]]":
    """Every sample with its role."""
    from goldennoise.generation.batch import Sample

    judged, learnt = prompts[: stage.num_prompts], prompts[stage.num_prompts :]
    further = range(stage.num_seeds, stage.num_seeds + stage.num_same_seeds) if SAME in stage.reads else ()
    roles = [
        (JUDGED, judged, range(stage.num_seeds)),
        (SAME, judged, further),
        (LEARNT, learnt, range(stage.num_learnt_seeds)),
    ]
    return [(role, Sample(prompt, seed)) for role, some, seeds in roles for prompt in some for seed in seeds]


def _finish(
    job: Job, draft: Draft, parts: "list[PredictionPart]", roles: list[str], given: "pd.DataFrame | None"
) -> Artifact:
    from goldennoise.evaluation.predictions import judged_scores, judgements, said
    from goldennoise.evaluation.report.tables import to_text
    from goldennoise.generation.predictions import built, read_parts
    from goldennoise.generation.predictors.base import ROLE, SELECTED
    from goldennoise.generation.units import PREFIX
    from goldennoise.methods.search.selector import Selector

    config, stage, loaded = job.config, job.config.stage, job.loader.scorers
    table = read_parts(draft.path, parts, {name: bool(scorer.higher_is_better) for name, scorer in loaded.items()})
    table = table.assign(**{ROLE: roles, SELECTED: table[PREFIX + stage.selecting_scorer]})
    predicted = said(table, built(stage.predictors, Selector(loaded[stage.selecting_scorer])), given)
    # A scorer that measures what the selecting one measures is no judge of it.
    choosing = {"early_stop": SearchConfig(scorer=stage.selecting_scorer)}
    selecting = selected_with(job.store, {}, choosing, config.scorer) or set()
    units = {name: scorer.unit for name, scorer in loaded.items()}
    found = judgements(table, predicted, units, selecting, stage.num_bootstrap, config.seed)
    for name, rows in (("predictions", predicted), ("scores", judged_scores(table, [*loaded]))):
        with whole(draft.path / f"{name}.parquet") as beside:
            rows.to_parquet(beside, index=False)
    write_json(draft.path / "summary.json", [asdict(judgement) for judgement in found])
    shown = _write_page(draft, found, config)
    counts = {"prompts": stage.num_prompts, "seeds": stage.num_seeds, "predictors": predicted["predictor"].nunique()}
    artifact = draft.commit(counts | {"scorers": len(loaded), "images": len(table)})
    print(to_text(shown))
    print(f"{artifact.reference} is written: {artifact.path / 'index.html'}")
    return artifact


def _write_page(draft: Draft, found: "list[Judgement]", config: RunConfig) -> "Table":
    from goldennoise.evaluation.report.excerpts import Excerpt, write_report
    from goldennoise.evaluation.report.numbers import grid_size
    from goldennoise.evaluation.report.page import render
    from goldennoise.evaluation.report.predictions import prediction_page

    stage, model = config.stage, config.model
    made = {
        "Model": f"{shown_name(model)}, {model.num_steps} steps, guidance {model.guidance:g}",
        "Prompts and seeds": f"{grid_size(stage.num_prompts, stage.num_seeds)}, root seed {config.seed}",
        "Features and critic": f"learnt from {grid_size(stage.num_learnt_prompts, stage.num_learnt_seeds)}, others",
        "Difficulty": f"{stage.num_same_seeds} other seeds of the same prompts",
        "Selects": stage.selecting_scorer,
        "Fingerprint": draft.fingerprint[:16],
    }
    page = prediction_page(draft.reference, found, stage.num_seeds, made)
    excerpt = Excerpt(page.title, page.headline, (), [page.table])
    write_report(draft.path, render(page, "prediction.html"), excerpt.tables, excerpt)
    return page.table
