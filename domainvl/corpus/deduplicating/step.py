"""``domainvl corpus dedup`` as a step over a corpus: five phases, of which the first can be shared by an array of jobs.

Documents are signed unit by unit; each band of their signatures is merged by itself, as are the hashes of paragraphs
and images; pairs that met in a band are compared in chunks; at last each unit is written without its duplicates.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from domainvl.corpus.deduplicating.searching import Search
from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.signatures import signature_version
from domainvl.corpus.deduplicating.signing import SIGNS, SignWork
from domainvl.corpus.folder import Corpus
from domainvl.corpus.stage import StageRun, StageSummary, open_stage


def dedup_corpus(folder: Path, out: Path, settings: DedupSettings, run: StageRun) -> StageSummary:
    """Make a corpus without duplicates of one.

    Exact duplicates have equal texts and images; of near-duplicates the texts are alike. The latest is kept. A
    paragraph of many documents is kept in one. Images are not taken away: ``d_hash_dup_count`` and ``p_hash_dup_count``
    say in how many of the documents that are kept an image of that hash is.

    Args:
        folder: The corpus.
        out: The corpus to make.
        settings: What duplicates are.
        run: How the step is run.

    Raises:
        UsageError: If the corpus cannot be opened or the target is taken.
        StoppedError: If the run was stopped, or a phase that needs all documents failed.
        NothingToDoError: If no document is left.
    """
    corpus = Corpus.open(folder)
    with open_stage(out, "corpus dedup", settings.to_json(), run, inputs=[folder]) as stage:
        made_by = signature_version()
        groups = corpus.groups()
        units = [(f"{group.file}#{group.row_group}", group) for group in groups]
        signed = stage.map("sign", units, SignWork(corpus, settings), root=folder, depends_on={"signatures": made_by})
        if stage.is_shard:
            return stage.finish_shard(signed)
        stage.rejects += [reject for unit in signed for reject in unit.rejects]
        whole = [(group, unit) for group, unit in zip(groups, signed, strict=True) if SIGNS in unit.tables]
        if not whole:
            return stage.finish([])
        search = Search(stage, settings, [group for group, _ in whole], [unit for _, unit in whole], folder)
        verdicts = search.find_duplicates()
        search.count(list(verdicts))
        done = search.apply(corpus, verdicts)
        versions = {"signatures": made_by, "pyarrow": version("pyarrow")}
        return stage.finish(done, before=corpus, counts=search.counts, versions=versions)
