"""SVG: bars and dots over a common scale, written by hand, readable on light and dark pages.

Owns the drawing. A chart is rows with a label each; its text is text, so that it can be read, searched and scaled.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 860
_LABEL: Final = 270
_RIGHT: Final = 90
_ROW: Final = 26
_TOP: Final = 62
_SCALE: Final = 34
_COLOURS: Final = ("#3b7dd8", "#e0872c", "#5a9e4b", "#8a63b8")
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.t{font-weight:600;font-size:15px}.s{fill:#57606a;font-size:12px}"
    ".g{stroke:#d0d7de}rect.b{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.g{stroke:#3d444d}rect.b{fill:#0d1117}}"
)


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a value lies, and the values that are written below."""

    place: Callable[[float], float]
    ticks: Sequence[float]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a chart: segments that are stacked (bars), or points (dots), one for each key."""

    label: str
    values: Sequence[float]
    # Written behind it.
    note: str = ""


def bars(title: str, unit: str, keys: Sequence[str], rows: Sequence[Row]) -> str:
    """Draw stacked bars from zero."""
    most = max((sum(row.values) for row in rows), default=1.0) or 1.0
    ticks = _linear_ticks(most)

    def place(value: float) -> float:
        return _LABEL + value / max(most, ticks[-1]) * (_WIDTH - _LABEL - _RIGHT)

    parts = []
    for index, row in enumerate(rows):
        y, at = _TOP + index * _ROW, 0.0
        for number, value in enumerate(row.values):
            x = place(at)
            at += value
            parts.append(
                f'<rect x="{x:.1f}" y="{y + 4}" width="{max(place(at) - x, 0):.1f}" height="{_ROW - 9}" '
                f'fill="{_COLOURS[number % len(_COLOURS)]}"/>'
            )
        parts.append(f'<text class="s" x="{place(at) + 6:.1f}" y="{y + 18}">{escape(row.note)}</text>')
    return _frame((title, unit), keys, rows, Scale(place, ticks), parts)


def dots(title: str, unit: str, keys: Sequence[str], rows: Sequence[Row]) -> str:
    """Draw points on a logarithmic scale, with a line from the first to the last."""
    values = [value for row in rows for value in row.values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values) * 1.001))
    ticks = [10.0**power for power in range(low, high + 1)]

    def place(value: float) -> float:
        share = (math.log10(max(value, 10.0**low)) - low) / max(high - low, 1)
        return _LABEL + share * (_WIDTH - _LABEL - _RIGHT)

    parts = []
    for index, row in enumerate(rows):
        y = _TOP + index * _ROW + 13
        places = [place(value) for value in row.values]
        parts.append(f'<line class="g" x1="{places[0]:.1f}" x2="{places[-1]:.1f}" y1="{y}" y2="{y}" stroke-width="3"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{_COLOURS[number % len(_COLOURS)]}"/>'
            for number, x in enumerate(places)
        ]
        parts.append(f'<text class="s" x="{places[-1] + 9:.1f}" y="{y + 5}">{escape(row.note)}</text>')
    return _frame((title, unit), keys, rows, Scale(place, ticks), parts)


def _frame(words: tuple[str, str], keys: Sequence[str], rows: Sequence[Row], scale: Scale, parts: Sequence[str]) -> str:
    """Put title, unit, keys, scale and labels around what was drawn."""
    title, unit = words
    height = _TOP + len(rows) * _ROW + _SCALE
    bottom = height - _SCALE
    frame = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
            f'height="{height}" role="img" aria-label="{escape(title, quote=True)}"><style>{_STYLE}</style>'
            f'<rect class="b" width="{_WIDTH}" height="{height}" rx="6"/>'
            f'<text class="t" x="12" y="24">{escape(title)}</text>'
        )
    ]
    x = 12.0
    for number, key in enumerate(keys):
        frame.append(f'<circle cx="{x + 5}" cy="43" r="5" fill="{_COLOURS[number % len(_COLOURS)]}"/>')
        frame.append(f'<text class="s" x="{x + 15}" y="47">{escape(key)}</text>')
        x += 34 + 7 * len(key)
    for tick in scale.ticks:
        frame.append(
            f'<line class="g" x1="{scale.place(tick):.1f}" x2="{scale.place(tick):.1f}" y1="{_TOP}" y2="{bottom}"/>'
        )
        frame.append(
            f'<text class="s" x="{scale.place(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:,.10g}</text>'
        )
    frame.append(f'<text class="s" x="{_WIDTH - 12}" y="{bottom + 16}" text-anchor="end">{escape(unit)}</text>')
    labels = [
        f'<text x="{_LABEL - 10}" y="{_TOP + index * _ROW + 18}" text-anchor="end">{escape(row.label)}</text>'
        for index, row in enumerate(rows)
    ]
    return "\n".join([*frame, *labels, *parts, "</svg>"]) + "\n"


def _linear_ticks(most: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10(most))
    if most / step < 2:
        step /= 5
    elif most / step < 5:
        step /= 2
    return [step * number for number in range(int(most / step) + 1)]
