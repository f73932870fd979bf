"""A source's path in, the importer for it out: by name, or by its suffix and contents."""

from __future__ import annotations

from pathlib import Path

from reeltag.data.importers.base import Importer
from reeltag.data.importers.folder import Folder
from reeltag.data.importers.gcn_phr import GcnPhr
from reeltag.data.importers.jsonl import JsonLines
from reeltag.data.importers.parquet import Parquet
from reeltag.data.importers.separated import Separated
from reeltag.errors import InputError

IMPORTERS: dict[str, Importer] = {
    importer.name: importer
    for importer in (JsonLines(), Separated(), Parquet(), GcnPhr(), Folder())
}
"""Every format by its name, in the order `auto` asks them (`gcn-phr` before `folder`)."""


def importer_for(source: Path, name: str = "auto") -> Importer:
    """The importer called `name`, or the first that accepts `source`.

    Raises `InputError` where the source is absent, of the wrong sort or of no known format.
    """
    if name not in ("auto", *IMPORTERS):
        raise InputError(f"Got format {name!r}, expected auto, {', '.join(IMPORTERS)}.")
    if not source.exists():
        raise InputError(f"{source} does not exist. Expected a file or a folder to import.")
    if name != "auto":
        importer = IMPORTERS[name]
        if source.is_dir() != (name in {"gcn-phr", "folder"}):
            got = "a folder" if source.is_dir() else "a file"
            raise InputError(f"{source} is {got}, which format {name!r} cannot be. Try auto.")
        return importer
    of_kind = [IMPORTERS[n] for n in IMPORTERS if source.is_dir() == (n in {"gcn-phr", "folder"})]
    for importer in of_kind:
        if importer.accepts(source):
            return importer
    raise InputError(
        f"{source} is of no known format. Expected JSON Lines, CSV or Parquet (each also .gz), a "
        "folder of clips, or the GCN-PHR .npy files; name the format: --format NAME."
    )
