"""``domainvl model``: checkpoints in and out: fetch, import, export, merge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from domainvl.model.published.exporting import ExportLayout
    from domainvl.model.trial import Trial

app = typer.Typer(help="Bring checkpoints in and out: fetch, import, export, merge.", no_args_is_help=True)

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result of the same kind.")]


@app.command(name="fetch", epilog="Example: domainvl model fetch OpenGVLab/InternVL2-1B --revision main --out download")
def fetch(
    hub_id: Annotated[str, typer.Argument(help="Id on the Hugging Face hub, as OWNER/NAME.")],
    revision: Annotated[str, typer.Option(help="Commit, tag or branch; the commit is recorded.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
) -> None:
    """Download a published checkpoint: the only command that uses the network."""
    from domainvl.model.published.fetching import fetch_checkpoint

    summary = fetch_checkpoint(hub_id, revision, out)
    typer.echo(f"{summary.out}: {summary.files} files, {summary.bytes / 1e9:.2f} GB, commit {summary.commit}")


@app.command(name="import", epilog="Example: domainvl model import InternVL2-1B --out mini-internvl-1b --check")
def import_(
    source: Annotated[Path, typer.Argument(help="Folder of the checkpoint, as it was downloaded or trained.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    system_prompt: Annotated[
        str | None, typer.Option(help="internvl2, v1-5 or none, where the checkpoint does not tell.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run it once on one image and one question, and say what that took.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn a published InternVL checkpoint into one of transformers' own classes, without running its code."""
    from domainvl.model.chat import SYSTEM_PROMPTS
    from domainvl.model.published.importing import import_checkpoint
    from domainvl.model.quiet import quiet_transformers
    from domainvl.model.trial import peak_memory_bytes

    if system_prompt is not None and system_prompt not in SYSTEM_PROMPTS:
        raise UsageError(
            "Cannot import a checkpoint",
            rule=f"--system-prompt must be one of {', '.join(SYSTEM_PROMPTS)}, got {system_prompt!r}",
            action="Leave it out where the checkpoint tells",
        )
    quiet_transformers()
    summary = import_checkpoint(source, out, system_prompt=system_prompt, check=check, overwrite=overwrite)
    parts = summary.parameters
    known = f", those of the published {summary.size}" if summary.size else ""
    read, written = summary.tensors
    typer.echo(f"layout      {summary.layout}, language model {summary.language_model}, {summary.dtype}")
    typer.echo(f"parameters  {parts.total:,}{known}")
    typer.echo(f"            vision {parts.vision:,}, projector {parts.projector:,}, language {parts.language_model:,}")
    typer.echo(f"tensors     {read:,} read, {written:,} written, each used once and none missing")
    if summary.merged:
        typer.echo(f"LoRA        {summary.merged:,} matrices merged")
    if summary.left_out:
        typer.echo(f"left out    {len(summary.left_out)} buffers that are computed again")
    typer.echo(f"chat        {summary.chat.format}, system message: {summary.chat.system_message or 'none'}")
    typer.echo(f"took        {summary.seconds:.1f} s, peak memory {peak_memory_bytes() / 1e9:.2f} GB")
    if summary.trial is not None:
        _show_trial(summary.trial)
    typer.echo(f"checkpoint  {summary.out}")


def _show_trial(trial: Trial) -> None:
    typer.echo(
        f"check       one image, one question, {trial.prompt_tokens} tokens: all logits finite, "
        f"next token {trial.next_token!r}"
    )
    typer.echo(
        f"            {trial.load_seconds:.1f} s to load, {trial.forward_seconds:.1f} s forward, "
        f"peak memory {trial.peak_bytes / 1e9:.2f} GB"
    )


@app.command(name="export", epilog="Example: domainvl model export run --to published --out for-lmdeploy")
def export(
    model: Annotated[str, typer.Argument(help="Name or folder of a whole model.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    to: Annotated[str, typer.Option(help="native for transformers, published for the original layout.")] = "native",
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16; the type it has where not given.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model for other tools."""
    from domainvl.model.published.exporting import export_checkpoint
    from domainvl.model.quiet import quiet_transformers

    quiet_transformers()
    summary = export_checkpoint(model, out, layout=_layout(to), dtype=_dtype(dtype), overwrite=overwrite)
    typer.echo(
        f"{summary.out}: {summary.tensors:,} tensors, {summary.parameters:,} parameters, {summary.layout} layout, "
        f"{summary.seconds:.1f} s"
    )
    if summary.layout == "published" and not summary.remote_code:
        typer.echo("The official loader also wants the .py files of the original checkpoint beside the weights.")
    for note in summary.notes:
        typer.echo(note)


@app.command(name="merge", epilog="Example: domainvl model merge run --data data --out standalone")
def merge(
    adapter: Annotated[str, typer.Argument(help="Folder of the adapter or of its run.")],
    data: Annotated[Path, typer.Option(help="Folder of a data set, to compare on its samples.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    samples: Annotated[int, typer.Option(min=1, help="On how many samples to compare.")] = 8,
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16; the type of the base where not given.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Make an adapter and its base one checkpoint, and prove on real samples that it answers the same."""
    from domainvl.model.device import choose_device
    from domainvl.model.merging import merge_adapter
    from domainvl.model.quiet import quiet_transformers

    quiet_transformers()
    summary = merge_adapter(
        adapter,
        out,
        data,
        sample_count=samples,
        dtype=_dtype(dtype),
        device=choose_device(device),
        overwrite=overwrite,
    )
    typer.echo(
        f"compared    {summary.samples} samples, {summary.positions} answer tokens: logits differ by at most "
        f"{summary.difference:.2g} of the largest (bound {summary.bound:g})"
    )
    typer.echo(f"            {summary.answers} generated answers equal")
    typer.echo(f"checkpoint  {summary.out}, {summary.dtype}, {summary.seconds:.1f} s")


def _layout(name: str) -> ExportLayout:
    match name:
        case "native" | "published":
            return name
    raise UsageError(
        "Cannot export a checkpoint",
        rule=f"--to must be native or published, got {name!r}",
        action="Use native for transformers, published for what loads the original checkpoints",
    )


def _dtype(name: str | None) -> str | None:
    known = ("float32", "bfloat16", "float16")
    if name is not None and name not in known:
        raise UsageError(
            "Cannot choose the type of the weights",
            rule=f"--dtype must be one of {', '.join(known)}, got {name!r}",
            action="Leave it out to keep the type they have",
        )
    return name
