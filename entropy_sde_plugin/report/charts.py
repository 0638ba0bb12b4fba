"""Line charts as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ['COLOURS', 'Line', 'line_chart']

COLOURS = ('#2563eb', '#d97706', '#059669', '#db2777', '#7c3aed', '#0891b2', '#65a30d', '#57534e')
"""One after the other for the runs of a page."""

WIDTH, HEIGHT = 520, 260
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 12, 34
MOST_POINTS = 600


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        label: For the tooltip.
        colour: CSS.
        points: (x, y), in the order of x.
        spread: Half the height of a bar at each point, e.g. a standard deviation; empty for none.
        marked: Whether every point has a dot with a tooltip; else the points are drawn faint under a running mean.
    """

    label: str
    colour: str
    points: Sequence[tuple[float, float]]
    spread: Sequence[float] = ()
    marked: bool = False


class _Axis:
    """Values to pixels, and the ticks between."""

    def __init__(self, low: float, high: float, start: float, end: float, logarithmic: bool = False) -> None:
        self._of = math.log10 if logarithmic else float
        if low == high:
            margin = 0.05 * abs(low) or 1.0
            low, high = (low / 2, low * 2) if logarithmic else (low - margin, high + margin)
        self._low, self._high, self._start, self._end = self._of(low), self._of(high), start, end
        self.ticks = [v for v in (_decades(low, high) if logarithmic else _round_steps(low, high)) if low <= v <= high]

    def __call__(self, value: float) -> float:
        share = (self._of(value) - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)


def line_chart(lines: Sequence[Line], label: str, logarithmic: bool = False) -> str:
    """Draw lines over the iterations of a training.

    Args:
        lines: What to draw; points that are not finite, or not positive on a logarithmic axis, are left out.
        label: What a screen reader says.
        logarithmic: Whether the vertical axis is.

    Returns:
        An ``<svg>`` element; empty without any points.
    """
    shown = [(line, _visible(line, logarithmic)) for line in lines]
    shown = [(line, points) for line, points in shown if points]
    if not shown:
        return ''
    xs = [x for _, points in shown for x, _, _ in points]
    lows = [y - spread for _, points in shown for _, y, spread in points]
    highs = [y + spread for _, points in shown for _, y, spread in points]
    across = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    up = _Axis(*_padded(min(lows), max(highs), logarithmic), HEIGHT - BOTTOM, TOP, logarithmic)
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">']
    parts += [_grid(up(y), _number(y)) for y in up.ticks]
    parts += [_tick(across(x), _number(x)) for x in across.ticks]
    for line, points in shown:
        parts += _marked(line, points, across, up) if line.marked else _smoothed(line, points, across, up)
    return ''.join([*parts, '</svg>'])


_Point = tuple[float, float, float]


def _visible(line: Line, logarithmic: bool) -> list[_Point]:
    spread = line.spread or [0.0] * len(line.points)
    return [
        (x, y, s)
        for (x, y), s in zip(line.points, spread, strict=True)
        if math.isfinite(y) and (y > 0 or not logarithmic)
    ]


def _padded(low: float, high: float, logarithmic: bool) -> tuple[float, float]:
    if logarithmic or low == high:
        return low, high
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _marked(line: Line, points: Sequence[_Point], across: _Axis, up: _Axis) -> list[str]:
    parts = [_path([(x, y) for x, y, _ in points], line.colour, across, up, 'stroke-width="2"')]
    for x, y, spread in points:
        if spread:
            parts.append(
                f'<line x1="{across(x)}" x2="{across(x)}" y1="{up(y - spread)}" y2="{up(y + spread)}" '
                f'stroke="{line.colour}" stroke-width="1.5"/>'
            )
        about = f'{line.label}: {_number(y)}{f" ± {_number(spread)}" if spread else ""} at {_number(x)}'
        dot = f'<circle cx="{across(x)}" cy="{up(y)}" r="3.5" fill="{line.colour}">'
        parts.append(f'{dot}<title>{escape(about)}</title></circle>')
    return parts


def _smoothed(line: Line, points: Sequence[_Point], across: _Axis, up: _Axis) -> list[str]:
    every = math.ceil(len(points) / MOST_POINTS)
    raw = [(x, y) for x, y, _ in points]
    window = max(1, len(raw) // 40)
    mean = [
        (raw[i][0], sum(y for _, y in raw[max(0, i + 1 - window) : i + 1]) / min(window, i + 1))
        for i in range(len(raw))
    ]
    faint = _path(raw[::every], line.colour, across, up, 'stroke-width="1" stroke-opacity="0.28"') if window > 1 else ''
    return [faint, _path(mean[::every], line.colour, across, up, 'stroke-width="2"')]


def _path(points: Sequence[tuple[float, float]], colour: str, across: _Axis, up: _Axis, style: str) -> str:
    d = 'M' + 'L'.join(f'{across(x)} {up(y)}' for x, y in points)
    return f'<path d="{d}" fill="none" stroke="{colour}" stroke-linejoin="round" {style}/>'


def _grid(y: float, text: str) -> str:
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" class="grid"/>'
        f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{text}</text>'
    )


def _tick(x: float, text: str) -> str:
    bottom = HEIGHT - BOTTOM
    return (
        f'<line x1="{x}" x2="{x}" y1="{bottom}" y2="{bottom + 5}" class="tick"/>'
        f'<text x="{x}" y="{bottom + 20}" text-anchor="middle">{text}</text>'
    )


def _round_steps(low: float, high: float) -> list[float]:
    """At most six spans of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 between them where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if len(powers) > 4 else (1, 2, 5)
    return [factor * 10.0**power for power in powers for factor in factors]


def _number(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e6:
        return f'{value:.0e}'.replace('e-0', 'e-').replace('e+0', 'e')
    return f'{value:,.4g}' if abs(value) < 1000 else f'{value:,.0f}'
