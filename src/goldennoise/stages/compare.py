"""compare: scores of several models on the same prompts, seeds and scorers -> one paired table and page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldennoise.config.compose import RunConfig
from goldennoise.errors import ArtifactError, ConfigError, require
from goldennoise.evaluation.sweep import arm_names, differing, settings_of
from goldennoise.stages.job import opened
from goldennoise.store.artifacts import WILDCARD, Artifact, ArtifactStore, Draft, allowed_name
from goldennoise.store.options import Check, Options, number, option

if TYPE_CHECKING:
    from goldennoise.evaluation.arms import Arms
    from goldennoise.stages.ahead import Ahead
    from goldennoise.stages.estimate import Estimate

PAIRED = {"seed": ("seed",), "stage.num_prompts": ("stage", "num_prompts"), "stage.num_seeds": ("stage", "num_seeds")}
"""Option -> where the identity of scores has it."""


def _references(chosen: object) -> list[str]:
    """One reference or several, as a list; empty for anything else."""
    listed = chosen if isinstance(chosen, list | tuple) else [chosen]
    return [*listed] if all(isinstance(one, str) and one for one in listed) else []


def _are_arms(scores: Any) -> bool:
    if isinstance(scores, str):
        return WILDCARD.search(scores) is not None
    named = isinstance(scores, Mapping) and len(scores) > 1
    return named and all(allowed_name(arm) is None and _references(scores[arm]) for arm in scores)


ARMS = Check(
    _are_arms,
    "the names of at least two arms, each with a scores artifact or a list of them, as in "
    "{uniform:scores/a@v1,laplace:[scores/b@v1,scores/c@v1]}, or a text with a wildcard, as in scores/sweep@*",
)


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """The evaluations, and which of their methods is compared."""

    kind: str = "compare"
    """Of this stage."""
    scores: Any = option(check=ARMS)
    """Name of an arm -> its scores artifact, or a list of them, one for each training run of the arm. Run i of two arms
    with equally many runs are a pair. Or a text with the wildcards of a shell, "scores/sweep@*": every evaluation that
    it means is an arm, whose name says which options differ."""
    reference: str | None = None
    """The arm that every other one is compared with, by its name, or of a text with wildcards by its evaluation; null
    for the first."""
    method: Any = None
    """The method of every evaluation that is compared, or a mapping of arm -> method; null for the evaluation's own
    reference."""
    num_examples: int = option(12, number(least=1))
    """Rows of the image grid, at least 1."""
    num_bootstrap: int = option(10_000, number(least=100))
    """Resamples behind an interval, at least 100."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.scores, str):
            fits = self.method is None or (isinstance(self.method, str) and bool(self.method))
            require(fits, "method", self.method, "null or the name of a method")
            return
        object.__setattr__(self, "scores", {arm: _references(chosen) for arm, chosen in self.scores.items()})
        known = ", ".join(self.scores)
        require(self.reference in (None, *self.scores), "reference", self.reference, f"null or one of {known}")
        named = self.method if isinstance(self.method, dict) else dict.fromkeys(self.scores, self.method)
        fits = set(named) <= set(self.scores) and all(
            one is None or (isinstance(one, str) and one) for one in named.values()
        )
        require(fits, "method", self.method, f"null, the name of a method, or such names for some of {known}")

    def method_of(self, arm: str) -> str | None:
        """The method of an arm that is compared; None for the evaluation's own reference."""
        return self.method.get(arm) if isinstance(self.method, dict) else self.method


def run(config: RunConfig) -> Artifact:
    """The comparison artifact of this config: summary.json, index.html, tables.md and tables.tex.

    Raises `ArtifactError` for scores that cannot be used or paired, `ConfigError` for a method that they lack. Of
    several processes rank 0 does it.
    """
    stage: Config = config.stage
    with opened(config, "comparison") as job:
        scores = _resolved(job.store, stage)
        methods = _paired(scores, stage)
        identity = _identity(stage, scores, methods)

        def refuse_unfit() -> None:
            _measured(scores, methods)

        inputs = [each for found in scores.values() for each in found]
        if done := job.begin(lambda _: identity, inputs, "index.html", refuse_unfit):
            return done
        return job.finish(lambda draft: _write(draft, _measured(scores, methods), identity["reference"], stage))


def estimate(config: RunConfig, ahead: "Ahead") -> "Estimate":
    """Of the comparison artifact, see `stages.dry_run`."""
    stage, done = config.stage, None
    if isinstance(stage.scores, str):
        return ahead.estimate("comparison", None, {"examples, at most": stage.num_examples})
    found = {arm: [ahead.input(one, "scores") for one in chosen] for arm, chosen in stage.scores.items()}
    scores = {arm: [each for each in runs if each is not None] for arm, runs in found.items()}
    if scores == found:
        methods = _paired(scores, stage)
        inputs = [each for runs in scores.values() for each in runs]
        done = ahead.complete("comparison", lambda _: _identity(stage, scores, methods), inputs)
    counts = {"arms": len(found), "runs": sum(map(len, found.values())), "examples, at most": stage.num_examples}
    return ahead.estimate("comparison", done, counts)


def _paired(scores: Mapping[str, list[Artifact]], stage: Config) -> dict[str, list[str]]:
    """The methods that are compared. Raises for scores that cannot be paired, and for a method that they lack."""
    _refuse_repeated(scores)
    methods = {arm: [_method(each, stage.method_of(arm)) for each in found] for arm, found in scores.items()}
    first, *others = [each for found in scores.values() for each in found]
    for other in others:
        _refuse_unpaired(other, first)
    return methods


def _identity(stage: Config, scores: Mapping[str, list[Artifact]], methods: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        "arms": [[arm, [each.fingerprint for each in found], methods[arm]] for arm, found in scores.items()],
        "reference": _reference(scores, stage.reference),
        "num_examples": stage.num_examples,
        "num_bootstrap": stage.num_bootstrap,
    }


def _resolved(store: ArtifactStore, stage: Config) -> dict[str, list[Artifact]]:
    if isinstance(stage.scores, str):
        return _swept(store.matching(stage.scores, "scores"), stage)
    found = {arm: [store.resolve(one, "scores") for one in chosen] for arm, chosen in stage.scores.items()}
    for scores in found.values():
        for each in scores:
            each.check()
    return found


def _refuse_repeated(found: Mapping[str, list[Artifact]]) -> None:
    for arm, scores in found.items():
        for place, each in enumerate(scores):
            if each.fingerprint in [earlier.fingerprint for earlier in scores[:place]]:
                raise ConfigError(
                    f"stage.scores.{arm}: {each.reference} stands here twice, and the runs of an arm are runs of their "
                    "own; leave one out"
                )


def _swept(scores: list[Artifact], stage: Config) -> dict[str, list[Artifact]]:
    """Every evaluation as an arm of its own."""
    if len(scores) < 2:
        raise ConfigError(
            f"stage.scores={stage.scores}: it means {scores[0].reference} alone, and a comparison needs at least two"
        )
    for each in scores:
        each.check()
    names = arm_names(scores, [_method(each, stage.method_of("")) for each in scores])
    return {name: [each] for name, each in zip(names, scores, strict=True)}


def _reference(scores: Mapping[str, list[Artifact]], chosen: str | None) -> str:
    """The arm that the others are compared with."""
    if chosen is None or chosen in scores:
        return chosen or next(iter(scores))
    by_evaluation = {found[0].reference: arm for arm, found in scores.items()}
    if chosen not in by_evaluation:
        known = "; ".join(f"{reference} ({arm})" for reference, arm in by_evaluation.items())
        raise ConfigError(f"stage.reference={chosen}: reference must be null or one of {known}")
    return by_evaluation[chosen]


def _method(scores: Artifact, chosen: str | None) -> str:
    """The method of an evaluation that is compared. Raises `ConfigError` for one that it does not have."""
    known = scores.recorded("config", "method", kind=dict)
    method = scores.recorded("identity", "stage", "reference", kind=str) if chosen is None else chosen
    if method not in known:
        raise ConfigError(
            f"stage.method={method}: {scores.reference} has no such method; choose from {', '.join(known)}"
        )
    return method


def _refuse_unpaired(scores: Artifact, first: Artifact) -> None:
    """Raise `ArtifactError` naming all that keeps two evaluations from being paired."""
    found = [
        f"{name}={mine}, not {theirs}"
        for name, keys in PAIRED.items()
        if (mine := scores.recorded("identity", *keys)) != (theirs := first.recorded("identity", *keys))
    ]
    if not found and scores.recorded("identity", "prompts") != first.recorded("identity", "prompts"):
        found.append("other prompts, in another order or with other rows")
    mine, theirs = (each.recorded("identity", "scorers", kind=dict) for each in (scores, first))
    found += [part for name in {**theirs, **mine} for part in _scorer(name, mine.get(name), theirs.get(name))]
    if found:
        raise ArtifactError(
            f"{scores.reference} cannot be paired with {first.reference} ({'; '.join(found)}): evaluate both with the "
            "same prompts, seeds and scorers"
        )


def _scorer(name: str, mine: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None) -> list[str]:
    """What differs of a scorer: that it is missing, or its options and its version."""
    if mine is None or theirs is None:
        return [f"{'no' if mine is None else 'a further'} scorer {name}"]
    return [
        f"scorer.{name}.{part}={mine.get(part)}, not {theirs.get(part)}"
        for part in {**theirs, **mine}
        if mine.get(part) != theirs.get(part)
    ]


def _measured(scores: Mapping[str, list[Artifact]], methods: Mapping[str, list[str]]) -> "Arms":
    # Pandas and matplotlib load here, when every mistake that can be seen without them has been reported.
    from goldennoise.evaluation.arms import Run, measured

    return {arm: [measured(Run(*each)) for each in zip(scores[arm], methods[arm], strict=True)] for arm in scores}


def _write(draft: Draft, arms: "Arms", reference: str, stage: Config) -> Artifact:
    from goldennoise.evaluation.arms import arms_summary, write_summary
    from goldennoise.evaluation.report.comparison import comparison_content
    from goldennoise.evaluation.report.contents import write_page
    from goldennoise.evaluation.report.tables import all_tables, to_text

    summary = arms_summary(arms, reference, stage.num_bootstrap)
    write_summary(summary, arms, draft.path / "summary.json")
    settings = {arm: [settings_of(each.run.scores, each.run.method) for each in runs] for arm, runs in arms.items()}
    content = comparison_content(draft.reference, arms, summary, stage.num_examples, differing(settings))
    write_page(draft.path, content)
    counts = {"arms": len(arms), "runs": sum(map(len, arms.values())), "prompts": summary.num_prompts}
    artifact = draft.commit(counts | {"seeds": summary.num_seeds, "scorers": len(summary.scorers)})
    print(all_tables(content.tables[:2], to_text))
    print(f"{artifact.reference} is written: {artifact.path / 'index.html'}")
    return artifact
