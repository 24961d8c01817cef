"""View: a layer as it shows on a grid, whatever it comes from: files, tile archives, servers, drawn vectors."""

from typing import Any, Protocol

from geopix2pix.geogrid import Bounds
from geopix2pix.grid import Window
from geopix2pix.raster import Patch


class View(Protocol):
    """A layer on a `GeoGrid`. Windows are in pixels of the grid and may lie anywhere.

    What a pixel shows does not depend on the window that it is read in. A view holds files or connections: close it.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Of its bands."""

    @property
    def dtype(self) -> str:
        """Of its data, in numpy's words."""

    def read(self, window: Window) -> Patch:
        """What a window shows, filled where it is not valid."""

    def covers(self, window: Window) -> bool:
        """Whether something valid may lie in a window; cheap. False is certain."""

    def origins(self, window: Window) -> tuple[str, ...]:
        """The names of the files that may show in a window, those first that are on top."""

    def identity(self) -> dict[str, Any]:
        """What tells this state of the data from others, as JSON values: sizes, times, parameters."""

    def extents(self) -> list[Bounds]:
        """The bounds of each of its files, in the CRS of the grid."""

    def close(self) -> None: ...
