"""The generated site has something for each step to find."""

from __future__ import annotations

from pathlib import Path

from domainvl.corpus.build import build_corpus
from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.step import dedup_corpus
from domainvl.corpus.filtering.profiles import load_profile
from domainvl.corpus.filtering.step import filter_corpus
from domainvl.corpus.folder import Corpus
from domainvl.corpus.generate import write_survey_site
from domainvl.corpus.stage import StageRun
from domainvl.interleaved.documents import ImageSlot, TextKind, TextSlot


def test_each_step_finds_what_was_put_there(tmp_path: Path) -> None:
    write_survey_site(tmp_path / "site", 6)
    built = build_corpus([tmp_path / "site"], tmp_path / "built")
    assert built.manifest["steps"][-1]["drops"] == {"image/image-decode": 1, "image/remote": 1, "read/no-image": 1}
    dedup_corpus(tmp_path / "built", tmp_path / "unique", DedupSettings(), StageRun())
    unique = Corpus.open(tmp_path / "unique")
    assert unique.manifest["steps"][-1]["drops"] == {"dedup/near-duplicate": 1}
    assert unique.document_count == 6 + 3  # the draft, the broken figure and the figure elsewhere
    filtered = filter_corpus(tmp_path / "unique", tmp_path / "filtered", load_profile("remote-sensing"))
    assert filtered.manifest["steps"][-1]["drops"] == {"filter/c4-lorem-ipsum": 1}


def test_reports_have_each_figure_before_its_caption(tmp_path: Path) -> None:
    write_survey_site(tmp_path / "site", 3, seed=5)
    build_corpus([tmp_path / "site" / f"report-0{number}.html" for number in range(3)], tmp_path / "built")
    documents = list(Corpus.open(tmp_path / "built").documents())
    assert len(documents) == 3
    for one in documents:
        behind = [after for slot, after in zip(one.slots, one.slots[1:], strict=False) if isinstance(slot, ImageSlot)]
        assert [isinstance(slot, TextSlot) and slot.kind is TextKind.CAPTION for slot in behind] == [True, True]
        assert [slot.text.partition(".")[0] for slot in one.texts if slot.kind is TextKind.CAPTION] == [
            "Figure 1",
            "Figure 2",
        ]
