"""``domainvl corpus degrade``: a corpus as texts, as pairs of image and caption, as windows, or as few-shot samples."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domainvl.cli.corpus_options import (
    Overwrite,
    RayOption,
    ShardOption,
    UnitMemory,
    UnitTimeout,
    Workers,
    counted,
    print_summary,
    stage_run,
)
from domainvl.errors import UsageError

if TYPE_CHECKING:
    from domainvl.conversion.run import RunSettings
    from domainvl.corpus.degrading.few_shot import Features
    from domainvl.corpus.degrading.pairs import PairSettings
    from domainvl.corpus.stage import StageRun

EPILOG = "Example: domainvl corpus degrade corpus --to pairs --field medical --out pairs"


class Target(enum.StrEnum):
    """What a corpus is turned into."""

    TEXT = "text"
    PAIRS = "pairs"
    WINDOWS = "windows"
    FEW_SHOT = "fewshot-sft"


_PAIR_OPTIONS = ("field", "min_similarity", "max_words", "val_fraction", "test_fraction", "split_seed")
_OPTIONS: Mapping[Target, tuple[str, ...]] = {
    Target.TEXT: ("min_words", "format"),
    Target.PAIRS: _PAIR_OPTIONS,
    Target.WINDOWS: ("max_images", "max_tokens", "model"),
    Target.FEW_SHOT: (*_PAIR_OPTIONS, "max_images", "shots", "by", "features", "clip", "device", "seed", "keep_plain"),
}
"""Which options a target takes; another one is refused rather than ignored."""

_PAIRS, _WINDOWS, _FEW_SHOT = "Pairs and few-shot samples", "Windows", "Few-shot samples"


def degrade(
    corpus: Annotated[Path, typer.Argument(help="Folder of the corpus.")],
    to: Annotated[Target, typer.Option(help="What to make of it.")],
    out: Annotated[Path, typer.Option(help="Folder to make: a corpus of texts or windows, or a data set.")],
    min_words: Annotated[
        int | None, typer.Option(min=0, help="Least words of a text; 50 where not given.", rich_help_panel="Texts")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="jsonl: write lines of id, url and text too.", rich_help_panel="Texts"),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(help="Field of the samples, such as medical; general where not given.", rich_help_panel=_PAIRS),
    ] = None,
    min_similarity: Annotated[
        float | None,
        typer.Option(
            help="Least similarity of image and text where scored; printed captions are taken whatever it is. "
            "0.20 where not given.",
            rich_help_panel=_PAIRS,
        ),
    ] = None,
    max_words: Annotated[
        int | None,
        typer.Option(
            help="Longest text beside an image that is its caption; 60 where not given.", rich_help_panel=_PAIRS
        ),
    ] = None,
    val_fraction: Annotated[
        float | None,
        typer.Option(help="Share of documents held out for validation; 0.1 where not given.", rich_help_panel=_PAIRS),
    ] = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(help="Share of documents held out for testing; 0.1 where not given.", rich_help_panel=_PAIRS),
    ] = None,
    split_seed: Annotated[
        int | None, typer.Option(help="Another seed holds out others.", rich_help_panel=_PAIRS)
    ] = None,
    max_images: Annotated[
        int | None,
        typer.Option(help="Most images of a window or a few-shot sample; 6 where not given.", rich_help_panel=_WINDOWS),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(help="Most tokens of a window, with its images; 4096 where not given.", rich_help_panel=_WINDOWS),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Checkpoint that counts tokens and tiles; tiny where not given.", rich_help_panel=_WINDOWS),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(help="Solved examples before each sample; 2 where not given.", rich_help_panel=_FEW_SHOT),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="Chosen how: random, also where not given, or similar.", rich_help_panel=_FEW_SHOT),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(help="Checkpoint that says what is similar; for --by similar.", rich_help_panel=_FEW_SHOT),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(help="Folder of a CLIP or SigLIP model that says so instead.", rich_help_panel=_FEW_SHOT),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where that runs; auto where not given.", rich_help_panel=_FEW_SHOT)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed draws others.", rich_help_panel=_FEW_SHOT)] = None,
    keep_plain: Annotated[
        bool | None,
        typer.Option("--keep-plain", help="Keep the plain pairs too, in OUT-plain.", rich_help_panel=_FEW_SHOT),
    ] = None,
    workers: Workers = None,
    shard: ShardOption = None,
    ray: RayOption = None,
    unit_timeout_s: UnitTimeout = 600.0,
    unit_memory_gb: UnitMemory = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn a corpus into simpler training data.

    text: the texts alone. pairs: a data set of images with captions. windows: documents of at most six images, for
    training as they are. fewshot-sft: pairs with solved examples of other documents before them. Captions are found
    by a rule of ours, which each sample names with its score: a printed caption first, whatever the scores say.
    """
    options = {
        "min_words": min_words, "format": format_, "field": field, "min_similarity": min_similarity,
        "max_words": max_words, "val_fraction": val_fraction, "test_fraction": test_fraction, "split_seed": split_seed,
        "max_images": max_images, "max_tokens": max_tokens, "model": model, "shots": shots, "by": by,
        "features": features, "clip": clip, "device": device, "seed": seed, "keep_plain": keep_plain,
    }  # fmt: skip
    given = _given(to, options)
    run = stage_run(workers, shard, ray, unit_timeout_s, unit_memory_gb, overwrite)
    makers: Mapping[Target, Callable[[Path, Path, dict[str, Any], StageRun], None]] = {
        Target.TEXT: _to_text,
        Target.PAIRS: _to_pairs,
        Target.WINDOWS: _to_windows,
        Target.FEW_SHOT: _to_few_shot,
    }
    makers[to](corpus, out, given, run)


def _given(to: Target, options: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    foreign = [f"--{name.replace('_', '-')}" for name in given if name not in _OPTIONS[to]]
    if foreign:
        raise UsageError("Cannot degrade a corpus", rule=f"{', '.join(foreign)} says nothing to --to {to.value}")
    return given


def _to_text(corpus: Path, out: Path, given: dict[str, Any], run: StageRun) -> None:
    from domainvl.corpus.degrading.texts import TextSettings, degrade_to_text

    wanted = given.pop("format", None)
    if wanted not in (None, "jsonl"):
        raise UsageError("Cannot degrade a corpus", rule=f"--format must be jsonl, got {wanted!r}")
    settings = TextSettings(**given, lines=wanted is not None)
    print_summary(degrade_to_text(corpus, out, settings, run=run))


def _to_windows(corpus: Path, out: Path, given: dict[str, Any], run: StageRun) -> None:
    from domainvl.corpus.degrading.windows import WindowSettings, degrade_to_windows

    print_summary(degrade_to_windows(corpus, out, WindowSettings(**given), run=run))


def _to_pairs(corpus: Path, out: Path, given: dict[str, Any], run: StageRun) -> None:
    from domainvl.cli.convert import print_conversion
    from domainvl.conversion.run import convert
    from domainvl.conversion.shards import convert_shard
    from domainvl.corpus.degrading.pairs import CorpusPairs
    from domainvl.corpus.folder import check_kind

    if run.overwrite:
        check_kind(out, makes_corpus=False)
    settings = _pair_settings(given)
    if run.shard is not None:
        share = convert_shard(CorpusPairs(), corpus, out, run.shard, settings, run=_conversion_run(run))
        typer.echo(
            f"{share.folder}: {counted(share.unit_count, 'unit')}; join all with: domainvl merge SHARD... --out {out}"
        )
        raise typer.Exit(int(share.exit_code))
    summary = convert(CorpusPairs(), corpus, out, settings, overwrite=run.overwrite, run=_conversion_run(run))
    print_conversion(summary)
    raise typer.Exit(int(summary.exit_code))


def _to_few_shot(corpus: Path, out: Path, given: dict[str, Any], run: StageRun) -> None:
    from domainvl.corpus.degrading.few_shot import degrade_to_few_shot, plain_folder
    from domainvl.schema.operations.few_shot import FewShotSettings

    if run.shard is not None:
        action = "Make pairs with --shard, join them, and give the result to domainvl few-shot"
        raise UsageError(
            "Cannot degrade a corpus", rule="examples are chosen among all pairs, so no --shard", action=action
        )
    keep_plain = given.pop("keep_plain", False)
    features = _features(given.pop("features", None), given.pop("clip", None), given.pop("device", "auto"))
    shots = {name: given.pop(name) for name in ("shots", "by", "seed", "max_images") if name in given}
    if shots.get("by", "random") not in ("random", "similar"):
        raise UsageError("Cannot choose examples", rule=f"--by must be random or similar, got {shots['by']!r}")
    made = degrade_to_few_shot(
        corpus,
        out,
        _pair_settings(given),
        FewShotSettings(**shots),
        features=features,
        keep_plain=keep_plain,
        overwrite=run.overwrite,
        run=_conversion_run(run),
    )
    typer.echo(f"{counted(made.pairs.sample_count, 'pair')}" + (f" in {plain_folder(out)}" if keep_plain else ""))
    typer.echo(f"{counted(made.few_shot.few_shot_count, 'sample')} with examples in {made.few_shot.out}")
    for reason, count in made.few_shot.left_out.items():
        typer.echo(f"  {count} left out: {reason}")
    raise typer.Exit(int(made.pairs.exit_code))


def _pair_settings(given: Mapping[str, Any]) -> PairSettings:
    from pydantic import ValidationError

    from domainvl.corpus.degrading.pairs import PairSettings

    try:
        return PairSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise UsageError("Cannot degrade a corpus", rule=f"--{name}: {first['msg']}, got {first['input']!r}") from error


def _conversion_run(run: StageRun) -> RunSettings:
    from dataclasses import fields

    from domainvl.conversion.run import RunSettings

    return RunSettings(**{part.name: getattr(run.execution, part.name) for part in fields(run.execution)})


def _features(reference: str | None, clip: str | None, device: str) -> Features | None:
    if reference is not None and clip is not None:
        raise UsageError("Cannot choose examples", rule="--features and --clip both say what is similar; name one")
    if reference is not None:
        from domainvl.cli.few_shot import look_with
        from domainvl.corpus.degrading.few_shot import Features

        return Features(reference, lambda dataset: look_with(reference, dataset, device))
    if clip is not None:
        from domainvl.corpus.degrading.few_shot import clip_features
        from domainvl.model.device import choose_device

        return clip_features(Path(clip), choose_device(device))
    return None
