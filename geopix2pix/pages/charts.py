"""Small charts as SVG that takes its colours from the page: stacked bars, histograms, offsets in the plane."""

from collections.abc import Iterator, Mapping, Sequence

from geopix2pix.pages.markup import Markup, element
from geopix2pix.pages.phrases import percent
from geopix2pix.palette import RGB

WIDTH, HEIGHT = 360, 190  # of a histogram, units that are pixels on a telephone
PLANE, INSET = 320, 26  # side of the plane of offsets, and what is left for numbers round it
RANGES = (1, 2, 3, 4, 6, 8, 12, 16, 24)  # pixels from the middle of the plane to its border


def stacked_bar(shares: Mapping[str, float], colors: Mapping[str, RGB], label: str) -> Markup:
    """Shares of a whole side by side, in the colours of the classes; what is left is empty."""
    parts, start = [], 0.0
    for name, share in shares.items():
        tip = element("title", f"{name}: {percent(share)}")
        width = max(1000 * share, 0)
        parts.append(element("rect", tip, x=start, width=width, height=20, fill=hexadecimal(colors[name])))
        start += width
    return element(
        "svg", *parts, viewBox="0 0 1000 20", preserveAspectRatio="none", class_="bar", role="img", aria_label=label
    )


def histogram(counts: Sequence[int], edges: Sequence[str], label: str, beyond: int | None = None) -> Markup:
    """A bar for each count between the written edges, one more than counts; from bar `beyond` on they are striking."""
    step, floor, top = WIDTH / len(counts), HEIGHT - 22, 18
    bars = []
    for i, count in enumerate(counts):
        height = (floor - top) * count / max(*counts, 1)
        if count:
            height = max(height, 1.5)
        kind = "column striking" if beyond is not None and i >= beyond else "column"
        tip = element("title", f"{edges[i]} to {edges[i + 1]}: {count:,}")
        bars.append(
            element("rect", tip, x=i * step + 1.5, y=floor - height, width=step - 3, height=height, class_=kind)
        )
        if count:
            bars.append(element("text", f"{count:,}", x=(i + 0.5) * step, y=floor - height - 5, class_="count"))
    texts = [
        element(
            "text", edge, x=i * step, y=HEIGHT - 6, class_="start" if i == 0 else "end" if i == len(counts) else "edge"
        )
        for i, edge in enumerate(edges)
    ]
    line = element("path", d=f"M0 {floor + 0.5}H{WIDTH}", class_="axis")
    return element(
        "svg", *bars, line, *texts, viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="chart", role="img", aria_label=label
    )


def plane(
    offsets: Sequence[tuple[float, float]], limit: float, common: Sequence[tuple[float, float]], label: str
) -> Markup:
    """Offsets (columns, rows) as dots round the place where they ought to be, with a ring at `limit` pixels."""
    longest = max((max(abs(cols), abs(rows)) for cols, rows in offsets), default=0.0)
    reach = next((r for r in RANGES if r >= max(longest, 1.25 * limit)), RANGES[-1])
    middle, unit = PLANE / 2, (PLANE / 2 - INSET) / reach
    dots = sorted({(round(middle + unit * cols), round(middle + unit * rows)) for cols, rows in offsets})
    return element(
        "svg",
        *_grid(reach, middle, unit),
        element("circle", cx=middle, cy=middle, r=unit * limit, class_="limit"),
        element("path", d="".join(f"M{x} {y}h0" for x, y in dots), class_="dots"),
        *(element("circle", cx=middle + unit * x, cy=middle + unit * y, r=5, class_="drift") for x, y in common),
        viewBox=f"0 0 {PLANE} {PLANE}",
        class_="chart square",
        role="img",
        aria_label=label,
    )


def swatch(color: RGB) -> Markup:
    """A small square of a colour."""
    square = element("rect", width=12, height=12, fill=hexadecimal(color))
    return element("svg", square, viewBox="0 0 12 12", class_="swatch", aria_hidden="true")


def hexadecimal(color: Sequence[int]) -> str:
    return f"#{bytes(color).hex()}"


def _grid(reach: float, middle: float, unit: float) -> Iterator[Markup]:
    """Lines at whole numbers of pixels, with the numbers to their left and below them."""
    step = next(step for step in (0.5, 1, 2, 4, 8) if reach / step <= 4)
    start, end = middle - unit * reach, middle + unit * reach
    for n in range(-round(reach / step), round(reach / step) + 1):
        at = middle + unit * n * step
        yield element(
            "path", d=f"M{start:.1f} {at:.1f}H{end:.1f}M{at:.1f} {start:.1f}V{end:.1f}", class_="grid" if n else "axis"
        )
        yield element("text", f"{n * step:g}", x=at, y=end + 15)
        yield element("text", f"{n * step:g}", x=start - 5, y=at + 4, class_="end")
