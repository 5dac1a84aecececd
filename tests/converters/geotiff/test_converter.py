import subprocess
import sys

from domainvl.conversion import load_converter
from domainvl.converters.geotiff import CONVERTER, GeotiffSettings


def test_it_is_found_by_its_name():
    assert load_converter("geotiff") is CONVERTER
    assert CONVERTER.settings_type is GeotiffSettings


def test_importing_it_imports_no_heavy_library():
    script = (
        "import sys, domainvl.converters.geotiff;"
        "print(sorted({'rasterio', 'pyogrio', 'shapely', 'torch', 'affine'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
