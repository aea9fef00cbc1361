"""Rows of a Parquet file."""

from pathlib import Path

from goldennoise.data.prompts.defects import Places, shown
from goldennoise.data.prompts.rows import Rows
from goldennoise.errors import DataError, shortened

ROWS = Places("row")


def read_parquet(path: Path) -> Rows:
    """A row per row; columns of bytes, such as images, are left out.

    Raises `DataError` for what is no Parquet file, or names a column twice.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = [column.name for column in file.schema_arrow if "binary" not in str(column.type)]
            if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
                raise DataError(f"{path}: the columns {shown(twice)} stand there twice; give every column its own name")
            rows = file.read(names).to_pylist()
    # A damaged file of this format shows as any of these.
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path} is no whole Parquet file ({shortened(error)}); fetch or write it again") from None
    return Rows(names, list(enumerate(rows, 1)), places=ROWS)
