"""``corpus build``: from files of all kinds to a corpus of interleaved documents."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path

from domainvl.corpus.exchange import host_of
from domainvl.corpus.pictures import inspect_picture
from domainvl.corpus.sources.finding import FORMATS, find_sources, to_units
from domainvl.corpus.sources.readers import check_libraries, read_pages
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.corpus.sources.video import find_subtitles
from domainvl.corpus.sources.warc import WarcImage, read_warc, warc_image_index
from domainvl.corpus.stage import DOCUMENTS, Stage, StageRun, StageSummary, UnitDone, UnitOutput, open_stage, put_image
from domainvl.corpus.tables import read_table, to_table, write_table
from domainvl.engine import attempt
from domainvl.errors import ItemError, NothingToDoError, UsageError
from domainvl.files import hash_file
from domainvl.interleaved.documents import Document, ImageSlot, Origin, Slot, TextSlot
from domainvl.schema.writer import Reject, Severity

_LIBRARIES = (
    "av", "fastwarc", "imagehash", "lxml", "magic-html", "markdown-it-py", "numpy", "pillow", "pydicom", "pypdfium2",
    "pysubs2", "python-docx", "resiliparse", "trafilatura",
)  # fmt: skip
"""What decides texts and hashes; absent ones are not mentioned."""

_ID_DIGITS = 32

_SEEN = ("width_px", "height_px", "byte_count", "d_hash", "p_hash")
"""What of an image slot is found by looking at the image."""

_NOT_AT_HAND = ("missing", "remote")
"""Why an image is switched off that nothing is wrong with."""


@dataclass(frozen=True)
class BuildSettings:
    """What decides what is built.

    Attributes:
        reading: How sources are read.
        keep_text_only: Keep documents without an image; else they are left out and counted, as OmniCorpus does.
    """

    reading: ReadSettings = field(default_factory=ReadSettings)
    keep_text_only: bool = False


def build_corpus(
    sources: Sequence[Path],
    out: Path,
    settings: BuildSettings | None = None,
    *,
    licence: str | None = None,
    run: StageRun | None = None,
) -> StageSummary:
    """Build a corpus; equal sources give equal bytes, whoever did which part.

    Args:
        sources: Files and folders.
        out: The corpus to make.
        settings: What decides what is built.
        licence: Licence of the sources; all that is made of the corpus tells it.
        run: How it is run.

    Raises:
        InputNotFoundError: If a source does not exist.
        NothingToDoError: If there is no document among them, or none is left.
        UsageError: If a library is missing, the target is taken, or names of sources do not fit.
        StoppedError: If the run was stopped before its end.
    """
    settings, run = settings or BuildSettings(), run or StageRun()
    if settings.reading.base_url is not None and len(sources) > 1:
        rule = f"--base-url is the address of one source, got {len(sources)}"
        raise UsageError("Cannot build a corpus", rule=rule, action="Build a corpus of each, or leave it out")
    found = find_sources(sources)
    _check_place(sources, out)
    if not found.documents:
        seen = ", ".join(f"{count} {kind}" for kind, count in found.other_counts.most_common())
        rule = f"there is no document among {found.other_counts.total()} files" + (f" ({seen})" if seen else "")
        action = f"Name files or folders with {', '.join(FORMATS)} or DICOM without an extension"
        raise NothingToDoError("Cannot build a corpus", where=sources[0], rule=rule, action=action)
    check_libraries((source.format for source in found.documents), settings.reading)
    with open_stage(out, "corpus build", asdict(settings), run) as stage:
        for uri, rule in found.unreadable.items():
            stage.rejects.append(Reject(uri, "read", "unreadable", f"the folder cannot be searched: {rule}"))
        hashes = _hash_sources(found.documents, settings.reading, stage)
        readable = [source for source in found.documents if source.uri in hashes]
        done = _build_units(stage, readable, hashes, settings)
        if stage.is_shard:
            return stage.finish_shard(done)
        described = [
            {"uri": source.uri, "sha256": hashes[source.uri], "size_bytes": source.path.stat().st_size}
            for source in readable
        ]
        others = {f"files that are no document ({kind})": count for kind, count in found.other_counts.items()}
        counts = {"sources": len(found.documents), **others}
        done = _without_repeated_ids(stage, done)
        return stage.finish(done, sources=described, counts=counts, versions=_versions(), licence=licence)


def _check_place(sources: Sequence[Path], out: Path) -> None:
    """Refuse a corpus inside a source, which would be read as input, and a source inside the corpus."""
    inside = next((path for path in sources if path.is_dir() and out.resolve().is_relative_to(path.resolve())), None)
    if inside is not None:
        raise UsageError("Cannot build a corpus", where=out, rule=f"it lies inside the source {inside}")
    doomed = next((path for path in sources if path.resolve().is_relative_to(out.resolve())), None)
    if doomed is not None:
        rule = f"the source {doomed} lies inside it and would be replaced"
        raise UsageError("Cannot build a corpus", where=out, rule=rule, action="Name another folder")


def _hash_sources(sources: Sequence[SourceFile], settings: ReadSettings, stage: Stage) -> dict[str, str]:
    """Return the hashes of sources that may be read, by URI; others are listed."""
    hashes: dict[str, str] = {}
    for source in sources:
        try:
            reject = _refused(source, settings)
            if reject is None:
                hashes[source.uri] = hash_file(source.path)
        except OSError as error:
            reject = Reject(source.uri, "read", "unreadable", f"it cannot be read: {error.strerror or error}")
        if reject is not None:
            stage.rejects.append(reject)
    return hashes


def _refused(source: SourceFile, settings: ReadSettings) -> Reject | None:
    """Refuse what lies elsewhere, and what is too large even to be hashed; containers are read piece by piece."""
    if not source.path.resolve().is_relative_to(source.root):
        rule, action = "it is a link that leads out of the source folder", "Name the folder that it leads to"
        return Reject(source.uri, "read", "outside-source", rule, action)
    size_bytes = source.path.stat().st_size
    if source.format in ("warc", "archive", "records", "video") or size_bytes <= settings.max_source_bytes:
        return None
    rule = f"a source may have {settings.max_source_bytes} bytes, got {size_bytes}"
    return Reject(source.uri, "read", "too-large", rule, "Raise --max-source-mb")


def _build_units(
    stage: Stage, sources: Sequence[SourceFile], hashes: Mapping[str, str], settings: BuildSettings
) -> list[UnitDone]:
    """Do all units; of one that took its process with it, each file is tried alone."""
    work = _BuildWork(settings, warc_image_index([one.path for one in sources if one.format == "warc"]))
    units = to_units(sources)

    def run(phase: str, some: Sequence[tuple[str, tuple[SourceFile, ...]]]) -> list[UnitDone]:
        told = [(name, _Unit(unit, tuple(hashes[one.uri] + _hash_beside(one) for one in unit))) for name, unit in some]
        return stage.map(phase, told, work, root=Path("/"), depends_on=_versions())

    done = run("read", units)
    if stage.is_shard:
        return done
    whole: list[UnitDone] = []
    for (_, unit), result in zip(units, done, strict=True):
        whole += run("read-alone", [(one.uri, (one,)) for one in unit]) if result.failed and len(unit) > 1 else [result]
    return whole


def _without_repeated_ids(stage: Stage, done: Sequence[UnitDone]) -> list[UnitDone]:
    """Keep the first document of each id, by which splits and removals go; records of others may repeat one."""
    seen: set[str] = set()
    kept: list[UnitDone] = []
    for number, unit in enumerate(done):
        path = unit.tables.get(DOCUMENTS)
        ids = [] if path is None else _ids(path)
        repeated = []
        for at, one in enumerate(ids):
            if one in seen:
                repeated.append(at)
            seen.add(one)
        if path is not None and repeated:
            other = stage.scratch / f"{number}.parquet"
            firsts = sorted(set(range(len(ids))) - set(repeated))
            write_table(read_table(path).take(firsts), other)
            rule, action = "a document before it has its id, and was kept", "Give each record an id of its own"
            rejects = [Reject(ids[at], "read", "repeated-id", rule, action) for at in repeated]
            unit = replace(unit, tables={**unit.tables, DOCUMENTS: other}, rejects=(*unit.rejects, *rejects))
        kept.append(unit)
    return kept


def _ids(path: Path) -> list[str]:
    general = read_table(path, columns=["general_metadata"]).column("general_metadata")
    return [row["id"] for row in general.to_pylist()]


def _hash_beside(source: SourceFile) -> str:
    """Return the hash of the subtitles of a video; empty for others, whose images are not hashed beforehand."""
    try:
        subtitles = find_subtitles(source.path) if source.format == "video" else None
        return hash_file(subtitles) if subtitles is not None else ""
    except OSError:
        return ""  # the reader will say it better


@dataclass(frozen=True)
class _Unit:
    """Some source files, with the hashes of their bytes and of what is read beside them: other bytes, another unit."""

    sources: tuple[SourceFile, ...]
    sha256: tuple[str, ...]


class _BuildWork:
    """Reads the documents of some files; can be pickled."""

    def __init__(self, settings: BuildSettings, warc_images: Mapping[str, WarcImage]) -> None:
        self._settings = settings
        self._warc_images = warc_images

    def __call__(self, unit: _Unit, images: Path) -> UnitOutput:
        documents: list[Document] = []
        rejects: list[Reject] = []
        counts: Counter[str] = Counter()
        for source in unit.sources:
            # What a source gave before it failed is kept.
            outcome = attempt(lambda one: self._read(one, images, documents, rejects, counts), source)
            if outcome.failure is not None:
                failure = outcome.failure
                rejects.append(Reject(source.uri, "read", failure.reason, failure.message, failure.action))
        return UnitOutput({DOCUMENTS: to_table(documents)}, rejects, counts)

    def _read(
        self,
        source: SourceFile,
        images: Path,
        documents: list[Document],
        rejects: list[Reject],
        counts: Counter[str],
    ) -> None:
        for page in self._pages(source):
            if isinstance(page, Reject):
                rejects.append(page)
                continue
            counts[f"documents read ({page.format})"] += 1
            rejects += page.rejects
            lacking = self._lacking(page)
            if lacking is not None:
                rejects.append(lacking)
                continue
            slots, lost = _with_images(page, self._settings.reading, images)
            rejects += lost
            documents.append(_to_document(page, slots))

    def _pages(self, source: SourceFile) -> Iterator[Page | Reject]:
        if source.format == "warc":
            return read_warc(source, self._settings.reading, self._warc_images)
        return read_pages(source, self._settings.reading)

    def _lacking(self, page: Page) -> Reject | None:
        has_text = any(isinstance(slot, TextSlot) for slot in page.slots)
        has_image = any(isinstance(slot, ImageSlot) for slot in page.slots)
        if not has_text:
            rule = "it has no text" if has_image else "it has neither text nor image"
            return Reject(page.uri, "read", "no-text", rule, severity=Severity.SKIPPED)
        if not has_image and not self._settings.keep_text_only:
            action = "Add --keep-text-only to keep such documents"
            return Reject(page.uri, "read", "no-image", "it has no image", action, Severity.SKIPPED)
        return None


def _with_images(page: Page, settings: ReadSettings, images: Path) -> tuple[tuple[Slot, ...], list[Reject]]:
    """Store the images of a page; the place of one that cannot be had is kept, switched off."""
    slots: list[Slot] = []
    rejects: list[Reject] = []
    known: dict[str, ImageSlot] = {}
    count = 0
    for slot in page.slots:
        if isinstance(slot, TextSlot):
            slots.append(slot)
            continue
        count += 1
        stored_url = _storable(slot.url)
        if count > settings.max_images:
            slots.append(replace(slot, url=stored_url, valid=False))
            continue
        if slot.url not in known:
            known[slot.url], reject = _stored(slot, page, settings, images)
            rejects += [reject] if reject is not None else []
        stored = known[slot.url]
        seen = {name: getattr(stored, name) for name in _SEEN}
        slots.append(replace(slot, url=stored_url, valid=slot.valid and stored.valid, **seen))
    if count > settings.max_images:
        over = count - settings.max_images
        rule = f"a document may have {settings.max_images} images, got {count}: the last {over} were switched off"
        rejects.append(Reject(page.uri, "image", "too-many-images", rule, "Raise --max-images", Severity.SKIPPED))
    return tuple(slots), rejects


def _stored(slot: ImageSlot, page: Page, settings: ReadSettings, images: Path) -> tuple[ImageSlot, Reject | None]:
    try:
        content = page.find_image(slot.url)
        if len(content) > settings.max_image_bytes:
            rule = f"an image may have {settings.max_image_bytes} bytes, got {len(content)}"
            raise ItemError("Cannot use an image", reason="too-large", where=slot.url, rule=rule)
        picture = inspect_picture(content, slot.url)
    except ItemError as error:
        severity = Severity.SKIPPED if error.reason in _NOT_AT_HAND else Severity.FAILED
        where = f"{page.uri} {slot.url}"
        return replace(slot, valid=False), Reject(
            where, "image", error.reason, error.without_action, error.action, severity
        )
    put_image(images, _storable(slot.url), picture.content)
    return (
        replace(
            slot,
            width_px=picture.width_px,
            height_px=picture.height_px,
            byte_count=picture.byte_count,
            d_hash=picture.d_hash,
            p_hash=picture.p_hash,
        ),
        None,
    )


def _storable(url: str) -> str:
    """Write an address such that Parquet holds it unchanged: names that are not UTF-8 are lone surrogates in Python."""
    return url.encode("utf-8", "backslashreplace").decode("utf-8")


def _to_document(page: Page, slots: tuple[Slot, ...]) -> Document:
    origin = Origin(
        format=page.format,
        uri=page.uri,
        sha256=page.sha256,
        reader=page.reader,
        language=page.language,
        modified=page.modified,
        placement=page.placement,
    )
    if page.document is not None:
        return replace(page.document, slots=slots, origin=origin)
    host = host_of(page.url)
    return Document(
        id=hashlib.sha256(f"{page.uri}\n{page.sha256}".encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS],
        slots=slots,
        url=page.url,
        domain=(host,) if host else (),
        origin=origin,
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
