"""For each rule one document that it must take from, and one of each field that the field's profile must leave whole.

A document is a list of slots: a text, a pair of kind and text (``h2`` for a heading of rank 2), or an image.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from domainvl.interleaved.documents import Document, ImageSlot, Origin, Slot, TextKind, TextSlot

Shorthand: TypeAlias = Sequence[str | tuple[str, str] | ImageSlot]

FIELDS = ("medical", "remote-sensing", "driving")


@dataclass(frozen=True)
class Case:
    """Documents for a rule.

    Attributes:
        dropped: The rule takes something away from it.
        kept: By field, what the field's profile must leave as it is.
    """

    dropped: Shorthand
    kept: dict[str, Shorthand]


def make_document(slots: Shorthand, url: str = "https://example.org/page") -> Document:
    """Make a document of the shorthand."""
    origin = Origin("html", "page.html")
    return Document("document", tuple(map(_make_slot, slots)), url=url, origin=origin)


def _make_slot(slot: str | tuple[str, str] | ImageSlot) -> Slot:
    if isinstance(slot, ImageSlot):
        return slot
    if isinstance(slot, str):
        return TextSlot(slot)
    kind, text = slot
    if kind.startswith("h") and kind[1:].isdigit():
        return TextSlot(text, TextKind.HEADER, int(kind[1:]))
    return TextSlot(text, TextKind(kind))


def image(name: str = "a.png", width_px: int = 640, height_px: int = 480, **facts: float) -> ImageSlot:
    """Make an image."""
    return ImageSlot(f"https://example.org/{name}" if name else "", width_px, height_px, **facts)  # type: ignore[arg-type]


def _varied_paragraphs(count: int) -> list[str]:
    """Make paragraphs of two sentences that repeat nothing."""
    draw = random.Random(0)

    def sentence() -> str:
        words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(3, 8))) for _ in range(9)]
        return f"The {' '.join(words[:4])} of {' '.join(words[4:])}."

    return [f"{sentence()} {sentence()}" for _ in range(count)]


# Ordinary texts of the fields, which no rule is about.
CHEST = "The heart is of normal size. The lungs are clear, and there is no effusion. The bones are intact."
SCENE = "The scene shows farmland in the north. A river crosses it from the west. Clouds cover the eastern edge."
ROAD = "A cyclist crosses from the right. The van ahead is braking. The light is green, and the road is wet."
PROSE = "The house stands by the river, and it is old. People have come with their boats to see it."
LONG = _varied_paragraphs(40)
CHINESE = "这座老房子在河边，已经有一百多年的历史了。许多人带着船来看它，也有人在花园里散步。"
PLAIN: dict[str, Shorthand] = {"medical": [CHEST], "remote-sensing": [SCENE], "driving": [ROAD]}


def _same(*texts: str | tuple[str, str] | ImageSlot) -> dict[str, Shorthand]:
    """Give each field its own one of three slots, before an ordinary text of it."""
    return {field: [text, *PLAIN[field]] for field, text in zip(FIELDS, texts, strict=True)}


def _only(*documents: Shorthand) -> dict[str, Shorthand]:
    return dict(zip(FIELDS, documents, strict=True))


_FINDINGS = _only(
    ["No acute cardiopulmonary abnormality."], ["Dense urban fabric, cloud free."], ["Stationary queue ahead."]
)
_SERIES = _only(
    ["Left lung: clear.", "Right lung: clear."] * 3,
    ["Tile 3: water body.", "Tile 4: water body."] * 3,
    ["Frame 3: road clear.", "Frame 4: road clear."] * 3,
)
_LABELS = _same("Normal.", "Forest.", "Cyclist.")
_TABLE_ROWS = _same("12.4 13.1 118 62.5 7.40", "50.1234 14.4211 512", "1242 375 721.54 609.56")
# A phrase that comes back every few words, so that its n-grams repeat while no paragraph does.
_REFRAIN = [f"Item {number} we buy and sell all kinds of old used cars for cash today." for number in range(40)]

_IMAGES: dict[str, tuple[dict[str, float], dict[str, float], dict[str, float], dict[str, float]]] = {
    "image-side": (
        {"width_px": 149, "height_px": 200}, {"width_px": 128, "height_px": 128}, {"width_px": 64, "height_px": 64},
        {"width_px": 48, "height_px": 52},
    ),
    "image-aspect": (
        {"width_px": 1001, "height_px": 500}, {"width_px": 400, "height_px": 1600},
        {"width_px": 6000, "height_px": 500}, {"width_px": 1242, "height_px": 375},
    ),
    "image-p-hash-count": (
        {"p_hash_dup_count": 11}, {"p_hash_dup_count": 400}, {"p_hash_dup_count": 90}, {"p_hash_dup_count": 50}
    ),
    "image-d-hash-count": (
        {"d_hash_dup_count": 11}, {"d_hash_dup_count": 400}, {"d_hash_dup_count": 90}, {"d_hash_dup_count": 50}
    ),
    "image-aesthetic": (
        {"aesthetic_prob": 3.69}, {"aesthetic_prob": 2.9}, {"aesthetic_prob": 3.1}, {"aesthetic_prob": 3.3}
    ),
    "image-unsafe": ({"unsafe_prob": 0.81}, {"unsafe_prob": 0.95}, {"unsafe_prob": 0.6}, {"unsafe_prob": 0.3}),
}  # fmt: skip


def _image_cases() -> dict[str, Case]:
    return {
        code: Case([*LONG, image(**facts[0])], _same(*(image(**fact) for fact in facts[1:])))  # type: ignore[arg-type]
        for code, facts in _IMAGES.items()
    }


def _gram_cases() -> dict[str, Case]:
    top = {
        f"gopher-top-{size}-gram": Case(["buy it now sir " * 3 + "before the end of day"], _SERIES)
        for size in (2, 3, 4)
    }
    repeated = {f"gopher-duplicate-{size}-grams": Case(_REFRAIN, _SERIES) for size in range(5, 11)}
    return top | repeated


def _chinese(dropped: str, *kept: str) -> Case:
    """Put Chinese cases together: what is dropped stands behind an ordinary paragraph; a bar parts paragraphs."""
    return Case([CHINESE, dropped] if dropped else [CHINESE], _only(*(text.split("|") for text in kept)))


def _chinese_cases() -> dict[str, Case]:
    return {
        "zh-credit": _chinese(
            "来源：新华社 摄影：王明", "标本来源：左肺上叶。", "数据来源：哨兵二号。", "数据来源：前视相机。"
        ),
        "zh-duplicates": _chinese(
            CHINESE, "双肺清晰。|心影正常。|双肺清晰。", "植被覆盖。|水体。|植被覆盖。", "前方畅通。|减速。|前方畅通。"
        ),
        "zh-short": _chinese("房子", "未见异常", "水体", "左转"),
        "zh-read-more": _chinese("点击查看全文", "全文报告已归档。", "点位查看完毕。", "展开左侧车道。"),
        "zh-advertisement": _chinese("广告", "双肺清晰。", "屋顶面积较大。", "右侧有广告牌。"),
        "zh-social": _chinese("请关注我们，扫码有礼", "扫描完成，关注随访。", "扫描线缺失。", "关注右侧行人。"),
        "zh-contact": _chinese("咨询热线：12345678", "电话通知临床医生。", "联系地面站。", "驾驶员在打电话。"),
        "zh-dates": _chinese(
            "2023年5月4日 12:30", "2023年5月4日复查，结节缩小。", "成像时间：2023年5月4日。", "12:30 车辆减速。"
        ),
        "zh-copyright": _chinese("版权所有，转载请注明出处", "病灶侵犯胸膜。", "土地所有权图斑。", "行人优先通行权。"),
        "zh-navigation": _chinese("当前位置：首页", "导管当前位置良好。", "卫星当前位置已知。", "车辆当前位置：匝道。"),
        "zh-editor": _chinese("责任编辑：李华", "报告医师已审核。", "几何校正完成。", "责任车辆在左侧。"),
        "zh-related": _chinese("相关阅读", "与既往相关检查比较。", "相关系数较高。", "相关车辆已停。"),
        "zh-login": _chinese("登录后发表评论", "图像配准良好。", "影像注册完成。", "车辆登记完成。"),
        "zh-characters": _chinese("", "未见明显异常。", "云量较少。", "前方有行人。"),
        "zh-digits": _chinese("40012345678", "双肺清晰。|1204512311", "植被覆盖。|5012341442", "前方畅通。|1242375721"),
    }


CASES: dict[str, Case] = {
    "gopher-words": Case([PROSE], _FINDINGS),
    "gopher-word-length": Case(
        ["Pneumonoultramicroscopic extraordinarily misunderstandings disproportionately"],
        _only(
            ["1.2.840.113619.2.176.3596.3364818.7271.1259708501.876"],
            ["S2A_MSIL2A_20210603T101031_N0300_R022_T32UPU_20210603T134500"],
            ["n015-2018-07-24-11-22-45+0800__CAM_FRONT__1532402927612460.jpg"],
        ),
    ),
    "gopher-symbols": Case(
        ["#house #river #boats and the #garden of it"],
        _only(["Fracture of rib #4."], ["Sentinel tile #33 missing."], ["Camera #2 is blocked."]),
    ),
    "gopher-bullet-lines": Case(
        ["• a house\n• a river\n• a garden"],
        _only(
            ["• Lungs: clear\n• Heart: normal"], ["• Band 4: red\n• Band 8: infrared"], ["• Lane: left\n• Speed: 50"]
        ),
    ),
    "gopher-ellipsis-lines": Case(["The house...", "The river...", "It is old."], PLAIN),
    "gopher-letters": Case(["12 14 15 16 18 house 12.5 21 23 42"], _TABLE_ROWS),
    "gopher-stop-words": Case(["Old house, big garden, many boats, long river."], _FINDINGS),
    "gopher-duplicate-lines": Case(["One line.", "One line.", "Other.", "One line."], _SERIES),
    "gopher-duplicate-paragraphs": Case(["One line.", "One line.", "Other.", "One line."], _SERIES),
    "gopher-duplicate-line-characters": Case(["One line.", "One line.", "Other."], _SERIES),
    "gopher-duplicate-paragraph-characters": Case(["One line.", "One line.", "Other."], _SERIES),
    **_gram_cases(),
    "omni-line-breaks": Case(
        ["The house.\n\n\n\n\nThe river."],
        _only(
            ["FINDINGS: clear.\n\n\n\n\n\nIMPRESSION: normal."], ["BANDS\n\n\n\n\n\nB2 B3 B4"],
            ["LOG\n\n\n\n\n\nbrake on"],
        ),
    ),
    "omni-word-frequency": Case(
        ["cheap cars and cheap vans, cheap boats, cheap"],
        _only(["No fracture. No effusion."], ["Water. No water."], ["Stop. Go. Stop."]),
    ),
    "c4-word-length": Case(["The word " + "a" * 1001 + " is long."], PLAIN),
    "c4-terminal-punctuation": Case(
        ["The house stands by the river and is old"],
        _same("Small left pleural effusion", "Landsat 8 scene of 3 May", "Pedestrian on the left kerb"),
    ),
    "c4-line-words": Case(["Old house."], _same("Normal study.", "Bare soil.", "Lane change.")),
    "c4-javascript": Case(
        ["Please enable JavaScript in your browser."],
        _same(
            "Review of scripts is part of the radiology course.", "The Earth Engine API is used from JavaScript.",
            "The driver follows the script of the test.",
        ),
    ),
    "c4-policy": Case(
        ["This site uses cookies, as most do."],
        _same(
            "Privacy of patients is kept.", "The policy of open data applies to Sentinel scenes.",
            "The terms of the data set allow research use.",
        ),
    ),
    "c4-lorem-ipsum": Case(["Lorem ipsum dolor sit amet."], PLAIN),
    "c4-curly-bracket": Case(
        ["if (ready) { start(); }"],
        _same(r"\frac{SUV_{max}}{SUV_{mean}} was 2.1.", r"NDVI = \frac{B8-B4}{B8+B4}.", "Pose {x: 1.2, y: 0.4}."),
    ),
    "c4-sentences": Case(["One house. Two rivers. Three boats. Four trees."], _FINDINGS),
    **_image_cases(),
    "hf-line-breaks": Case(
        ["The house stands\nby the river."],
        _same("Lungs: clear\nHeart: normal", "Band 2: blue\nBand 3: green", "Speed: 30 km/h\nHeading: north"),
    ),
    "hf-underscores": Case(
        ["The house" + "_" * 15 + "the river."],
        _same("Side: ____ (left or right).", "File S2A_MSIL1C_T33UUP.", "Topic /cam_front_left/image_raw."),
    ),
    "hf-video-field": Case(
        ["[Video] The house by the river."],
        _same("Video fluoroscopy shows aspiration.", "A video of the flood from orbit.", "Video of the toll."),
    ),
    "hf-urls": Case(
        ["See https://example.org/a?b=c for the house."],
        _same(
            "Data: https://example.org/vqa-rad", "Scenes are at https://example.org/sentinel/33UUP",
            "The log is at https://example.org/drive/0001",
        ),
    ),
    "hf-incomplete-ends": Case(
        ["The house is old. It stands by the"],
        _only(["Stable. Compared with the prior"], ["No cloud. Haze in the south"], ["Brakes. Then the car ahead"]),
    ),
    "hf-citation-marks": Case(
        [*LONG, "The house is old [1].", "[1] A. Mason. Houses by rivers. 2001."],
        _only(
            ["Ground glass is not specific [12].", "[12] M. Reader. Nodules. 2017."],
            ["Clouds were masked [3] before.", "[3] K. Key. Burn ratios. 2006."],
            ["KITTI [5] is the base.", "[5] A. Geiger. Are we ready? 2012."],
        ),
    ),
    "hf-download-link": Case(
        ["For details on the house, ask the owner."],
        _same(
            "For details on the sequence see table 2.", "For details on the sensor see the handbook.",
            "For details on the lidar see the handbook.",
        ),
    ),
    "hf-credit": Case(
        ["Special thanks to all who came."],
        _same(
            "The guideline published by the Fleischner Society applies.", "Published by the agency daily.",
            "The code published by the ministry has the signs.",
        ),
    ),
    "hf-author-year": Case(
        ["Houses by rivers are old (Mason, 2001)"],
        _same(
            "Nodules below 6 mm need no follow-up (MacMahon, 2017)", "Burn ratios separate scars (Key & Benson, 2006)",
            "Fatigue doubles the risk (Dingus, 2016)",
        ),
    ),
    "hf-uppercase": Case(
        ["BUY THE OLD HOUSE NOW."],
        _same("NO ACUTE CARDIOPULMONARY ABNORMALITY.", "NDVI AND NDWI OF THE SCENE.", "PEDESTRIAN ON THE CROSSING."),
    ),
    "hf-digits": Case(["12345 67890 11121"], _same("1204512311", "501234144211512", "1242375721609")),
    "hf-social-counter": Case(
        ["The old house has 12 likes"], _same("Comment", "Land cover, in hectares and share", "Modal share")
    ),
    "hf-one-word": Case(["House."], _LABELS),
    "hf-short-keyword": Case(
        ["Sign in to see the house."],
        _same("The halo sign in aspergillosis.", "The sign in the interferogram is negative.", "A stop sign in fog."),
    ),
    "hf-flagged-paragraph": Case(
        ["Porn and more of it."],
        _same("Uses porn daily, he says.", "The breast of the glacier is bare.", "The naked road has no marking."),
    ),
    "hf-comments": Case(
        [PROSE, ("h2", "12 Comments"), "A fine house, I say."],
        _only(
            [("h2", "Comments"), "Correlate with the clinical picture."], [("h2", "Comments"), "Haze is not masked."],
            [("h2", "Comments"), "The left camera was dirty."],
        ),
    ),
    "hf-boilerplate": Case(
        ["Our Services for houses are good."],
        _same(
            "Seen by Emergency Medical Services at noon.", "Copernicus Land Services map the fire.",
            "Clips of dashcams from YouTube are part of the set.",
        ),
    ),
    "hf-characters": Case(["A house."], _LABELS),
    "hf-empty-heading": Case(
        [("h2", "Houses"), ("h2", "Rivers"), PROSE],
        _only(
            [("h2", "Technique"), ("h2", "Findings"), CHEST], [("h2", "Bands"), ("h2", "Scenes"), SCENE],
            [("h2", "Weather"), ("h2", "Events"), ROAD],
        ),
    ),
    "hf-read-more": Case(
        ["The house is for sale... read more"],
        _same(
            "Readers may read more than one series. All of them are stored.",
            "The networks learn more from many dates. Two dates are the least.",
            "The camera cannot see more of the lane. A radar helps.",
        ),
    ),
    "hf-image-caption": Case(
        [PROSE, image(), "Photo of the house"],
        _only(
            [image(), "MRI image of the left knee", CHEST], [image(), "Source: Sentinel-2 image of Prague", SCENE],
            [image(), "Image of the front camera", ROAD],
        ),
    ),
    "hf-image-source": Case([*LONG, image("page.html")], _same(image("cxr.png"), image("s2.tif"), image("front.jpg"))),
    "hf-advertisement": Case(
        ["Advertisement"],
        _same(
            "The advertisement for the trial named the dose.", "Advertisement boards are bright roofs here.",
            "An advertisement hides the sign.",
        ),
    ),
    "hf-dictionary-page": Case(["House: a building.", "Word of the Day", "Take the quiz"], PLAIN),
    "hf-two-words": Case(["Old house."], _LABELS),
    "hf-four-words": Case(["An old house there."], _FINDINGS),
    "hf-things-to-do": Case(
        [("list", "Things to do in the old town")],
        _same(
            ("list", "Thing to exclude: pneumothorax"), ("list", "Steps to do: mask, mosaic"),
            ("list", "Manoeuvres to do: merge, turn"),
        ),
    ),
    "hf-numbered-references": Case(
        [*LONG, "[1] A. Mason. Houses by rivers. 2001."],
        _only(
            [CHEST, "[12] M. Reader. Nodules in context. Radiology, 2017."], [SCENE, "[3] K. Key. Burn ratios. 2006."],
            [ROAD, "[5] A. Geiger. Are we ready for driving? 2012."],
        ),
    ),
    "hf-reference-section": Case(
        [*LONG, ("h2", "References"), "Mason, Houses by rivers."],
        _only(
            [CHEST, ("h2", "References"), "Reader, Nodules."], [SCENE, ("h2", "References"), "Key, Burn ratios."],
            [ROAD, ("h2", "References"), "Geiger, Are we ready for driving?"],
        ),
    ),
    "hf-sponsor": Case(
        [PROSE, "Sponsored by the town"],
        _same(
            "The trial was sponsored by the hospital.", "The mission is sponsored by two agencies.",
            "The log comes from a sponsored drive.",
        ),
    ),
    "hf-contact-line": Case(
        ["Write to owner@example.org"],
        _same("Compared with 2023-05-04, unchanged.", "Acquired 2023/05/04 in orbit 22.", "Run of 04/05/2023."),
    ),
    "hf-bracketed-end": Case(
        [PROSE, "(The owner has not read this.)"],
        _only(
            [CHEST, "(No prior study for comparison.)"], [SCENE, "(Clouds are masked in white.)"],
            [ROAD, "(The rear camera was off.)"],
        ),
    ),
    "hf-social-ending": Case(
        ["The house in many reviews"],
        _same("Sent to the clinic for review", "Radiometry against the references", "Incident for later review"),
    ),
    "hf-social-phrase": Case(
        ["For more info ask the owner."],
        _same("For more details see table 2.", "For more details see the band list.", "For more details see the log."),
    ),
    "hf-phone": Case(
        ["Call 555-123-4567 and ask for the old house by the river, if you please."],
        _same(
            "Telephoned to Dr Smith at 555-123-4567 in the afternoon, with the findings read back.",
            "The operator of the ground station, 555-123-4567, confirmed the gap in the pass.",
            "The truck has a painted number, 555-123-4567, and blocks the right lane at the exit.",
        ),
    ),
    "hf-date-time": Case(
        ["The house was sold at 12:30 today."],
        _same("Nodule new since May 4, 2023.", "Acquired on May 4, 2023 at 10:05.", "At 12:30:15 the car brakes."),
    ),
    "hf-byline": Case(
        ["By Anna Mason"], _same("By ultrasound, the kidney is normal.", "By May, snow is gone.", "By 12 s, it turns.")
    ),
    **_chinese_cases(),
    "hf-words": Case([PROSE], _FINDINGS),
    "hf-word-length": Case(
        ["Extraordinarily misunderstandings disproportionately."],
        _only(
            ["1.2.840.113619.2.176.3596.3364818.7271.1259708501.876"],
            ["S2A_MSIL2A_20210603T101031_N0300_R022_T32UPU_20210603T134500"],
            ["n015-2018-07-24-11-22-45+0800__CAM_FRONT__1532402927612460.jpg"],
        ),
    ),
    "hf-letters": Case(["12 14 15 16 18 house 12.5 21 23 42"], _TABLE_ROWS),
    "hf-stop-words": Case(["Old house, big garden, many boats, long river."], _FINDINGS),
    "hf-flagged-document": Case(
        ["Porn and more of it."],
        _same("Uses porn daily, he says.", "The breast of the glacier is bare.", "The naked road has no marking."),
    ),
    "hf-words-an-image": Case(
        [PROSE, image("1.png"), image("2.png"), image("3.png")],
        {field: [*texts, *(image(f"{number}.png") for number in range(6))] for field, texts in PLAIN.items()},
    ),
    "hf-short-paragraphs": Case(["The house is old.", "The river is long.", "The boats are many."], _FINDINGS),
    "document-texts": Case([image()], {field: [image(), *texts] for field, texts in PLAIN.items()}),
}  # fmt: skip

URLS = {"hf-dictionary-page": "https://www.merriam-webster.com/dictionary/house"}
"""Addresses of the documents that rules must take from, where they matter."""
