"""The picture: bars for each page size, as an SVG that follows the light or dark mode of the reader.

The SVG is written by hand, as plotting libraries do not leave colours to the style of the reader.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

import attrs

from benchmarks.speed.contestant import BYTES, ITEMS, ORJSON, PLAIN, Contestant
from benchmarks.speed.lists import ANSWERS, Answers
from benchmarks.speed.rates import SIZES, AllRates

_WIDTH: Final = 860
_LABELS: Final = 190
_ROW: Final = 19
_GAP: Final = 26
_TOP: Final = 44
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


@attrs.frozen
class _Row:
    """One row of bars: a contestant on one kind of answers, at this height."""

    top: int
    answers: Answers
    contestant: Contestant


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'


def _shown(rates: AllRates, answers: Answers) -> Sequence[Contestant]:
    """All contestants on documented answers; on the others ours and the typed SDK that is best at most page sizes."""
    here = [rates[answers, size] for size in SIZES]
    if answers == "documented":
        return [each for each in here[0].walks if each is not BYTES]
    best = [sdk for each in here if (sdk := each.best(typed=True)) is not None]
    return [each for each in (ITEMS, PLAIN, *([max(best, key=best.count)] if best else ())) if each in here[0].walks]


def _rows(rates: AllRates) -> Iterator[_Row]:
    top = _TOP
    for answers in ANSWERS:
        top += _GAP  # the title of the kind
        for contestant in _shown(rates, answers):
            yield _Row(top, answers, contestant)
            top += _ROW


def _panel(rates: AllRates, size: int, rows: Sequence[_Row], left: float, width: float) -> list[str]:
    ratios = [rates[row.answers, size].ratio(row.contestant, ORJSON).value for row in rows]
    scale = (width - 52) / max(1.0, *ratios)  # leaves room for a number beside the longest bar
    one, bottom = left + scale, rows[-1].top + _ROW
    parts = [
        _text(left, 34, f"{size} a page", "title"),
        f'<line x1="{one:.1f}" y1="{_TOP}" x2="{one:.1f}" y2="{bottom}"/>',
    ]
    for row, ratio in zip(rows, ratios, strict=True):
        kind, long = row.contestant.kind, max(1.0, ratio * scale)
        parts.append(f'<rect x="{left:.1f}" y="{row.top}" width="{long:.1f}" height="13" class="{kind}"/>')
        style = "mine" if kind == "ours" else "note"
        parts.append(_text(left + width - 16, row.top + 11, f"{ratio:.2f}", style, "end"))
    return parts


def draw(rates: AllRates) -> str:
    """Records per second relative to aiohttp + orjson dicts on the same answers, one panel per page size."""
    rows = [*_rows(rates)]
    height, width = rows[-1].top + _ROW + 8, (_WIDTH - _LABELS) / len(SIZES)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>Records a second against aiohttp + orjson into dicts; more is better</title>",
        f"<style>{_STYLE}</style>",
        _text(0, 14, "Records a second; aiohttp + orjson into dicts on the same answers is 1; more is better", "note"),
    ]
    for row, before in zip(rows, [None, *rows], strict=False):
        if before is None or row.answers != before.answers:
            parts.append(_text(0, row.top - 7, f"answers: {ANSWERS[row.answers]}", "title"))
        style = "mine" if row.contestant.kind == "ours" else ""
        parts.append(_text(_LABELS - 10, row.top + 11, row.contestant.name, style, "end"))
    for column, size in enumerate(SIZES):
        parts += _panel(rates, size, rows, _LABELS + column * width, width - 8)
    return "\n".join([*parts, "</svg>", ""])
