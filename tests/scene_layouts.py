"""Writes scenes as their producers deliver them, small and with exactly the pixels that a test states.

Layouts and tags: ESA, Sentinel-2 Products Specification Document (compact naming); USGS, Landsat Collection 2 data
format control books; STAC item specification.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

CRS = "EPSG:32631"
EAST_M, NORTH_M = 600_000.0, 5_600_040.0
"""Upper left corner of every product, in CRS."""

S2_NAME = "S2A_MSIL2A_20230701T104631_N0509_R051_T31UFT_20230701T170000"
LANDSAT_NAME = "LC09_L2SP_199025_20240616_20240617_02_T1"

_S2_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_S2_GSD = {"B01": 60, "B02": 10, "B03": 10, "B04": 10, "B08": 10, "B09": 60, "B10": 60, "TCI": 10, "SCL": 20}


def write_raster(path: Path, pixels: np.ndarray, gsd_m: float, *, crs: str | None = CRS) -> Path:
    """Write pixels of shape (height, width) or (bands, height, width), as JPEG 2000 without loss or as GeoTIFF."""
    pixels = pixels[np.newaxis] if pixels.ndim == 2 else pixels
    options: dict[str, Any] = {"driver": "GTiff"}
    if path.suffix == ".jp2":
        options = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
    count, height, width = pixels.shape
    options |= {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", crs=crs, transform=from_origin(EAST_M, NORTH_M, gsd_m, gsd_m), **options) as dataset:
        dataset.write(pixels)
    return path


def write_safe(
    parent: Path,
    bands: Mapping[str, np.ndarray],
    *,
    name: str = S2_NAME,
    baseline: str = "05.09",
    offset: int | None = -1000,
    quantification: int = 10_000,
    missing: Mapping[str, int] | None = None,
    suffix: str = ".jp2",
) -> Path:
    """Write a Sentinel-2 product; its level is that of its name.

    Args:
        parent: Folder to write it in.
        bands: Pixels of shape (height, width) by band, in its native resolution: ``"B04"``; or in the one stated:
            ``"B04_20m"``. TCI and SCL too.
        name: Of the product, without .SAFE.
        baseline: Processing baseline.
        offset: The same for all bands; None where the metadata has none, as before baseline 04.00.
        quantification: Stored value of reflectance 1, without the offset.
        missing: Bands that the metadata names and that have no file, with their resolution in metres.
        suffix: ``.jp2`` as ESA delivers, or ``.tif``.

    Returns:
        The folder that ends in .SAFE.
    """
    safe = parent / f"{name}.SAFE"
    level, tile, start = name[7:10], name.split("_")[5], name.split("_")[2]
    granule = f"GRANULE/{level}_{tile}_A041904_{start}/IMG_DATA"
    images = {key: _s2_image(key, level, f"{tile}_{start}") for key in bands}
    for key, (image, gsd_m) in images.items():
        write_raster(safe / granule / f"{image}{suffix}", bands[key], gsd_m)
    named = [image for image, _ in images.values()]
    named += [_s2_image(f"{key}_{gsd_m}m", level, f"{tile}_{start}")[0] for key, gsd_m in (missing or {}).items()]
    text = _s2_metadata(level, baseline, offset, quantification, [f"{granule}/{image}" for image in named])
    safe.mkdir(parents=True, exist_ok=True)
    (safe / f"MTD_MSI{level}.xml").write_text(text)
    return safe


def _s2_image(key: str, level: str, stem: str) -> tuple[str, int]:
    band, _, stated = key.partition("_")
    gsd_m = int(stated.removesuffix("m")) if stated else _S2_GSD.get(band, 20)
    return (f"{stem}_{band}", gsd_m) if level == "L1C" else (f"R{gsd_m}m/{stem}_{band}_{gsd_m}m", gsd_m)


def _s2_metadata(level: str, baseline: str, offset: int | None, quantification: int, images: list[str]) -> str:
    digit = level[1:]
    radiometry = (
        ("RADIO_ADD_OFFSET", "Radiometric_Offset_List")
        if level == "L1C"
        else ("BOA_ADD_OFFSET", "BOA_ADD_OFFSET_VALUES_LIST")
    )
    ids = range(len(_S2_IDS)) if offset is not None else ()
    offsets = "".join(f'<{radiometry[0]} band_id="{index}">{offset}</{radiometry[0]}>' for index in ids)
    value = f'<QUANTIFICATION_VALUE unit="none">{quantification}</QUANTIFICATION_VALUE>'
    if level == "L2A":
        value = (
            f'<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">{quantification}'
            "</BOA_QUANTIFICATION_VALUE><AOT_QUANTIFICATION_VALUE>1000.0</AOT_QUANTIFICATION_VALUE>"
            "</QUANTIFICATION_VALUES_LIST>"
        )
    files = "".join(f"<IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{digit}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{digit}.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>2023-07-01T10:46:31.024Z</PRODUCT_START_TIME>
      <PROCESSING_LEVEL>Level-{digit}</PROCESSING_LEVEL>
      <PRODUCT_TYPE>S2MSI{digit}</PRODUCT_TYPE>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
      <Datatake datatakeIdentifier="GS2A_20230701T104631_041904_N05.09">
        <DATATAKE_SENSING_START>2023-07-01T10:46:31.024Z</DATATAKE_SENSING_START>
      </Datatake>
      <Product_Organisation><Granule_List><Granule imageFormat="JPEG2000">{files}</Granule></Granule_List>
      </Product_Organisation>
    </Product_Info>
    <Product_Image_Characteristics>
      <Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
      </Special_Values>
      {value}
      <{radiometry[1]}>{offsets}</{radiometry[1]}>
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-{digit}_User_Product>
"""


def write_landsat(
    parent: Path,
    bands: Mapping[str, np.ndarray],
    *,
    name: str = LANDSAT_NAME,
    metadata: tuple[str, ...] = ("txt",),
    collection: str = "02",
    missing: tuple[str, ...] = (),
    own_folder: bool = True,
) -> Path:
    """Write a Landsat product; level and satellite are those of its name.

    Args:
        parent: Folder to write it in.
        bands: Pixels of shape (height, width) by the end of their key: ``"4"``, ``"ST_B10"``, ``"6_VCID_1"``.
        name: The product identifier.
        metadata: Forms of the metadata: ``txt``, ``xml``, ``json``.
        collection: Number of the collection.
        missing: Keys of bands that the metadata names and that have no file.
        own_folder: Whether it lies in a folder of its own name, or in ``parent`` itself.

    Returns:
        The folder. Factors: reflectance x 0.0000275 - 0.2 and temperature x 0.00341802 + 149 in Level 2; in Level 1
        reflectance x 0.00002 - 0.1 and thermal radiance x 0.0003342 + 0.1.
    """
    folder = parent / name if own_folder else parent
    is_level_2 = name[5:7] == "L2"
    files = {key: f"{name}_{_landsat_end(key, is_level_2)}.TIF" for key in (*bands, *missing)}
    for key, pixels in bands.items():
        write_raster(folder / files[key], pixels, 15 if key == "8" else 30)
    quality = f"{name}_QA_PIXEL.TIF"
    shape = next(iter(bands.values())).shape if bands else (2, 2)
    write_raster(folder / quality, np.ones(shape, np.uint16), 30)
    groups = _landsat_groups(name, collection, files, quality, is_level_2)
    writers = {"txt": _odl, "xml": _landsat_xml, "json": _landsat_json}
    for form in metadata:
        (folder / f"{name}_MTL.{form}").write_text(writers[form](groups))
    return folder


def _landsat_end(key: str, is_level_2: bool) -> str:
    if not key[0].isdigit():
        return key
    return f"SR_B{key}" if is_level_2 else f"B{key}"


def _landsat_groups(
    name: str, collection: str, files: Mapping[str, str], quality: str, is_level_2: bool
) -> dict[str, dict[str, str]]:
    reflective = [key for key in files if key[0].isdigit()]
    satellite, date = name[3], name.split("_")[3]
    contents = {"LANDSAT_PRODUCT_ID": name, "PROCESSING_LEVEL": name[5:9], "COLLECTION_NUMBER": collection}
    contents |= {f"FILE_NAME_BAND_{key}": file for key, file in files.items()}
    contents["FILE_NAME_QUALITY_L1_PIXEL"] = quality
    sensors = {"C": "OLI_TIRS", "E": "ETM", "T": "TM", "M": "MSS"}
    groups = {
        "PRODUCT_CONTENTS": contents,
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": f"LANDSAT_{satellite}",
            "SENSOR_ID": sensors[name[1]],
            "DATE_ACQUIRED": f"{date[:4]}-{date[4:6]}-{date[6:]}",
        },
        "PROJECTION_ATTRIBUTES": {
            "GRID_CELL_SIZE_PANCHROMATIC": "15.00",
            "GRID_CELL_SIZE_REFLECTIVE": "30.00",
            "GRID_CELL_SIZE_THERMAL": "30.00",
        },
    }
    if is_level_2:
        groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"] = _factors("REFLECTANCE", reflective, "2.75e-05", "-0.2")
        thermal = [key for key in files if key.startswith("ST_")]
        groups["LEVEL2_SURFACE_TEMPERATURE_PARAMETERS"] = _factors("TEMPERATURE", thermal, "0.00341802", "149.0")
        # A Level-2 file has the groups of its input too, with the same keys and other values.
        groups["LEVEL1_PROCESSING_RECORD"] = {f"FILE_NAME_BAND_{key}": f"INPUT_B{key}.TIF" for key in reflective}
    groups["LEVEL1_RADIOMETRIC_RESCALING"] = _factors("RADIANCE", reflective, "3.3420E-04", "0.10000") | _factors(
        "REFLECTANCE", reflective, "2.0000E-05", "-0.100000"
    )
    return groups


def _factors(quantity: str, keys: list[str], mult: str, add: str) -> dict[str, str]:
    return {f"{quantity}_MULT_BAND_{key}": mult for key in keys} | {f"{quantity}_ADD_BAND_{key}": add for key in keys}


def _odl(groups: Mapping[str, Mapping[str, str]]) -> str:
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for group, keys in groups.items():
        lines.append(f"  GROUP = {group}")
        lines += [f"    {key} = {value if _is_number(value) else json.dumps(value)}" for key, value in keys.items()]
        lines.append(f"  END_GROUP = {group}")
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _landsat_xml(groups: Mapping[str, Mapping[str, str]]) -> str:
    inner = "".join(
        f"<{group}>{''.join(f'<{key}>{value}</{key}>' for key, value in keys.items())}</{group}>"
        for group, keys in groups.items()
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<LANDSAT_METADATA_FILE>{inner}</LANDSAT_METADATA_FILE>\n'


def _landsat_json(groups: Mapping[str, Mapping[str, str]]) -> str:
    return json.dumps({"LANDSAT_METADATA_FILE": groups})


def write_stac_item(
    path: Path, assets: Mapping[str, Mapping[str, Any]], *, version: str = "1.0.0", **properties: Any
) -> Path:
    """Write a STAC item.

    Args:
        path: The .json file.
        assets: Its assets as they stand in the item.
        version: Of the specification.
        properties: Its properties; ``processing_baseline`` and ``boa_offset_applied`` get the prefix they have.
    """
    prefixed = {"processing_baseline": "s2:processing_baseline", "boa_offset_applied": "earthsearch:boa_offset_applied"}
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": version,
        "id": path.stem,
        "geometry": None,
        "links": [],
        "properties": {"datetime": "2023-07-01T10:46:31.024000Z"}
        | {prefixed.get(key, key): value for key, value in properties.items()},
        "assets": assets,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(item))
    return path
