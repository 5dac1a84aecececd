"""Lays out the counts of a data set as text for a terminal or a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from domainvl.schema import Split

_LONGEST = 60
_CLASSES = 20
_ANSWERS = 5

_DISTRIBUTIONS = (
    ("images", "per_sample", "images a sample"),
    ("images", "width_px", "image width in px"),
    ("images", "height_px", "image height in px"),
    ("images", "boxes_per_image", "boxes an image"),
    ("tiles", "per_sample", "tiles a sample"),
    ("tiles", "visual_tokens", "visual tokens a sample"),
    ("text", "text_tokens", "text tokens a sample"),
    ("text", "all_tokens", "all tokens a sample"),
    ("text", "answer_tokens", "tokens of the answers"),
    ("text", "human_words", "words of the questions"),
    ("text", "human_characters", "characters of the questions"),
    ("text", "assistant_words", "words of the answers"),
    ("text", "assistant_characters", "characters of the answers"),
    ("objects", "box_area_share", "box in % of the image"),
)


def format_stats(stats: Mapping[str, Any]) -> str:
    """Lay out what :meth:`domainvl.viewing.stats.DatasetStats.to_dict` returns.

    Args:
        stats: The counts.
    """
    sections = [
        [f"{plain(stats['name'])}: {_many(stats['samples'], 'sample')}, {_many(stats['groups']['distinct'], 'group')}"],
        _samples(stats),
        _distributions(stats),
        [*_images(stats), *_tiles(stats["tiles"], stats["text"])],
        _answers(stats["answers"]),
        _constants(stats["constant_answers"]),
        _objects(stats["objects"]),
        _warnings(stats["warnings"]),
        _estimates(stats),
    ]
    return "\n\n".join("\n".join(lines) for lines in map(list, sections) if lines)


def plain(text: str, longest: int = _LONGEST) -> str:
    """Make text from the data set fit for a terminal: one line, nothing that moves a cursor, not too long."""
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def layout(rows: Iterable[Sequence[str]], flush: str) -> list[str]:
    """Set rows in columns.

    Args:
        rows: Equally long rows of cells.
        flush: One letter a column: ``l`` for flush left, ``r`` for flush right.
    """
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(row, widths, flush, strict=True)
        ).rstrip()
        for row in rows
    ]


def _samples(stats: Mapping[str, Any]) -> list[str]:
    splits = [split.value for split in Split]
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in stats["counts"]:
        counts.setdefault((row["domain"], row["task"]), {})[row["split"]] = row["count"]
    rows = [["samples", "", *splits, "all"]]
    for (domain, task), by_split in counts.items():
        numbers = [by_split.get(split, 0) for split in splits]
        rows.append([plain(domain), task, *(f"{number:,}" for number in (*numbers, sum(numbers)))])
    groups = stats["groups"]
    numbers = [groups["by_split"][split] for split in splits]
    rows.append(["groups", "", *(f"{number:,}" for number in (*numbers, groups["distinct"]))])
    lines = layout(rows, "llrrrr")
    if groups["in_several_splits"]:
        lines.append(f"groups in several splits: {groups['in_several_splits']:,}; what is held out is not unseen")
    return lines


def _distributions(stats: Mapping[str, Any]) -> list[str]:
    rows = [["", "min", "median", "mean", "95 %", "max"]]
    for section, key, name in _DISTRIBUTIONS:
        summary = stats[section][key]
        if summary is not None:
            values = [summary[part] for part in ("min", "median", "mean", "p95", "max")]
            rows.append(
                [name, *(f"{100 * value:.3g}" if key == "box_area_share" else _number(value) for value in values)]
            )
    return layout(rows, "lrrrrr")


def _number(value: float) -> str:
    """Write whole numbers whole and others with one decimal."""
    return f"{int(value):,}" if value == int(value) else f"{value:,.1f}"


def _images(stats: Mapping[str, Any]) -> Iterator[str]:
    images = stats["images"]
    if not images["uses"]:
        yield "images: none"
        return
    sizes = ", ".join(f"{row['width_px']}x{row['height_px']} ({row['count']:,})" for row in images["sizes"][:_ANSWERS])
    more = images["distinct_sizes"] - min(len(images["sizes"]), _ANSWERS)
    yield f"images: {images['distinct']:,} distinct, {images['uses']:,} uses"
    yield f"sizes: {sizes}" + (f" and {more:,} more" if more else "")
    yield f"images used by several samples: {images['used_by_several_samples']:,}, by {images['most_uses']:,} at most"
    if images["in_several_splits"]:
        yield f"images in several splits: {images['in_several_splits']:,}; what is held out is not unseen"


def _tiles(tiles: Mapping[str, Any], text: Mapping[str, Any]) -> Iterator[str]:
    thumbnail = " and a thumbnail" if tiles["use_thumbnail"] else ""
    yield (
        f"tiles: at most {tiles['max_tiles']} a sample{thumbnail}, {tiles['tile_side_px']} px, "
        f"{tiles['tokens_per_tile']} tokens each; {tiles['visual_tokens_total']:,} visual tokens in all"
    )
    if text["all_tokens_total"] is None:
        yield "text tokens: not counted; name a checkpoint with --model"
    else:
        yield f"tokens: {text['all_tokens_total']:,} in all, visual and text"


def _answers(answers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in answers:
        yield f"answers to {plain(row['domain'])} {row['task']} ({row['kind']}): {_many(row['samples'], 'sample')}"
        if row["top"]:
            top = ", ".join(f"{plain(item['answer'])} ({item['count']:,})" for item in row["top"][:_ANSWERS])
            more = row["distinct"] - min(len(row["top"]), _ANSWERS)
            yield f"  {top}" + (f" and {more:,} more" if more else "")
        if row["other"]:
            yield f"  {row['other']:,} further answers, not told apart"
        if row["yes_no"]:
            total = row["yes_no"]["yes"] + row["yes_no"]["no"]
            yield f"  yes {row['yes_no']['yes'] / total:.0%}, no {row['yes_no']['no'] / total:.0%} of these two"
        for key, name in (("option_counts", "options"), ("boxes_per_answer", "boxes")):
            if row[key]:
                yield f"  {name}: " + ", ".join(f"{number} ({count:,})" for number, count in row[key].items())


def _constants(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = [["always the same answer", "", "split", "its best answer", "right", "that of train", "right"]]
    for row in rows:
        answers = [plain(row[key] or "-", 34) for key in ("answer", "train_answer")]
        shares = ["-" if row[key] is None else f"{row[key]:.0%}" for key in ("share", "train_answer_share")]
        cells.append(
            [plain(row["domain"]), row["task"], row["split"], answers[0], shares[0], answers[1], shares[1]]
        )  # fmt: skip
    return layout(cells, "llllrlr")


def _objects(objects: Mapping[str, Any]) -> Iterator[str]:
    if not objects["distinct"]:
        yield "objects: none"
        return
    shapes = ", ".join(f"{count:,} with {shape.replace('_', ' ')}" for shape, count in objects["shapes"].items())
    yield f"objects: {objects['distinct']:,} distinct, {shapes}"
    yield (
        f"ignored: {objects['ignored']:,} ({objects['ignored_share']:.1%}), truncated: {objects['truncated']:,}; "
        "the classes are without the ignored ones"
    )
    yield from layout(
        [[f"  {plain(row['label'])}", f"{row['count']:,}"] for row in objects["classes"][:_CLASSES]], "lr"
    )
    if len(objects["classes"]) > _CLASSES:
        yield f"  and {len(objects['classes']) - _CLASSES:,} more classes"


def _warnings(warnings: Mapping[str, Any]) -> Iterator[str]:
    yield f"warnings: in {_many(warnings['samples'], 'sample')}"
    for row in warnings["kinds"]:
        yield f"  {row['count']:,} x {plain(row['kind'], 100)}"
    if warnings["other"]:
        yield f"  {warnings['other']:,} x of further kinds"


def _estimates(stats: Mapping[str, Any]) -> Iterator[str]:
    for key in ("groups", "images", "objects"):
        if not stats[key]["exact"]:
            yield f"There are too many {key} to keep: what is said of them is estimated from an even sample of them."
