"""``domainvl corpus filter``: takes away what the rules of a profile say, and keeps all that it took."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainvl.cli import corpus_options
from domainvl.cli.corpus_options import Overwrite, RayOption, ShardOption, UnitMemory, UnitTimeout, Workers

EPILOG = "Example: domainvl corpus filter scored --profile medical --set hf-four-words.min=3 --out filtered"


def corpus_filter(
    corpus: Annotated[Path, typer.Argument(help="The corpus; one that was filtered already is filtered anew.")],
    out: Annotated[Path, typer.Option(help="Corpus to make.")],
    profile: Annotated[
        str, typer.Option(help="general, technical, medical, remote-sensing, driving, or a YAML file of your own.")
    ] = "general",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a rule of the profile: RULE=off, RULE=on or RULE.max=0.5; repeatable."),
    ] = None,
    workers: Workers = None,
    shard: ShardOption = None,
    ray: RayOption = None,
    unit_timeout_s: UnitTimeout = 0,
    unit_memory_gb: UnitMemory = None,
    overwrite: Overwrite = False,
) -> None:
    """Filter a corpus: texts, images and whole documents, by the rules of a profile.

    What was measured and what was taken away is kept beside what is left, so that domainvl corpus report shows it, and
    so that other thresholds can be applied without measuring again: filter the filtered corpus with another profile. It
    starts again from ALL documents that the corpus was made of, not from those that were kept.
    """
    from domainvl.corpus.filtering.profiles import load_profile, with_settings
    from domainvl.corpus.filtering.step import filter_corpus

    run = corpus_options.stage_run(workers, shard, ray, unit_timeout_s, unit_memory_gb, overwrite)
    chosen = with_settings(load_profile(profile), settings or [])
    corpus_options.print_summary(filter_corpus(corpus, out, chosen, run=run))
