"""Counts, shares, sizes and times as people read them."""


def many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """A share as people read it: what is not nothing is not shown as 0 %, nor what is not all as 100 %."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.{1 if 0 < share < 0.1 or 0.99 < share < 1 else 0}f} %"


def area(square_metres: float) -> str:
    """An area as people read it."""
    return f"{square_metres / 1e6:,.3g} km²" if square_metres >= 1e4 else f"{square_metres:,.0f} m²"


def duration(seconds: float) -> str:
    """A time as people read it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
