"""Plans a conversion: finds the scenes, what is known about each, which belong together, and their splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domainvl.conversion import Plan
from domainvl.errors import ItemError, UsageError
from domainvl.schema import Reject, Severity, Split, assign_split

from .enhancing import Enhancement, check_scenes, find_enhancement, open_enlarger
from .headers import SceneHeader, look_at_header
from .labels.truth import ClassCover, FoundTruths, Truth, VectorObjects, find_truths, label_files
from .looks import shared_limits
from .products import Product
from .products.discovery import find_products
from .products.roles import find_sensor
from .scene_grid import GridRequest
from .settings import GeotiffSettings
from .split_areas import read_split_areas
from .split_scenes import group_scenes, taken_ground
from .splitting import Blocks, SplitRule
from .stretch import Stretch

_BLOCK_TILES = 4
"""Side of a block in tiles, where nothing is said."""


@dataclass(frozen=True)
class Scene:
    """One scene, with what is known about it.

    Attributes:
        product: The scene.
        truth: What is known; None where it is only shown beside another date.
        date: Its date, where it is known.
    """

    product: Product
    truth: Truth | None
    date: str | None = None


@dataclass(frozen=True)
class Site:
    """What is converted on one grid: a scene, or several of one place in the order of their dates.

    Attributes:
        name: Start of all sample ids.
        uri: Names it in messages.
        scenes: The scenes; the grid is that of the first.
        rule: How its tiles are put into splits.
        shared_limits: Limits of the stretch, by band name, where they are those of all scenes together.
        enhancement: What enlarges it before it is cut into tiles.
    """

    name: str
    uri: str
    scenes: tuple[Scene, ...]
    rule: SplitRule
    shared_limits: tuple[tuple[str, Stretch], ...] = ()
    enhancement: Enhancement | None = None

    def files(self) -> list[Path]:
        """Return the local files that are read to convert it: those of its scenes and of their labels."""
        paths: list[Path] = []
        for scene in self.scenes:
            product = scene.product
            paths += [Path(product.locate(path)) for _, path in product.files]
            paths += label_files(scene.truth).values()
        return list(dict.fromkeys(paths))


def plan_sites(source: Path, settings: GeotiffSettings, *, need_labels: bool = True) -> Plan[Site]:
    """Plan a conversion.

    Args:
        source: File or folder.
        settings: The converter's settings.
        need_labels: Whether there must be labels; without, all scenes are planned.

    Raises:
        UsageError: If a setting or the label file is wrong as a whole.
        NothingToDoError: If there is no scene.
    """
    settings.check()
    products, rejects = find_scenes(source, settings)
    has_labels = need_labels or settings.labels is not None
    found = find_truths(products, settings) if has_labels else FoundTruths()
    wanted = [product for product in products if settings.series or not has_labels or product.uri in found.truths]
    enhancement = None if settings.enhance is None else find_enhancement(settings.enhance)
    if enhancement is not None:
        check_scenes(wanted, settings, open_enlarger(enhancement.source))
    headers = look_at_headers(wanted, settings, enhancement)
    scenes = [Scene(product, found.truths.get(product.uri), headers[product.uri].date) for product in wanted]
    groups = group_scenes({product.name: headers[product.uri].footprint for product in wanted})
    gathered = _gather(scenes, groups, rejects) if settings.series else [(scene,) for scene in scenes]
    if settings.series and has_labels:
        gathered = _with_labels(gathered, found, settings.label_date, rejects)
    rules = _split_rules(gathered, groups, headers, settings, rejects)
    shown = {scene.product.uri for site in gathered for scene in site}
    rejects += [reject for reject in found.rejects if reject.input not in shown]
    units = [
        Site(_name_of(site), site[0].product.uri, site, rules[site[0].product.name], enhancement=enhancement)
        for site in gathered
        if site[0].product.name in rules
    ]
    if settings.stretch_scope == "dataset":
        shown_products = [scene.product for unit in units for scene in unit.scenes]
        limits = shared_limits(shown_products, settings, grid_request(settings))
        units = [replace(unit, shared_limits=limits) for unit in units]
    sources = {uri: Path(product.locate(path)) for product in products for uri, path in product.files}
    return Plan(units=units, sources=sources | found.sources, rejects=rejects)


def find_scenes(source: Path, settings: GeotiffSettings) -> tuple[list[Product], list[Reject]]:
    """List the scenes of an input, and the inputs that are none.

    Raises:
        UsageError: If the one file that is named is no scene, or there is no such sensor.
        NothingToDoError: If there is no scene.
    """
    if settings.sensor is not None:
        find_sensor(settings.sensor)
    found = find_products(source, allow_remote=settings.remote)
    root = source if source.is_dir() else source.parent
    products, labels = _without_labels(found.products, settings.labels, source)
    products = [product.below(root) for product in products]
    if settings.sensor is not None:
        products = [
            product if product.bands else replace(product, sensor=settings.sensor, is_sensor_stated=True)
            for product in products
        ]
    return products, [*found.rejects, *labels]


def _without_labels(
    products: Sequence[Product], labels: Path | None, source: Path
) -> tuple[list[Product], list[Reject]]:
    """Leave out rasters of classes that lie among the scenes: pictures of the answers."""
    if labels is None or (labels.is_dir() and source.resolve().is_relative_to(labels.resolve())):
        return list(products), []
    scenes, rejects = [], []
    for product in products:
        if Path(product.path).resolve().is_relative_to(labels.resolve()):
            message = "it is what --labels names, and no scene"
            rejects.append(Reject(product.uri, "plan", "label-file", message, severity=Severity.SKIPPED))
        else:
            scenes.append(product)
    return scenes, rejects


def look_at_headers(
    products: Sequence[Product], settings: GeotiffSettings, enhancement: Enhancement | None = None
) -> dict[str, SceneHeader]:
    """Read the headers of all scenes, by uri.

    A scene that cannot be opened has an empty header here; the unit that opens it says why.
    """
    headers = {}
    for product in products:
        try:
            headers[product.uri] = look_at_header(product, grid_request(settings, enhancement))
        except ItemError:
            headers[product.uri] = SceneHeader(product.date, None, None)
    return headers


def _gather(scenes: Sequence[Scene], groups: Mapping[str, str], rejects: list[Reject]) -> list[tuple[Scene, ...]]:
    """Put the scenes of one place together, in the order of their dates; each date once."""
    by_place: dict[str, list[Scene]] = {}
    for scene in scenes:
        by_place.setdefault(groups[scene.product.name], []).append(scene)
    sites = []
    for place in by_place.values():
        dated: dict[str, Scene] = {}
        for scene in sorted(place, key=lambda scene: (scene.date or "", scene.product.uri)):
            if scene.date is None and len(place) > 1:
                rejects.append(_no_date(scene))
            elif scene.date is not None and scene.date in dated:
                other = dated[scene.date].product.uri
                message = f"{other} shows the same place on {scene.date}"
                rejects.append(
                    Reject(scene.product.uri, "plan", "same-date", message, "Leave one of them", Severity.SKIPPED)
                )
            else:
                dated[scene.date or ""] = scene
        if dated:
            sites.append(tuple(dated.values()))
    return sorted(sites, key=lambda site: site[0].product.uri)


def _with_labels(
    sites: Sequence[tuple[Scene, ...]], found: FoundTruths, label_date: str | None, rejects: list[Reject]
) -> list[tuple[Scene, ...]]:
    """Leave to each scene the labels that describe it; sites without any are left out."""
    labelled = []
    told = {reject.input for reject in found.rejects}
    for site in sites:
        kept = _with_labels_of_one_date(site, label_date)
        if any(scene.truth is not None for scene in kept):
            labelled.append(kept)
        elif any(scene.truth is not None for scene in site):
            dates = ", ".join(scene.date or "unknown" for scene in site)
            message = f"no scene of this place is of --label-date {label_date}; there is {dates}"
            action = "Name in --label-date the date that the labels describe"
            rejects.append(Reject(site[0].product.uri, "plan", "no-labelled-date", message, action))
        else:
            rejects += [_without_truth(scene) for scene in site if scene.product.uri not in told]
    return labelled


def _without_truth(scene: Scene) -> Reject:
    return Reject(scene.product.uri, "plan", "no-labels", "nothing is known about it", "Add its labels")


def _with_labels_of_one_date(site: tuple[Scene, ...], label_date: str | None) -> tuple[Scene, ...]:
    """Leave labels that are the same for all scenes to the one that they describe: that of a date, or the latest."""
    truths = [scene.truth for scene in site]
    if not isinstance(truths[0], VectorObjects | ClassCover) or any(truth != truths[0] for truth in truths):
        return site
    described = [scene for scene in site if label_date is None or (scene.date or "").startswith(label_date)]
    return tuple(scene if described and scene is described[-1] else replace(scene, truth=None) for scene in site)


def _split_rules(
    sites: Sequence[tuple[Scene, ...]],
    groups: Mapping[str, str],
    headers: Mapping[str, SceneHeader],
    settings: GeotiffSettings,
    rejects: list[Reject],
) -> dict[str, SplitRule]:
    """Say for each site, by the name of its first scene, how its tiles are put into splits."""
    firsts = [site[0] for site in sites]
    buffer_px = settings.overlap_px if settings.split_buffer_px is None else settings.split_buffer_px
    rules = {scene.product.name: SplitRule(groups[scene.product.name], buffer_px=buffer_px) for scene in firsts}
    match settings.split_by:
        case "block":
            side_m = _block_side_m(firsts, headers, settings)
            blocks = Blocks(side_m, settings.split_fractions(), hides_place=settings.location != "keep")
            return {name: replace(rule, blocks=blocks) for name, rule in rules.items()}
        case "area" if settings.split_areas is not None:
            areas = read_split_areas(settings.split_areas)
            return {name: replace(rule, areas=areas) for name, rule in rules.items()}
        case "date":
            rejects += [_no_date(scene) for scene in firsts if scene.date is None]
            rejects += [_vague_date(site[-1], settings) for site in sites if _is_vague(site[-1].date, settings)]
            # Scenes of one place may lie on both sides of a date: that is what such a split tests. Of a series the last
            # date counts, so that nothing that is held out is trained on.
            dates = {site[0].product.name: site[-1].date for site in sites}
            return {
                name: replace(rule, group=name, split=_split_of_date(date, settings))
                for name, rule in rules.items()
                if (date := dates[name]) is not None and not _is_vague(date, settings)
            }
    fractions = settings.split_fractions()
    footprints = {scene.product.name: headers[scene.product.uri].footprint for scene in firsts}
    taken = taken_ground(footprints, {name: assign_split(rule.group, fractions) for name, rule in rules.items()})
    return {name: replace(rule, taken=taken[name]) for name, rule in rules.items()}


def _split_of_date(date: str, settings: GeotiffSettings) -> Split:
    if settings.test_from is not None and date >= settings.test_from:
        return Split.TEST
    if settings.val_from is not None and date >= settings.val_from:
        return Split.VAL
    return Split.TRAIN


def _is_vague(date: str | None, settings: GeotiffSettings) -> bool:
    """Say whether a date is too short to tell on which side of a bound it lies: 2020 of 2020-06."""
    bounds = [bound for bound in (settings.val_from, settings.test_from) if bound is not None]
    return date is not None and any(bound.startswith(date) and bound != date for bound in bounds)


def _vague_date(scene: Scene, settings: GeotiffSettings) -> Reject:
    bounds = " and ".join(bound for bound in (settings.val_from, settings.test_from) if bound is not None)
    message = f"its date is {scene.date}, which may lie on both sides of {bounds}"
    return Reject(scene.product.uri, "plan", "vague-date", message, "Put the day into its name as YYYYMMDD")


def _block_side_m(scenes: Sequence[Scene], headers: Mapping[str, SceneHeader], settings: GeotiffSettings) -> float:
    sides_m = [gsd_m * settings.tile_px for scene in scenes if (gsd_m := headers[scene.product.uri].gsd_m) is not None]
    if settings.split_block_m is None:
        if not sides_m:
            raise UsageError(
                "Cannot split by blocks",
                rule="no scene says how large its pixels are on the ground",
                action="Give the side of a block in --split-block-m, or use --split-by scene",
            )
        return float(f"{_BLOCK_TILES * sides_m[0]:.3g}")
    if sides_m and settings.split_block_m < max(sides_m):
        raise UsageError(
            "Cannot split by blocks",
            rule=f"--split-block-m must be at least the side of a tile, {max(sides_m):g} m, "
            f"got {settings.split_block_m:g}",
        )
    return settings.split_block_m


def grid_request(settings: GeotiffSettings, enhancement: Enhancement | None = None) -> GridRequest:
    """Return what the settings ask of the grid; the native one where nothing enlarges it."""
    snap_px = settings.tile_px - settings.overlap_px if settings.align == "geo" else None
    scale = 1 if enhancement is None else enhancement.scale
    return GridRequest(settings.crs, settings.gsd_m, snap_px, scale)


def _name_of(site: Sequence[Scene]) -> str:
    more = f"+{len(site) - 1}" if len(site) > 1 else ""
    return f"{site[0].product.name}{more}"


def _no_date(scene: Scene) -> Reject:
    return Reject(
        scene.product.uri,
        "plan",
        "no-date",
        "neither its metadata nor its name says when it was taken",
        "Put the date into its name as YYYYMMDD",
    )
