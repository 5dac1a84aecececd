"""Whose caption is whose: figures side by side, shared captions, captions above, numbers that tell."""

from __future__ import annotations

from toy_corpora import caption, image

from domainvl.corpus.degrading.rows import find_row_captions
from domainvl.interleaved.documents import Slot, TextKind, TextSlot


def whose(*slots: str | Slot) -> dict[str, tuple[str, int] | None]:
    """For each image (a text that begins with "@") the caption and how many share it; ? where it is unclear."""
    made = [
        slot if not isinstance(slot, str) else image(slot[1:]) if slot.startswith("@") else TextSlot(slot)
        for slot in slots
    ]
    found = find_row_captions(made)
    names = [slot[1:] if isinstance(slot, str) and slot.startswith("@") else None for slot in slots]
    return {
        name: None if index in found.unclear else (made[found.of[index].slot].text, found.of[index].image_count)  # type: ignore[union-attr]
        for index, name in enumerate(names)
        if name is not None and (index in found.of or index in found.unclear)
    }


def test_a_caption_belongs_to_the_image_above_it():
    assert whose("Text.", "@a", "Fig. 1. A celt.", "Text.") == {"a": ("Fig. 1. A celt.", 1)}
    assert whose("@a", caption("A celt."), "Text.") == {"a": ("A celt.", 1)}


def test_running_text_is_no_caption_and_ends_a_row():
    assert whose("@a", "Figure 3 shows a celt.") == {}
    assert whose("@a", "Text.", caption("A celt.")) == {}


def test_as_many_captions_as_images_are_taken_in_order():
    pairs = {"a": ("Fig. 1. A.", 1), "b": ("Fig. 2. B.", 1)}
    assert whose("@a", "@b", "Fig. 1. A.", "Fig. 2. B.") == pairs
    assert whose("@a", "Fig. 1. A.", "@b", "Fig. 2. B.") == pairs


def test_one_caption_belongs_to_all_images_of_its_row_with_labels_between():
    assert whose("@a", "a", "@b", "(b)", "@c", "c\nBiscuit ware.", "Fig. 8. Legs.") == dict.fromkeys(
        "abc", ("Fig. 8. Legs.", 3)
    )
    assert whose("@a", caption("Fig. 54."), "@b", caption("Fig. 55."), caption("Grotesque figures.")) == dict.fromkeys(
        "ab", ("Grotesque figures.", 2)
    )


def test_numbers_say_how_many_images_a_caption_has():
    row = whose("@a", "@b", "@c", "@d", "Figs. 10-12. Three cups.", "Fig. 13. A vase.")
    assert row == {**dict.fromkeys("abc", ("Figs. 10-12. Three cups.", 3)), "d": ("Fig. 13. A vase.", 1)}
    row = whose("@a", "@b", "@c", "Fig. 4. A vase.", "Figures 5 and 6. Two cups.")
    assert row == {"a": ("Fig. 4. A vase.", 1), **dict.fromkeys("bc", ("Figures 5 and 6. Two cups.", 2))}


def test_what_nobody_can_say_is_unclear():
    assert whose("@a", "@b", "@c", "Fig. 4. A vase.", "Fig. 5. A cup.") == dict.fromkeys("abc")


def test_of_several_captions_behind_one_image_the_first_counts():
    assert whose("@a", caption("A celt."), caption("Photograph by the author.")) == {"a": ("A celt.", 1)}


def test_captions_stand_above_where_a_block_begins_with_them_and_ends_with_images():
    assert whose("Text.", caption("A cup."), "@a", caption("A vase."), "@b", "Text.") == {
        "a": ("A cup.", 1),
        "b": ("A vase.", 1),
    }
    assert whose(caption("Of an image that is gone."), "@a", caption("A cup.")) == {"a": ("A cup.", 1)}


def test_a_table_out_of_order_is_put_into_the_order_of_its_numbers():
    slots = ["@a", "Fig. 224. B.", "@b", "@c", "Fig. 223. A.", "Fig. 225. C."]
    assert whose(*slots) == {"a": ("Fig. 223. A.", 1), "b": ("Fig. 224. B.", 1), "c": ("Fig. 225. C.", 1)}
    apart = ["@b", "Fig. 2. B.", "@a", "Fig. 1. A."]  # each right below its image: nothing to put in order
    assert whose(*apart) == {"a": ("Fig. 1. A.", 1), "b": ("Fig. 2. B.", 1)}


def test_the_caption_of_a_table_is_no_image_s():
    assert whose("@a", "Table 2. Sizes.", TextSlot("1 | 2", TextKind.TABLE)) == {}


def test_a_caption_on_another_page_is_no_image_s():
    assert whose("@a", TextSlot("Fig. 1. A celt.", page=2)) == {}
