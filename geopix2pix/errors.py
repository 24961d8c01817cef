"""Every failure that a user can cause, one class per remedy.

A message says what was asked, what was found and what to do, with the path and the values. Programming mistakes stay
plain `ValueError` or `AssertionError`.
"""


class GeoPix2PixError(Exception):
    """Root of all failures that a user can mend."""


class RasterError(GeoPix2PixError, OSError):
    """A raster cannot be opened or read."""


class UnreadableError(RasterError):
    """What holds a raster fails: the file is cut off or damaged, or its drive has gone away."""


class OutputError(GeoPix2PixError, OSError):
    """A result cannot be written: it exists, the folder is closed to us, the disk is full, it is being written."""


class SceneError(GeoPix2PixError, ValueError):
    """A readable scene does not fit the model or the request: bands, dtype, scaling, size, no valid pixel."""


class ModelFileError(GeoPix2PixError, ValueError):
    """A model file is missing, damaged, of a newer format, or not one of ours."""


class PairsError(GeoPix2PixError, ValueError):
    """A folder of training pairs cannot be used as it is."""


class TileSetError(GeoPix2PixError, ValueError):
    """A tile set cannot be built, or a folder is no usable tile set."""


class RegionError(GeoPix2PixError, ValueError):
    """An area of interest cannot be used: no polygon, no CRS, outside the data."""


class VectorError(GeoPix2PixError, OSError):
    """A vector file cannot be opened, read or used: no such layer, no CRS, nothing in it."""


class StyleError(GeoPix2PixError, ValueError):
    """A style document asks for what is not drawn, or contradicts itself."""


class DownloadError(GeoPix2PixError, OSError):
    """A server does not send what was asked for: it cannot be reached, refuses, or answers with something else."""


class ConfigError(GeoPix2PixError, ValueError):
    """An option or a configuration value is impossible, alone or together with another."""


class DeviceMemoryError(ConfigError):
    """What computes has too little memory for the windows that it was given at once."""


class CheckpointError(GeoPix2PixError, ValueError):
    """A training run cannot be continued from what its folder holds."""


class TrainingError(GeoPix2PixError, ArithmeticError):
    """Training cannot go on: a loss is no longer finite."""


class NothingToDoError(SceneError, RegionError):
    """A scene holds no valid pixel, or the region lies elsewhere: among many scenes that is no failure."""


class Cancelled(GeoPix2PixError):
    """The work was stopped on request. Raised by a `Progress` callback; finished parts are kept for a later resume."""


class GeoPix2PixWarning(UserWarning):
    """Root of all warnings: the work goes on, but the user should know."""


class SceneWarning(GeoPix2PixWarning):
    """Something about the scene is doubtful: no georeference, bands without names, data in a band tagged as alpha."""


class SeamWarning(GeoPix2PixWarning):
    """The model depends on its tile, so that seams cannot be ruled out."""


class TileSetWarning(GeoPix2PixWarning):
    """A tile set can be used, but something about its pairs or its split is doubtful."""


class TrainingWarning(GeoPix2PixWarning):
    """Training goes on, but something about its data or its course is doubtful."""


class UnreadableWarning(TrainingWarning):
    """Some pictures are damaged: write them again, or delete them with their partners."""


class MonotonyWarning(TrainingWarning):
    """All targets show the same: see whether they are the right files, and the palette theirs."""


class MisalignmentWarning(TrainingWarning):
    """Targets lie beside their sources: build the pairs again, shifted."""


class DiscriminatorWarning(TrainingWarning):
    """The discriminator has won: give it less, or do without it."""


class CollapseWarning(TrainingWarning):
    """The generator paints nearly everything alike: learn more slowly, or by other weights."""


class OverfittingWarning(TrainingWarning):
    """The validation score falls for long: stop, or give more variety."""
