"""A Parquet file in, raw rows out, with the columns' own kinds."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from reeltag.data.importers import files
from reeltag.data.importers.base import ROW, Loaded, Wanted, stem_suffix
from reeltag.errors import InputError


class Parquet:
    """The `parquet` format."""

    name = "parquet"

    def accepts(self, source: Path) -> bool:
        """By suffix or by the magic bytes."""
        return stem_suffix(source) in {".parquet", ".pq"} or files.first_bytes(source, 4) == b"PAR1"

    def load(self, source: Path, wanted: Wanted) -> Loaded:
        """Read the wanted columns; rows count from 1."""
        packed = io.BytesIO(files.content(source)) if files.is_gzip(source) else source
        try:
            names = list(pl.read_parquet_schema(packed))
            columns = wanted.resolve(source, names)
            if isinstance(packed, io.BytesIO):
                packed.seek(0)
            frame = pl.read_parquet(packed, columns=wanted.columns(columns))
        except (pl.exceptions.PolarsError, OSError) as fault:
            raise InputError(f"{source} is no readable Parquet file: {fault}") from fault
        if frame.height == 0:
            raise InputError(f"{source} holds no rows. Expected at least one.")
        return Loaded(frame.with_row_index(ROW, offset=1), columns, read=frame.height)
