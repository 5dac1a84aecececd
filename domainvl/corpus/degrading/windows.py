"""``corpus degrade --to windows``: documents cut into windows of few images that one model can take.

Each window is a record of the same format, named after its document, and what training makes of it is that window. The
cutting itself is training's (:mod:`domainvl.interleaved.windows`): never between an image and its caption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from domainvl.corpus.folder import IMAGES_NAME, Corpus, DocumentGroup
from domainvl.corpus.stage import DOCUMENTS, StageRun, StageSummary, UnitOutput, adopt_images, open_stage
from domainvl.corpus.tables import to_table
from domainvl.errors import ItemError
from domainvl.files import hash_file
from domainvl.interleaved.documents import Document, ImageSlot, Slot, TextSlot, keep_slots, window_id
from domainvl.interleaved.images import ImageFolder
from domainvl.interleaved.windows import Part, Window, WindowCutter, WindowLimits
from domainvl.model.checkpoint import find_checkpoint, read_spec, read_tokenizer
from domainvl.model.encoding import ConversationEncoder
from domainvl.schema import Image
from domainvl.schema.writer import Reject, Severity

COMMAND = "corpus degrade --to windows"


@dataclass(frozen=True)
class WindowSettings:
    """What decides where documents are cut.

    Attributes:
        model: Checkpoint whose tokenizer counts tokens and whose tiling counts tiles.
        max_images: Most images of a window; 6 as in OmniCorpus' training (arXiv 2406.08418, section 5.1).
        max_tokens: Most tokens, those of the images included; 4096 as there.
    """

    model: str = "tiny"
    max_images: int = 6
    max_tokens: int = 4096

    @property
    def limits(self) -> WindowLimits:
        """The cutter's limits. Windows without an image are counted here, so that their text is not lost track of."""
        return WindowLimits(self.max_images, self.max_tokens, text_only=True)


def degrade_to_windows(
    source: Path, out: Path, settings: WindowSettings, *, run: StageRun | None = None
) -> StageSummary:
    """Cut the documents of a corpus; equal input gives equal bytes, whoever did which part.

    Args:
        source: The corpus.
        out: The corpus to make.
        settings: Where they are cut.
        run: How it is run.

    Raises:
        InputNotFoundError: If there is no such corpus.
        CheckpointError: If the model is not there or unreadable.
        UsageError: If it is no corpus, a limit is out of range, or the target is taken.
        DatasetError: If a file of it cannot be read.
        NothingToDoError: If no window is left.
        StoppedError: If the run was stopped before its end.
    """
    corpus = Corpus.open(source)
    work = _WindowWork(source, settings.limits, find_checkpoint(settings.model).absolute())
    units = [(f"{group.file}:{group.row_group}", group) for group in corpus.groups()]
    told = {**asdict(settings), "model_input": work.describe_model()}
    with open_stage(out, COMMAND, told, run or StageRun(), inputs=[source]) as stage:
        done = stage.map("cut", units, work, root=source)
        if stage.is_shard:
            return stage.finish_shard(done)
        return stage.finish(done, before=corpus)


@dataclass(frozen=True)
class _WindowWork:
    """Cuts the documents of a row group; can be pickled."""

    source: Path
    limits: WindowLimits
    model: Path

    def describe_model(self) -> Mapping[str, Any]:
        """Say what of the model decides where documents are cut."""
        spec = read_spec(self.model)
        return {
            "tokenizer_sha256": hash_file(self.model / "tokenizer.json"),
            "chat": spec.chat.model_dump(mode="json"),
            "preprocessing": spec.preprocessing.model_dump(mode="json"),
        }

    def __call__(self, unit: DocumentGroup, images: Path) -> UnitOutput:
        documents = Corpus.open(self.source).read_group(unit)
        spec = read_spec(self.model)
        encoder = ConversationEncoder(read_tokenizer(self.model), spec.chat, spec.preprocessing.tokens_per_tile)
        cutter = WindowCutter(encoder, spec.preprocessing, self.limits)
        folder = ImageFolder(self.source / IMAGES_NAME)
        windows: list[Document] = []
        rejects: list[Reject] = []
        for document in documents:
            cut = cut_document(document, cutter, folder)
            windows += cut.windows
            rejects += cut.rejects
        adopt_images(self.source / IMAGES_NAME, images, [slot.url for one in windows for slot in one.images])
        shown = Counter(len(one.images) for one in windows)
        counts = {f"windows of {count} image{'' if count == 1 else 's'}": number for count, number in shown.items()}
        return UnitOutput(
            {DOCUMENTS: to_table(windows)},
            rejects,
            {"documents read": len(documents), "windows": len(windows)} | counts,
        )


@dataclass
class CutDocument:
    """A document in windows.

    Attributes:
        windows: Records of the windows, in order.
        rejects: Images and windows that were left out.
    """

    windows: list[Document] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


def cut_document(document: Document, cutter: WindowCutter, images: ImageFolder) -> CutDocument:
    """Cut a document into windows that hold images and text.

    Args:
        document: The document.
        cutter: Cuts; it must keep windows without an image, so that texts are found again.
        images: Finds its images.
    """
    cut = CutDocument()
    parts, owners = _parts(document, images, cut.rejects)
    slots_of = _SlotsOf(document.slots, owners)
    shown: set[int] = set()
    for number, window in enumerate(cutter.cut(parts), start=1):
        slots = slots_of.window(window)
        shown.update(id(image) for image in window.images)
        name = window_id(document.id, number)
        if window.images:
            cut.windows.append(replace(document, id=name, slots=tuple(slots)))
        else:
            rule = f"a window must have an image, got {window.token_count} tokens of text"
            cut.rejects.append(Reject(name, "window", "without-image", rule, severity=Severity.SKIPPED))
    for part, index in owners.items():
        if part not in shown:
            rule = (
                f"it must fit into a window with text, of {cutter.limits.max_tokens} tokens and "
                f"{cutter.limits.max_images} images"
            )
            cut.rejects.append(_lost(document, index, "no-window", rule))
    return cut


def _parts(document: Document, images: ImageFolder, rejects: list[Reject]) -> tuple[list[Part], dict[int, int]]:
    """Return what the cutter takes, and the slot of each image by the identity of its part."""
    parts: list[Part] = []
    owners: dict[int, int] = {}
    for index, slot in enumerate(document.slots):
        if isinstance(slot, TextSlot):
            parts.append(slot.text)
        elif not slot.valid:
            rejects.append(_lost(document, index, "switched-off", "it is switched off in the corpus"))
        else:
            try:
                image = images.image(slot).model_copy()  # a copy, so that each place has a part of its own
            except ItemError as error:
                rejects.append(_lost(document, index, error.reason, error.rule or error.what))
                continue
            parts.append(image)
            owners[id(image)] = index
    return parts, owners


def _lost(document: Document, index: int, reason: str, rule: str) -> Reject:
    slot = document.slots[index]
    name = slot.url if isinstance(slot, ImageSlot) else str(index)
    return Reject(f"{document.id} {name}", "window", reason, rule, severity=Severity.SKIPPED)


class _SlotsOf:
    """Finds the slots of a document again of which the parts of its windows are; windows are asked for in order.

    Args:
        slots: The document's.
        owners: Index of the slot of each image, by the identity of its part.
    """

    def __init__(self, slots: Sequence[Slot], owners: Mapping[int, int]) -> None:
        self._slots = slots
        self._owners = owners
        self._texts = iter([(at, slot.text) for at, slot in enumerate(slots) if isinstance(slot, TextSlot)])
        self._at, self._rest = -1, ""

    def window(self, window: Window) -> list[Slot]:
        """Return the slots of the next window; of a text that goes over its border, the piece that is in it."""
        pieces: list[tuple[int, str]] = []
        for part in window.parts:
            if isinstance(part, Image):
                pieces.append((self._owners[id(part)], ""))
            elif part.strip():
                at = self._find(part.strip())
                if pieces and pieces[-1][0] == at:
                    pieces[-1] = (at, pieces[-1][1] + part)
                else:
                    pieces.append((at, part))
        kept = [(at, self._piece(at, text)) for at, text in pieces]
        return list(keep_slots(self._slots, kept))

    def _find(self, text: str) -> int:
        while not self._rest.startswith(text):
            if self._rest:
                raise ValueError(f"slot {self._at} must go on with {text[:40]!r}, got {self._rest[:40]!r}")
            self._at, whole = next(self._texts)
            self._rest = whole.strip()
        self._rest = self._rest[len(text) :].lstrip()
        return self._at

    def _piece(self, at: int, text: str) -> Slot:
        slot = self._slots[at]
        # The breaks between slots are the cutter's, which puts them there again.
        return replace(slot, text=text.strip("\n")) if isinstance(slot, TextSlot) else slot
