"""What decides which documents and paragraphs of a corpus are duplicates."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from domainvl.errors import UsageError


@dataclass(frozen=True)
class DedupSettings:
    """Settings of deduplication.

    OmniCorpus (arXiv 2406.08418, section 3.2) publishes a Jaccard similarity of 0.8 and that the latest version is
    kept. It does not publish shingles, permutations and bands; these are the usual ones of the literature for 0.8. A
    pair of similarity s meets in some band with probability 1 - (1 - s^rows)^bands: 0.947 at 0.8, 0.994 at 0.85.
    Paragraphs are not in OmniCorpus; their defaults are ours.

    Attributes:
        shingle_words: Words of a shingle; characters in scripts without blanks between words.
        bands: Bands of a signature. A document has ``bands * rows`` permutations.
        rows: Permutations of a band: documents that agree in all of one band are compared.
        min_jaccard: Documents whose sets of shingles are at least so alike are near-duplicates.
        same_images: Only documents that share an image, or have none, are near-duplicates: for fields whose reports
            read alike while their images differ.
        max_paragraph_documents: A paragraph that more documents have is boilerplate, and kept in the latest of them
            alone; 0 to keep all. As many as OmniCorpus allows an image.
        min_paragraph_words: Shorter paragraphs are never boilerplate.
    """

    shingle_words: int = 5
    bands: int = 16
    rows: int = 8
    min_jaccard: float = 0.8
    same_images: bool = False
    max_paragraph_documents: int = 10
    min_paragraph_words: int = 5

    def __post_init__(self) -> None:
        least = {"shingle_words": 1, "bands": 1, "rows": 1, "max_paragraph_documents": 0, "min_paragraph_words": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                rule = f"{name} must be {value} or more, got {getattr(self, name)}"
                raise UsageError("Cannot find duplicates", rule=rule)
        if not 0.0 < self.min_jaccard <= 1.0:
            rule = f"min_jaccard must be above 0 and at most 1, got {self.min_jaccard}"
            raise UsageError("Cannot find duplicates", rule=rule)

    @property
    def permutations(self) -> int:
        """Length of a signature."""
        return self.bands * self.rows

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON, for the manifest."""
        return asdict(self)
