"""The picture: bars for each page size, as an SVG that follows the light or dark mode of the reader.

The SVG is written by hand, as plotting libraries do not leave colours to the style of the reader.
"""

from collections.abc import Mapping
from html import escape
from typing import Final

from benchmarks.speed.contestant import BYTES, ORJSON, Contestant
from benchmarks.speed.rates import Rates

_WIDTH: Final = 860
_LABELS: Final = 190
_ROW: Final = 19
_TOP: Final = 52
_FONT: Final = "-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
_STYLE: Final = f"""
text {{ font: 12px {_FONT}; fill: #1f2328; }}
.title {{ font-weight: 600; }}
.mine {{ font-weight: 600; }}
.note {{ fill: #59636e; }}
rect {{ fill: #afb8c1; }}
rect.ours {{ fill: #0969da; }}
line {{ stroke: #59636e; stroke-dasharray: 3 3; }}
@media (prefers-color-scheme: dark) {{
  text {{ fill: #f0f6fc; }}
  .note {{ fill: #9198a1; }}
  rect {{ fill: #656c76; }}
  rect.ours {{ fill: #4493f8; }}
  line {{ stroke: #9198a1; }}
}}
"""


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'


def _panel(rates: Rates, shown: list[Contestant], left: float, width: float) -> list[str]:
    ratios = {each: rates.ratio(each, ORJSON).value for each in shown}
    scale = (width - 52) / max(1.0, *ratios.values())  # leaves room for a number beside the longest bar
    one, bottom = left + scale, _TOP + _ROW * len(shown)
    parts = [
        _text(left, 34, f"{rates.size} a page", "title"),
        f'<line x1="{one:.1f}" y1="{_TOP - 8}" x2="{one:.1f}" y2="{bottom}"/>',
    ]
    for row, (each, ratio) in enumerate(ratios.items()):
        y, long = _TOP + row * _ROW, max(1.0, ratio * scale)
        parts.append(f'<rect x="{left:.1f}" y="{y}" width="{long:.1f}" height="13" class="{each.kind}"/>')
        parts.append(_text(left + width - 16, y + 11, f"{ratio:.2f}", "mine" if each.kind == "ours" else "note", "end"))
    return parts


def draw(by_size: Mapping[int, Rates]) -> str:
    """Records per second of all contestants relative to aiohttp + orjson dicts, one panel per page size."""
    shown = [each for each in next(iter(by_size.values())).walks if each is not BYTES]
    height, width = _TOP + _ROW * len(shown) + 8, (_WIDTH - _LABELS) / len(by_size)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>Records a second against aiohttp + orjson into dicts; more is better</title>",
        f"<style>{_STYLE}</style>",
        _text(0, 14, "Records a second; aiohttp + orjson into dicts is 1; more is better", "note"),
    ]
    for row, each in enumerate(shown):
        style = "mine" if each.kind == "ours" else ""
        parts.append(_text(_LABELS - 10, _TOP + row * _ROW + 11, each.name, style, "end"))
    for column, rates in enumerate(by_size.values()):
        parts += _panel(rates, shown, _LABELS + column * width, width - 8)
    return "\n".join([*parts, "</svg>", ""])
