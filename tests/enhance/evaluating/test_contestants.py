"""Who takes part: every network in every mode that it has, bicubic always, and nobody who does not fit."""

import pytest
import torch

from domainvl.enhance.checkpoint import Enhancer, save_checkpoint
from domainvl.enhance.evaluating.contestants import Bicubic, make_field, open_field
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.pairs.records import PairIndex, View
from domainvl.errors import UsageError


def view(bands):
    return View(bands=bands, dtype="uint8", low=(0.0,) * bands, high=(255.0,) * bands)


def index(low_bands=3, high_bands=3, mosaic=False):
    return PairIndex(
        scale=2, layout="folders", mosaic=mosaic, low_view=view(low_bands), high_view=view(high_bands), settings={},
        counts={}, rejected={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    def make(mosaic=False, **settings):
        settings = NetworkSettings(
            **{"scale": 2, "in_bands": 3, "out_bands": 3, "features": 8, "blocks": 1, "pack_block": 2, **settings}
        )
        network = MisalignedSR(settings)
        network.initialise(0)
        folder = tmp_path_factory.mktemp("checkpoint")
        enhancer = Enhancer(
            network=settings, low_view=view(settings.in_bands), high_view=view(settings.out_bands), mosaic=mosaic
        )
        save_checkpoint(folder, network, enhancer)
        return str(folder)

    return make


def names(field):
    return [one.record.name for one in field.contestants]


def test_each_network_takes_part_in_each_mode_and_bicubic_always(checkpoint):
    sdan, plain = checkpoint(), checkpoint(alignment="none")
    field = open_field([sdan, plain], index(), ["zero", "self"])
    assert names(field) == ["bicubic-x2", f"{sdan}, zero offset", f"{sdan}, own colours", plain]
    assert field.headline == f"{sdan}, zero offset"
    assert field.bicubic == "bicubic-x2"


def test_the_modes_that_are_asked_for_are_entered(checkpoint):
    sdan = checkpoint()
    assert names(open_field([sdan], index(), ["self"])) == ["bicubic-x2", f"{sdan}, own colours"]


def test_a_network_that_was_trained_on_another_range_of_values_is_named(checkpoint):
    sdan, brighter = checkpoint(), view(3).model_copy(update={"high": (200.0,) * 3})
    assert not open_field([sdan], index(), ["zero"]).notes
    (note,) = open_field([sdan], index().model_copy(update={"low_view": brighter}), ["zero"]).notes
    assert note.startswith(f"{sdan} was trained on views of another type or range")


def test_bicubic_takes_part_once_even_if_named(checkpoint):
    sdan = checkpoint()
    assert names(open_field(["bicubic-x2", sdan], index(), ["zero"])) == ["bicubic-x2", f"{sdan}, zero offset"]


def test_bicubic_alone_is_nothing_to_compare():
    with pytest.raises(UsageError, match="no enhancer beside bicubic"):
        open_field(["bicubic-x2"], index(), ["zero"])


def test_a_name_that_is_given_twice_is_refused(checkpoint):
    sdan = checkpoint()
    with pytest.raises(UsageError, match="named twice"):
        open_field([sdan, sdan], index(), ["zero"])


def test_all_that_do_not_fit_are_named_before_anything_runs(checkpoint):
    of_four, other_scale, colours = checkpoint(in_bands=4), checkpoint(scale=4), checkpoint(out_bands=1)
    with pytest.raises(UsageError) as caught:
        open_field([of_four, other_scale, colours, "bicubic-x8"], index(), ["zero"])
    said = str(caught.value)
    assert "from 3 bands to 3 bands at x2" in said
    assert f"{of_four} takes 4 bands" in said
    assert f"{other_scale} enlarges x4" in said
    assert f"{colours} gives one band" in said
    assert "bicubic-x8 enlarges x8" in said


def test_mosaics_and_grey_views_are_not_mistaken_for_each_other(checkpoint):
    grey, mosaic = checkpoint(in_bands=1), checkpoint(in_bands=1, mosaic=True)
    with pytest.raises(UsageError, match="takes no raw mosaics"):
        open_field([grey], index(1, 3, mosaic=True), ["zero"])
    with pytest.raises(UsageError, match="takes raw mosaics"):
        open_field([mosaic], index(1, 3), ["zero"])


def test_a_mosaic_is_no_reference_and_the_reader_is_told(checkpoint):
    mosaic = checkpoint(in_bands=1, mosaic=True)
    field = open_field([mosaic], index(1, 3, mosaic=True), ["zero", "self"])
    assert names(field) == ["bicubic-x2", f"{mosaic}, zero offset"]
    assert "no row for its own colours" in field.notes[0]
    with pytest.raises(UsageError, match="no enhancer has the mode"):
        open_field([mosaic], index(1, 3, mosaic=True), ["self"])


def test_bicubic_does_not_take_part_where_bands_differ(checkpoint):
    of_four = checkpoint(in_bands=4)
    field = open_field([of_four], index(4, 3), ["zero"])
    assert names(field) == [f"{of_four}, zero offset"]
    assert field.bicubic is None
    assert "4 bands" in field.notes[0]


def test_own_colours_change_the_picture_of_an_aligned_network(checkpoint, pairs):
    field = open_field([checkpoint()], pairs.index, ["zero", "self"])
    low, _ = pairs.read(pairs.records[0])
    zero, own = (torch.from_numpy(one.picture(low)) for one in field.contestants[1:])
    assert not torch.allclose(zero, own)


def test_no_contestant_is_ever_given_the_truth(pairs, recalling):
    aligned = recalling(pairs, lambda high, low: high, takes_reference=True)
    field = make_field([("aligned", aligned)], pairs.index, ["zero", "self"])
    low, high = pairs.read(pairs.records[0])
    for contestant in field.contestants:
        contestant.picture(low)
    assert [None if one is None else one.size_px for one in aligned.references] == [None, low.size_px]
    assert (aligned.references[1].pixels == low.pixels).all()
    assert isinstance(field.contestants[0], Bicubic)
    assert high.size_px != low.size_px
