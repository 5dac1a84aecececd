"""Images that show the same pixels and lie in different groups: what was to be kept apart may not be."""

from __future__ import annotations

from collections.abc import Iterator

from domainvl.schema.digests import digest_text
from domainvl.schema.sample import EXAMPLE_OF, MADE_OF, Record


class SharedImages:
    """Watches the records of a data set for equal images of different groups.

    An image that stands in a sample as a solved example belongs to the group of another: it is not counted.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, str]] = {}
        self._shared: set[int] = set()
        self._leaking: set[int] = set()

    def see(self, record: Record) -> None:
        """Take note of the images of a record."""
        truth = record["domainvl"]
        group, split = digest_text(truth["group"]), truth["split"]
        for image in truth["images"]:
            details = image["source"].get("details", {})
            if EXAMPLE_OF in details:
                continue
            # Stitched views count as the images that they were made of, too.
            for sha256 in (image["pixel_sha256"], *details.get(MADE_OF, ())):
                pixels = digest_text(sha256)
                first_group, first_split = self._seen.setdefault(pixels, (group, split))
                if group != first_group:
                    self._shared.add(pixels)
                    if split != first_split:
                        self._leaking.add(pixels)

    def notes(self) -> Iterator[str]:
        """Say how many images lie in several groups."""
        if self._shared:
            yield (
                f"{len(self._shared)} images with the same pixels lie in several groups, {len(self._leaking)} of them "
                "in several splits: copies of one patient, scene or log under several names, or blank images"
            )
