"""Finds what the rules on Chinese paragraphs are about; lengths are counted in characters that are not blank.

Two of the rules are OmniCorpus' by name; the words, and the other rules, are ours (see the table of rules).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from domainvl.corpus.filtering.characters import Counts

_MEASURED_CHARACTERS = 200
_PHRASES: Mapping[str, Sequence[str]] = {
    "zh-credit": ("来源：", "来源:", "作者：", "作者:", "摄影：", "摄影:", "图片来自", "供图", "记者 "),
    "zh-read-more": ("阅读全文", "查看全文", "点击查看", "阅读更多", "展开全文", "查看更多", "阅读原文"),
    "zh-advertisement": ("广告", "推广链接", "立即购买", "限时优惠", "点击购买"),
    "zh-social": ("点赞", "转发", "关注我们", "关注公众号", "扫码", "扫一扫", "二维码", "分享到", "收藏本"),
    "zh-contact": ("微信号", "客服电话", "联系电话", "咨询热线", "客服QQ", "QQ群", "加微信"),
    "zh-copyright": ("版权所有", "转载请注明", "未经授权", "免责声明", "侵权", "版权归"),
    "zh-navigation": ("上一篇", "下一篇", "返回首页", "当前位置", "返回顶部", "网站地图"),
    "zh-editor": ("责任编辑", "责编", "编辑：", "编辑:", "校对："),
    "zh-related": ("相关阅读", "推荐阅读", "延伸阅读", "相关文章", "热门推荐", "猜你喜欢"),
    "zh-login": ("登录", "注册账号", "发表评论", "忘记密码", "立即注册"),
}
_DATE_TIME = re.compile(r"\d{4}年\d{1,2}月|\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}:[0-5]\d")


def find_chinese(texts: Sequence[str], counts: Sequence[Counts], joined: str) -> list[dict[str, float]]:
    """Find what Chinese rules are about.

    Args:
        texts: All paragraphs of a document.
        counts: What was counted in each.
        joined: All of them in one.

    Returns:
        For each paragraph values by codes of rules.
    """
    present = [(code, phrase) for code, phrases in _PHRASES.items() for phrase in phrases if phrase in joined]
    seen: dict[str, int] = {}
    hits = []
    for text, count in zip(texts, counts, strict=True):
        found: dict[str, float] = {}
        if count.characters <= _MEASURED_CHARACTERS:
            found.update({code: count.solid for code, phrase in present if phrase in text})
            if count.digits > 2 and _DATE_TIME.search(text):
                found["zh-dates"] = count.solid
        earlier = seen.get(text, 0)
        if earlier:
            found["zh-duplicates"] = earlier
        seen[text] = earlier + 1
        hits.append(found)
    return hits
