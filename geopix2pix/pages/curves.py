"""Curves as SVG that takes its colours from the page: a mean over neighbours in a band that holds most of them."""

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean, quantiles

from geopix2pix.pages.markup import Markup, element

WIDTH, HEIGHT = 360, 170  # units that are pixels on a telephone
LEFT, BOTTOM, TOP, RIGHT = 46, 22, 8, 8  # what is left for numbers, for half of the highest one, and for a ring
POINTS = 80  # of a curve: one for four pixels
Point = tuple[float, float]


def curve(points: Sequence[Point], label: str, *, end: float, marked: float | None = None) -> Markup:
    """The points (x, y), x rising and at most `end`, as a line; one that is `marked` by its x gets a ring.

    Where there are more points than can be seen, the line is the mean of neighbours, the band holds 8 in 10 of them.
    """
    if not points:
        return element("p", "Nothing yet.", class_="note")
    groups = list(_groups(points))
    bands = [_spread([y for _, y in group]) for group in groups]
    means = [(fmean(x for x, _ in group), fmean(y for _, y in group)) for group in groups]
    ticks = _ticks(min(low for low, _ in bands), max(high for _, high in bands))
    low, high = min(ticks[0], *(b[0] for b in bands)), max(ticks[-1], *(b[1] for b in bands))
    floor = HEIGHT - BOTTOM

    def place(x: float, y: float) -> str:
        across, up = x / max(end, 1e-9), (y - low) / (high - low)
        return f"{LEFT + across * (WIDTH - LEFT - RIGHT):.1f} {floor - up * (floor - TOP):.1f}"

    edge = [place(x, top) for (x, _), (_, top) in zip(means, bands, strict=True)]
    edge += [place(x, bottom) for (x, _), (bottom, _) in reversed(list(zip(means, bands, strict=True)))]
    parts = [*_axes(ticks, end, place), element("path", d=f"M{'L'.join(edge)}Z", class_="band")]
    parts.append(element("path", d="M" + "L".join(place(*point) for point in means) + "h0", class_="line"))
    for x, y in points:
        if x == marked:
            across, down = place(x, y).split()
            tip = element("title", f"{x:g}: {y:.4g}")
            parts.append(element("circle", tip, cx=across, cy=down, r=4.5, class_="drift"))
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="chart curve", role="img", aria_label=label)


def _groups(points: Sequence[Point]) -> Iterator[Sequence[Point]]:
    count = min(len(points), POINTS)
    for i in range(count):
        yield points[i * len(points) // count : (i + 1) * len(points) // count]


def _spread(values: Sequence[float]) -> Point:
    """What holds 8 in 10 values; of few, all."""
    if len(values) < 10:
        return min(values), max(values)
    tenths = quantiles(values, n=10)
    return tenths[0], tenths[-1]


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, two to six, that lie in or around the range."""
    size = max(abs(low), abs(high), 1e-30)
    span = high - low if high - low > 1e-6 * size else size
    power = 10.0 ** math.floor(math.log10(span / 2))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 4)
    first = math.floor(low / step)
    return [step * n for n in range(first, max(math.ceil(high / step), first + 1) + 1)]


def _axes(ticks: Sequence[float], end: float, place: Callable[[float, float], str]) -> Iterator[Markup]:
    for y in ticks:
        across, down = map(float, place(0, y).split())
        yield element("path", d=f"M{LEFT} {down}H{WIDTH}", class_="grid")
        yield element("text", f"{y:.6g}", x=across - 6, y=down + 4, class_="end")
    for x in (0.0, end):
        across, _ = map(float, place(x, ticks[0]).split())
        yield element("text", f"{x:,.6g}", x=across, y=HEIGHT - 6, class_="end" if x else "start")
