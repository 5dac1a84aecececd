"""Reads an HTML page as a browser does: a tree of elements, and its tables by their headings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

BLOCKS = {"p", "li", "tr", "th", "td", "dt", "dd", "h1", "h2", "h3", "h4", "div", "section", "pre", "caption"}
VOID = {"meta", "img", "input", "br", "wbr", "link", "base"}


@dataclass
class Node:
    tag: str
    attributes: dict[str, str | None]
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its text on one line, with blanks where the page has blocks."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                blank = " " if child.tag in BLOCKS or "line" in child.classes else ""
                yield blank
                yield from child._texts()
                yield blank

    @property
    def classes(self) -> list[str]:
        return (self.attributes.get("class") or "").split()

    def walk(self) -> Iterator[Node]:
        for child in self.children:
            if isinstance(child, Node):
                yield child
                yield from child.walk()

    def find(self, tag: str, **wanted: str) -> list[Node]:
        """Elements of a tag with these attributes; ``class_`` names one of its classes."""
        name = wanted.pop("class_", None)
        return [
            node
            for node in self.walk()
            if node.tag == tag
            and (name is None or name in node.classes)
            and all(node.attributes.get(key) == value for key, value in wanted.items())
        ]

    def one(self, tag: str, **wanted: str) -> Node:
        (found,) = self.find(tag, **wanted)
        return found

    def numbers(self) -> list[float]:
        """The whole numbers behind those that are written."""
        return [float(node.attributes["value"] or "") for node in self.find("data")]

    def rows(self) -> list[list[Node]]:
        """Of a table: the cells of its body, row by row."""
        body = self.one("tbody")
        return [
            [cell for cell in row.children if isinstance(cell, Node) and cell.tag in ("td", "th")]
            for row in body.find("tr")
        ]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Node("page", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(html: str) -> Node:
    """The root of a page; every element must be closed."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    (root,) = reader.open
    return root
