"""A folder of clips with JSON sidecars in, raw rows out.

`clip.mp4` goes with `clip.info.json`, `clip.json` or `clip.mp4.json` (see
`reeltag.data.importers.sidecar`). Folders within are searched; links to folders are not followed.
A clip without a sidecar is a post without user, caption and hashtags whose id is its path; the
count of those is a warning. A clip whose sidecar cannot be used, or a file that is a link to
somewhere outside, is left out and counted. `clip` is stored relative to the folder.

A field of the users is any key of the sidecars, or a path to one: `author.region`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from reeltag.data.importers.base import ROW, Fault, Loaded, Wanted, existing
from reeltag.data.importers.sidecar import SidecarError, read_sidecar, value_at
from reeltag.errors import InputError
from reeltag.progress import track

SUFFIXES = (".mp4", ".mov", ".webm", ".mkv", ".3gp", ".avi", ".m4v")
_KEYS = 60
"""Keys of the sidecars that a message lists."""
_SCHEMA: dict[str, Any] = {
    ROW: pl.UInt32(),
    **dict.fromkeys(("post", "user", "caption", "time", "clip", "music", "place"), pl.Utf8()),
    "hashtags": pl.List(pl.Utf8()),
}


class Folder:
    """The `folder` format."""

    name = "folder"

    def accepts(self, source: Path) -> bool:
        """Whether there is a clip anywhere in the folder."""
        return next(_clips(source), None) is not None

    def load(self, source: Path, wanted: Wanted) -> Loaded:
        """Read every clip's sidecar; the clips themselves are not opened."""
        if wanted.mapping or wanted.features:
            raise InputError(
                f"{source} is a folder of clips, whose fields are fixed. Leave out --map and "
                "--feature; features come from reeltag extract."
            )
        clips = sorted(_clips(source), key=os.fsencode)
        if not clips:
            raise InputError(f"{source} holds no clip. Expected files {', '.join(SUFFIXES)}.")
        root = source.resolve()
        rows: list[dict[str, Any]] = []
        faults: list[Fault] = []
        keys = [key for key in dict.fromkeys(wanted.user_fields.values()) if key not in _SCHEMA]
        seen: dict[str, None] = {}
        alone = 0
        with track("reading sidecars", len(clips)) as tracker:
            for number, clip in enumerate(clips, start=1):
                tracker.advance()
                try:
                    fields, value = _read(root, clip)
                    fields.update({key: value_at(value or {}, key) for key in keys})
                except SidecarError as fault:
                    raw = os.fsencode(clip).decode("utf-8", "replace")
                    faults.append(Fault(number, fault.reason, raw, fault.detail, fatal=False))
                    continue
                alone += value is None
                if keys:
                    seen.update(dict.fromkeys(value or {}))
                rows.append({ROW: number, **fields})
        columns = {name: name for name in _SCHEMA if name != ROW}
        schema = {**_SCHEMA, **dict.fromkeys(keys, pl.Utf8())}
        frame = pl.DataFrame(rows, schema=schema)
        for ours, key in wanted.user_fields.items():
            if key in keys and frame[key].null_count() == frame.height:
                have = [*columns, *sorted(seen)[:_KEYS]]
                existing(source, key, dict.fromkeys(have), f"wanted for the users' {ours}")
        loaded = Loaded(frame, columns, faults, read=len(clips))
        loaded.source["clip_root"] = str(root)
        if alone:
            loaded.warnings.append(
                f"{alone:,} of {len(clips):,} clips have no sidecar: they are posts without user, "
                "caption and hashtags"
            )
        return loaded


def _clips(source: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(source, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(folder) / name


def _read(root: Path, clip: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The post's fields, and its whole sidecar or None."""
    try:
        os.fspath(clip).encode("utf-8")
    except UnicodeEncodeError as fault:
        raise SidecarError("file name not UTF-8", "rename the clip") from fault
    _inside(root, clip)
    relative = (clip.parent.resolve() / clip.name).relative_to(root)
    names = (f"{clip.stem}.info.json", f"{clip.stem}.json", f"{clip.name}.json")
    sidecar = next((clip.with_name(n) for n in names if os.path.lexists(clip.with_name(n))), None)
    fields: dict[str, Any] = {}
    value: dict[str, Any] | None = None
    if sidecar is not None:
        _inside(root, sidecar)
        try:
            fields, value = read_sidecar(sidecar)
        except OSError as fault:
            detail = f"{sidecar.name} cannot be opened: {fault.strerror}"
            raise SidecarError("sidecar unreadable", detail) from fault
    fields["post"] = fields.get("post") or relative.with_suffix("").as_posix()
    return {**fields, "clip": relative.as_posix()}, value


def _inside(root: Path, path: Path) -> None:
    """Refuse a link that leaves the folder or goes in circles, and what is no plain file."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as fault:
        raise SidecarError("broken link", f"{path.name} leads nowhere") from fault
    if not real.is_relative_to(root):
        raise SidecarError("link leaves the folder", f"{path.name} is a link to another place")
    if not real.is_file():
        raise SidecarError("no plain file", f"{path.name} is no plain file")
