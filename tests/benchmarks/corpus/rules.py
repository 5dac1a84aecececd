"""How many documents a CPU-second the text rules measure and decide, beside rules asked one at a time.

    python tests/benchmarks/corpus/rules.py [--documents 500] [--book PAGE.html]

Documents are generated: about 4,700 characters and 750 words in 26 paragraphs, headings and captions among them, with
words drawn by Zipf's law from a list of 6,000; every fifth has something that a rule takes away. Beside it stand
plain loops over five rules of Gopher, and over these and its nine rules on n-grams. The book is one document of its
own.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from domainvl.corpus.filtering.characters import SEPARATOR, count_texts
from domainvl.corpus.filtering.deciding import decide
from domainvl.corpus.filtering.measuring import measure
from domainvl.corpus.filtering.profiles import load_profile
from domainvl.corpus.filtering.repetition import word_shares
from domainvl.interleaved.documents import Document, ImageSlot, Slot, TextKind, TextSlot

VOCABULARY = 6000
PARAGRAPHS = 26
NOISE = (
    "Read more", "Follow us on YouTube", "Published by the press office", "12 likes", "Call 555-123-4567 today",
    "See https://example.org/a/b?c=d for the data", "This line breaks\nin the middle of it.",
)  # fmt: skip


def make_documents(count: int, seed: int = 0) -> list[Document]:
    """Generate documents; equal arguments give equal documents."""
    draw = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["the", "of", "and", "to", "a", "in", "is", "that", "with", "are"]
    words += ["".join(draw.choices(letters, k=draw.randint(3, 10))) for _ in range(VOCABULARY - len(words))]
    weights = [1 / (rank + 8) for rank in range(VOCABULARY)]
    return [_make_document(f"document-{number}", words, weights, draw) for number in range(count)]


def _make_document(name: str, words: Sequence[str], weights: Sequence[float], draw: random.Random) -> Document:
    slots: list[Slot] = []
    for place in range(PARAGRAPHS):
        if place % 9 == 0:
            slots.append(TextSlot(" ".join(draw.choices(words, weights, k=6)).title(), TextKind.HEADER, 2))
        elif place % 9 == 4:
            slots.append(ImageSlot(f"https://example.org/{name}/{place}.jpg", 640, 480, p_hash_dup_count=1))
            slots.append(TextSlot(" ".join(draw.choices(words, weights, k=12)).capitalize(), TextKind.CAPTION))
        else:
            sentences = [
                " ".join(draw.choices(words, weights, k=draw.randint(7, 13))).capitalize() + "." for _ in range(3)
            ]
            slots.append(TextSlot(" ".join(sentences)))
    if draw.random() < 0.2:
        slots.append(TextSlot(draw.choice(NOISE)))
    return Document(name, tuple(slots))


def plain_loop(documents: Sequence[Document]) -> int:
    """Ask five rules one at a time: words, mean length, stop words, duplicate lines, the commonest pair of words."""
    kept = 0
    for document in documents:
        text = "\n".join(slot.text for slot in document.texts)
        words = text.split()
        pairs = Counter(itertools.pairwise(words))
        lines = text.split("\n")
        kept += (
            50 <= len(words) <= 100_000
            and 3 <= sum(map(len, words)) / len(words) <= 10
            and sum(word in ("the", "be", "to", "of", "and", "that", "have", "with") for word in words) >= 2
            and 1 - len(set(lines)) / len(lines) <= 0.3
            and pairs.most_common(1)[0][1] / len(words) <= 0.2
        )
    return kept


def one_at_a_time(documents: Sequence[Document]) -> int:
    """Ask those five and Gopher's rules on n-grams, each with its own pass over the words."""
    kept = plain_loop(documents)
    for document in documents:
        words = "\n".join(slot.text for slot in document.texts).split()
        total = sum(map(len, words)) + len(words) - 1
        for size in range(2, 11):
            grams = [" ".join(words[place : place + size]) for place in range(len(words) - size + 1)]
            if size < 5:
                gram, times = Counter(grams).most_common(1)[0]
                kept -= len(gram) * times / total > 0.2
                continue
            seen: set[str] = set()
            place = characters = 0
            while place < len(grams):
                known = grams[place] in seen
                characters += len(grams[place]) if known else 0
                seen.add(grams[place])
                place += size if known else 1
            kept -= characters / total > 0.15
    return kept


def book(page: Path) -> Document:
    """Make one document of the paragraphs of an HTML page."""
    paragraphs = re.findall(r"<p[^>]*>(.*?)</p>", page.read_text(encoding="latin-1"), re.DOTALL)
    texts = [re.sub(r"<[^>]*>|\s+", " ", paragraph).strip() for paragraph in paragraphs]
    return Document("book", tuple(TextSlot(text) for text in texts if text))


def cpu_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the CPU-seconds of the fastest of some runs."""
    found = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--book", type=Path)
    options = parser.parse_args()
    documents = make_documents(options.documents)
    profile = load_profile("general")
    measured = [measure(document, profile) for document in documents]
    decided = [decide(*pair, profile) for pair in zip(documents, measured, strict=True)]
    characters = sum(len(slot.text) for document in documents for slot in document.texts) / len(documents)
    kept = sum(one.kept is not None for one in decided)
    print(f"{len(documents)} documents of {characters:.0f} characters, {kept} kept")
    measuring = cpu_seconds(lambda: [measure(document, profile) for document in documents])
    deciding = cpu_seconds(lambda: [decide(*pair, profile) for pair in zip(documents, measured, strict=True)])
    texts = [[slot.text for slot in document.texts] for document in documents]
    joined = ["".join(text + SEPARATOR for text in each) for each in texts]
    words = [" ".join(each).lower().split() for each in texts]
    rows = {
        "counting characters": cpu_seconds(lambda: [count_texts(*pair) for pair in zip(texts, joined, strict=True)]),
        "repeated n-grams": cpu_seconds(lambda: [word_shares(each) for each in words]),
        "measure, all rules": measuring,
        "decide": deciding,
        "both": measuring + deciding,
        "plain, 5 rules": cpu_seconds(lambda: plain_loop(documents)),
        "plain, 14 rules": cpu_seconds(lambda: one_at_a_time(documents)),
    }
    for name, seconds in rows.items():
        print(f"{name:22} {len(documents) / seconds:8.0f} documents/CPU-s {1e3 * seconds / len(documents):7.3f} ms")
    if options.book is not None:
        whole = book(options.book)
        seconds = cpu_seconds(lambda: decide(whole, measure(whole, profile), profile))
        print(f"the book, {sum(len(slot.text) for slot in whole.texts)} characters: {1e3 * seconds:.1f} ms")


if __name__ == "__main__":
    main()
