"""Runs the quickstart: each domain in a process of its own, then one table over all of them."""

from __future__ import annotations

import multiprocessing
import os
import queue
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.errors import ExitCode, InputNotFoundError, UsageError
from domainvl.quickstart.domains import DOMAINS, choose_domains
from domainvl.quickstart.pipeline import DomainResult, OwnInput, run_domain

if TYPE_CHECKING:
    from multiprocessing.managers import SyncManager

Say = Callable[[str], object]

TABLE_NAME = "quickstart.md"
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class _Job:
    domain: str
    out: Path
    seed: int
    size: float
    own: OwnInput | None


def run_quickstart(
    out: Path,
    *,
    domains: list[str] | None,
    own: OwnInput | None,
    seed: int,
    size: float,
    jobs: int | None,
    overwrite: bool,
    say: Say,
) -> ExitCode:
    """Convert, adapt and compare for each domain and print one table.

    Args:
        out: Folder for everything.
        domains: Which domains; all where None.
        own: The user's own input instead of generated files, for one domain.
        seed: Of generated inputs.
        size: Share of the full number of generated inputs and of training steps.
        jobs: Domains at a time; one a core where None.
        overwrite: Replace an earlier run.
        say: Prints a line.

    Returns:
        ``PARTIAL`` if some input could not be used, else ``DONE``.

    Raises:
        UsageError: If the options contradict each other or ``out`` is there already.
        DomainvlError: Whatever stopped a domain.
    """
    chosen = [domain.name for domain in choose_domains(domains)]
    _check_own_input(chosen, own)
    if out.exists():
        if not overwrite:
            raise UsageError(
                "Cannot run the quickstart",
                where=out,
                rule="the folder exists",
                action="Name another, or add --overwrite",
            )
        shutil.rmtree(out)
    out.mkdir(parents=True)
    started = time.perf_counter()
    results = _run_jobs([_Job(name, out, seed, size, own) for name in chosen], jobs, say)
    table = _table(results)
    (out / TABLE_NAME).write_text(table, encoding="utf-8")
    say("")
    say(table)
    for result in results:
        say(f"{result.domain}: data set {result.dataset}, run {result.run}, scores {result.scores}")
    say(f"The table is in {out / TABLE_NAME}. {time.perf_counter() - started:.0f} s in all.")
    return ExitCode.PARTIAL if any(result.failed_count for result in results) else ExitCode.DONE


def _check_own_input(chosen: list[str], own: OwnInput | None) -> None:
    if own is None:
        return
    if len(chosen) != 1:
        raise UsageError(
            "Cannot run the quickstart",
            rule="--data needs exactly one --domain",
            action=f"Add --domain with one of {', '.join(DOMAINS)}",
        )
    for path in (own.data, own.labels, own.deid_key):
        if path is not None and not path.exists():
            raise InputNotFoundError("Cannot run the quickstart", where=path, rule="there is no such file or folder")


def _run_jobs(work: list[_Job], jobs: int | None, say: Say) -> list[DomainResult]:
    """Run the domains in processes of their own and print what they say as they say it."""
    count = min(len(work), jobs or os.cpu_count() or 1)
    # Spawned, because a forked process inherits the locks of GDAL's and OpenMP's threads.
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(count, mp_context=context) as pool:
        messages = _message_queue(manager)
        futures = [pool.submit(_run_job, job, messages) for job in work]
        pending: set[Future[DomainResult]] = set(futures)
        while pending:
            finished, pending = wait(pending, timeout=_POLL_SECONDS)
            _print_messages(messages, say)
            for future in finished:
                error = future.exception()
                if error is not None:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise error
        return [future.result() for future in futures]


def _message_queue(manager: SyncManager) -> queue.Queue[str]:
    return manager.Queue()


def _run_job(job: _Job, messages: queue.Queue[str]) -> DomainResult:
    from domainvl.model.quiet import quiet_transformers

    quiet_transformers()
    return run_domain(
        DOMAINS[job.domain],
        job.out / job.domain,
        seed=job.seed,
        size=job.size,
        own=job.own,
        say=lambda line: messages.put(f"[{job.domain}] {line}"),
    )


def _print_messages(messages: queue.Queue[str], say: Say) -> None:
    while True:
        try:
            say(messages.get_nowait())
        except queue.Empty:
            return


def _table(results: list[DomainResult]) -> str:
    from domainvl.evaluation.tables import format_markdown

    head = ["input", *results[0].head]
    return format_markdown([head, *([kind, *cells] for result in results for kind, cells in result.lines)])
