"""The worst and the best tiles as one picture: source, truth, prediction and errors side by side."""

import heapq
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from geopix2pix.grid import Window
from geopix2pix.measures.tally import Sample

Picture = npt.NDArray[np.uint8]

THUMBNAIL = 256  # pixels of the longer side of a tile
SHOWN = 4  # tiles at each end
GAP, LINE = 8, 18  # pixels between pictures, and of a line of text
COLUMNS = ("source", "truth", "prediction", "errors")
WHITE, GRAY, RED = (np.array(color, np.float32) for color in ((255, 255, 255), (128, 128, 128), (200, 0, 0)))
HARSH = 64.0  # grey levels of difference that are shown in full red, in pictures without classes


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A tile in four small pictures, which are filled block by block."""

    step: int
    """Every how many pixels one is shown."""
    pictures: tuple[Picture, ...]
    """In the order of `COLUMNS`, (rows, cols, 3)."""

    @classmethod
    def of(cls, width: int, height: int) -> "Thumbnail":
        step = -(-max(width, height) // THUMBNAIL)
        shape = (-(-height // step), -(-width // step), 3)
        return cls(step, tuple(np.full(shape, 128, np.uint8) for _ in COLUMNS))

    def add(self, core: Window, source: npt.NDArray[Any], sample: Sample, errors: Picture) -> None:
        """Fill in a block: the source in its own units, and the last band of `judging.error_bands`."""
        first_row, first_col = -core.row % self.step, -core.col % self.step
        picked = np.s_[..., first_row :: self.step, first_col :: self.step]
        rows = slice(-(-core.row // self.step), -(-core.bottom // self.step))
        cols = slice(-(-core.col // self.step), -(-core.right // self.step))
        known = sample.known[picked][..., None]
        seen = (
            _shown(source[picked]),
            np.where(known, _rgb(sample.true[picked]), GRAY),
            _rgb(sample.predicted[picked]),
            _marked(errors[picked], whole=sample.classes is None),
        )
        for picture, part in zip(self.pictures, seen, strict=True):
            picture[rows, cols] = part.round().clip(0, 255).astype(np.uint8)


def _rgb(levels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The first three bands (bands, rows, cols), or the first as grey, as (rows, cols, 3)."""
    return np.moveaxis(levels[:3] if len(levels) >= 3 else levels[[0, 0, 0]], 0, -1)


def _shown(source: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Bands as bytes; what is not stored in bytes is stretched between the percentiles 2 and 98 of the block."""
    picture = _rgb(source).astype(np.float32)
    if source.dtype == np.uint8 or picture.size == 0:
        return picture
    low, high = np.percentile(np.nan_to_num(picture), (2, 98))
    stretched: npt.NDArray[Any] = (np.nan_to_num(picture) - low) / max(high - low, np.finfo(np.float32).eps) * 255
    return stretched


def _marked(errors: Picture, *, whole: bool) -> npt.NDArray[Any]:
    """Errors in red on white, grey where nothing is known; those of pictures (`whole`) the redder the larger."""
    strength = np.minimum(errors / HARSH, 1) if whole else errors.astype(np.float32)
    marked: npt.NDArray[Any] = np.where((errors == 255)[..., None], GRAY, WHITE + strength[..., None] * (RED - WHITE))
    return marked


class Gallery:
    """The tiles at both ends of a score of which the higher is the better; it keeps no more than it shows."""

    def __init__(self) -> None:
        self._order = count()
        self._worst: list[tuple[float, int, str, Thumbnail]] = []
        self._best: list[tuple[float, int, str, Thumbnail]] = []

    def offer(self, score: float, title: str, thumbnail: Thumbnail) -> None:
        if score != score:
            return
        place = -next(self._order)  # of equal scores the first one stays
        for kept, sign in ((self._worst, -1), (self._best, 1)):
            heapq.heappush(kept, (sign * score, place, title, thumbnail))
            if len(kept) > SHOWN:
                heapq.heappop(kept)

    def png(self) -> bytes | None:
        """The worst tiles, the worst first, over the best ones, the best first; None if no tile has a score.

        A tile that is among both is shown once.
        """
        worst = [(title, thumbnail) for *_, title, thumbnail in sorted(self._worst, reverse=True)]
        best = [(title, thumbnail) for *_, title, thumbnail in sorted(self._best, reverse=True)]
        best = [shown for shown in best if shown[0] not in {title for title, _ in worst}]
        parts = [("worst tiles", worst), ("best tiles", best)]
        return _sheet([part for part in parts if part[1]]) if worst else None


def _sheet(parts: list[tuple[str, list[tuple[str, Thumbnail]]]]) -> bytes:
    """Titles and rows of pictures on white, as a PNG."""
    across = max(t.pictures[0].shape[1] for _, rows in parts for _, t in rows)
    width = len(COLUMNS) * (across + GAP) + GAP
    heights = [[t.pictures[0].shape[0] for _, t in rows] for _, rows in parts]
    height = GAP + sum(2 * LINE + sum(rows) + len(rows) * (LINE + GAP) for rows in heights)
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    top = GAP
    for title, rows in parts:
        draw.text((GAP, top), title, "black", font)
        top += LINE
        for column, name in enumerate(COLUMNS):
            draw.text((GAP + column * (across + GAP), top), name, "gray", font)
        top += LINE
        for name, thumbnail in rows:
            draw.text((GAP, top), _plain(name), "black", font)
            top += LINE
            for column, picture in enumerate(thumbnail.pictures):
                sheet.paste(Image.fromarray(picture), (GAP + column * (across + GAP), top))
            top += thumbnail.pictures[0].shape[0] + GAP
    file = BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _plain(text: str) -> str:
    """What the built-in font can draw."""
    return text.encode("latin-1", "replace").decode("latin-1")
