"""Writing vector files through GDAL so that equal contents give equal bytes and failures one line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyogrio

DATE = "OGR_CURRENT_DATE"
ANY_DAY = "2000-01-01T00:00:00.000Z"  # what files say of when they were written


@contextmanager
def undated() -> Iterator[None]:
    """A context in which GDAL writes no date of today into a file."""
    before = pyogrio.get_gdal_config_option(DATE)
    pyogrio.set_gdal_config_options({DATE: ANY_DAY})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({DATE: before})


def complaint(error: Exception) -> str:
    """What GDAL says of a failure, in one line without the statements, pages long, that a database did not take."""
    return " ".join(re.sub(r"sqlite3_exec\(.*\)", "sqlite3_exec", str(error), flags=re.DOTALL).split())
