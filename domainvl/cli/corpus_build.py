"""``domainvl corpus build``: documents of all kinds into one interleaved corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainvl.cli.corpus_options import (
    Overwrite,
    RayOption,
    ShardOption,
    UnitMemory,
    UnitTimeout,
    Workers,
    check_number,
    print_summary,
    stage_run,
)
from domainvl.errors import UsageError

EPILOG = "Example: domainvl corpus build teaching-files reports --out corpus"

_EXTRACTORS = ("trafilatura", "resiliparse", "magic-html")


def build(
    sources: Annotated[list[Path], typer.Argument(help="Files and folders; folders with all that is below them.")],
    out: Annotated[Path, typer.Option(help="Folder of the corpus to make.")],
    extractor: Annotated[
        str, typer.Option(help="What finds the main body of pages: trafilatura, resiliparse (fast) or magic-html.")
    ] = "trafilatura",
    base_url: Annotated[
        str | None, typer.Option(help="Address that the source folder stands for, as in https://example.org/.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the sources, such as CC-BY-4.0; all that is made of it tells it.")
    ] = None,
    keep_text_only: Annotated[
        bool, typer.Option("--keep-text-only", help="Keep documents without an image, such as reports.")
    ] = False,
    max_source_mb: Annotated[float, typer.Option(help="Larger pages and documents are refused unread.")] = 50.0,
    max_image_mb: Annotated[float, typer.Option(help="Larger image files are refused unread.")] = 50.0,
    max_images: Annotated[int, typer.Option(min=1, help="Most images of a document.")] = 5000,
    frame_step_s: Annotated[float, typer.Option(help="Least time between two frames of a video, in seconds.")] = 2.0,
    workers: Workers = None,
    shard: ShardOption = None,
    ray: RayOption = None,
    unit_timeout_s: UnitTimeout = 600.0,
    unit_memory_gb: UnitMemory = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn pages, archives, PDF, DOCX, reports and subtitled video into documents of texts and images in place."""
    from domainvl.corpus.build import BuildSettings, build_corpus
    from domainvl.corpus.sources.reading import ReadSettings

    if extractor not in _EXTRACTORS:
        rule = f"--extractor must be one of {', '.join(_EXTRACTORS)}, got {extractor!r}"
        raise UsageError("Cannot build a corpus", rule=rule)
    check_number("--max-source-mb", max_source_mb, least=0.001)
    check_number("--max-image-mb", max_image_mb, least=0.001)
    check_number("--frame-step-s", frame_step_s, least=0)
    settings = BuildSettings(
        reading=ReadSettings(
            extractor=extractor,
            max_source_bytes=int(max_source_mb * 1e6),
            max_image_bytes=int(max_image_mb * 1e6),
            max_images=max_images,
            base_url=base_url,
            frame_step_s=frame_step_s,
        ),
        keep_text_only=keep_text_only,
    )
    run = stage_run(workers, shard, ray, unit_timeout_s, unit_memory_gb, overwrite)
    print_summary(build_corpus(sources, out, settings, licence=licence, run=run))
