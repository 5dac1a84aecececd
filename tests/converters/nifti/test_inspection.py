import numpy as np
import pytest

from domainvl.converters.nifti import CONVERTER, NiftiSettings
from domainvl.converters.nifti.generate import NAMES_FILE, generate_volumes


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nifti") / "in"
    generate_volumes(folder, patient_count=2, seed=0)
    return folder


def test_a_row_a_file_and_a_sheet(volumes):
    look = CONVERTER.inspect(volumes, NiftiSettings(class_names=volumes / NAMES_FILE))

    assert [dict(zip(look.columns, row, strict=True)) for row in look.rows] == [
        {
            "file": "patient-0001\nfile-0001", "size": "64 x 56 x 20", "volumes": "1", "spacing mm": "2 x 2 x 5",
            "axes": "LPS", "values": "int16", "window of the file": "none", "slices": "20 axial\nuniform",
            "masks": "organ, lesion",
        },
        {
            "file": "patient-0002\nfile-0001", "size": "64 x 56 x 20", "volumes": "1", "spacing mm": "2 x 2 x 5",
            "axes": "LAS", "values": "int16", "window of the file": "none", "slices": "20 axial\nuniform",
            "masks": "organ, lesion",
        },
    ]  # fmt: skip
    assert look.contact_sheet.dtype == np.uint8
    assert look.contact_sheet.shape[2] == 3
    assert look.rejects == []


def test_what_cannot_be_shown_is_listed(tmp_path, write):
    voxels = np.random.default_rng(0).integers(0, 99, (9, 8, 3, 9)).astype(np.int16)
    write(
        tmp_path / "a.nii", voxels, unit=None, window=(0, 50), change=lambda image: image.header.set_slope_inter(2, 1)
    )
    path = write(tmp_path / "b.nii.gz", voxels)
    path.write_bytes(path.read_bytes()[:-900])
    look = CONVERTER.inspect(tmp_path, NiftiSettings(plane="coronal"))

    first = dict(zip(look.columns, look.rows[0], strict=True))
    assert (first["volumes"], first["values"], first["window of the file"], first["slices"], first["masks"]) == (
        "8 of 9", "int16 x 2 +1", "0 to 50", "8 coronal\nuniform", "none"
    )  # fmt: skip
    assert {reject.reason for reject in look.rejects} == {"volume-limit", "truncated"}
    assert look.contact_sheet is not None


def test_the_command_line_offers_the_settings(volumes, tmp_path):
    import typer
    from typer.testing import CliRunner

    from domainvl.cli.convert import _make_command

    app = typer.Typer()
    app.command()(_make_command(CONVERTER))
    sheet = tmp_path / "sheet.png"
    names = str(volumes / NAMES_FILE)
    done = CliRunner().invoke(
        app, [str(volumes), "--inspect", "--plane", "sagittal", "--class-names", names, "--contact-sheet", str(sheet)]
    )

    assert done.exit_code == 0, done.output
    assert sheet.is_file()
