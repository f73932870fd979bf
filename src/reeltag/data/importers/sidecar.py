"""The bytes of a JSON file beside a clip in; one post's fields, or one reason why not, out.

Three styles, told apart by their keys:

    yt-dlp     id, uploader_id / uploader / channel, description / title, timestamp, tags
    TikTok     id, author.uniqueId, desc, createTime, challenges[].title, textExtra[].hashtagName
    Instagram  shortcode / code, owner.username, caption (also nested), taken_at_timestamp

The file was written by strangers: its size, nesting and every kind are checked.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from reeltag.hashtags import find

SIZE_LIMIT = 16 << 20
"""Bytes; yt-dlp writes some hundred thousand for a clip with many formats."""
_TEXT_LIMIT = 100_000
_TAG_LIMIT = 1000
Json = dict[str, Any]


class SidecarError(Exception):
    """Why a sidecar is refused: `reason` is the same for all of its kind, `detail` is not."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(detail)


def read_sidecar(path: Path) -> tuple[Json, Json]:
    """The post's fields, and the whole object for whoever wants `value_at` another key.

    Fields: post, user, caption, hashtags, time, music, place; None where the file does not
    say. Raises `SidecarError`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(SIZE_LIMIT + 1)
    if len(content) > SIZE_LIMIT:
        limit = f"expected at most {SIZE_LIMIT >> 20} MB"
        raise SidecarError("sidecar too large", f"{path.name} is larger, {limit}")
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as fault:
        raise SidecarError("sidecar not UTF-8", f"{path.name}: {fault.reason}") from fault
    except RecursionError as fault:
        raise SidecarError("sidecar too deep", f"{path.name} nests too deeply") from fault
    except ValueError as fault:
        raise SidecarError("sidecar broken", f"{path.name} is not JSON: {fault}") from fault
    value = _unwrap(value)
    fields = fields_of(path.name, value)
    assert isinstance(value, dict)  # fields_of refuses all else
    return fields, value


def value_at(value: Json, key: str) -> str | None:
    """What stands at `key`, or at the dotted path `author.region`, as text; JSON of an object."""
    got: object = value
    for step in [key] if key in value else key.split("."):
        got = got.get(step) if isinstance(got, dict) else None
    if got is None or got == "":
        return None
    try:
        text = got if isinstance(got, str) else json.dumps(got, ensure_ascii=False)
    except RecursionError as fault:
        raise SidecarError("sidecar too deep", f"{key} nests too deeply") from fault
    if len(text) > _TEXT_LIMIT:
        raise SidecarError("sidecar field too long", f"{key} has {len(text):,} characters")
    return text.encode("utf-8", "replace").decode("utf-8")


def fields_of(name: str, value: object) -> Json:
    """The fields of one decoded sidecar, in whichever style it is."""
    if not isinstance(value, dict):
        got = type(value).__name__
        raise SidecarError("sidecar no object", f"{name} holds a {got}, expected an object")
    if "desc" in value or "createTime" in value or isinstance(value.get("author"), dict):
        fields = _tiktok(value)
    elif {"shortcode", "code", "owner", "edge_media_to_caption", "taken_at_timestamp"} & set(value):
        fields = _instagram(value)
    else:
        fields = _ytdlp(value)
    tags = [*find(fields["caption"] or ""), *fields["hashtags"]]
    return {**fields, "hashtags": tags[:_TAG_LIMIT]}


def _unwrap(value: object) -> object:
    """Leave the envelopes in which TikTok's and Instagram's exports put the post."""
    for path in (
        ("itemInfo", "itemStruct"),
        ("itemStruct",),
        ("graphql", "shortcode_media"),
        ("node",),
    ):
        inner = value
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            return inner
    return value


def _ytdlp(value: Json) -> Json:
    user = [_text(value, key) for key in ("uploader_id", "uploader", "channel_id", "channel")]
    return {
        "post": _text(value, "id"),
        "user": next((name for name in user if name), None),
        "caption": _text(value, "description") or _text(value, "title"),
        "hashtags": [tag for tag in _list(value, "tags") if isinstance(tag, str)],
        "time": _text(value, "timestamp") or _text(value, "upload_date"),
        "music": _text(value, "track"),
        "place": _text(value, "location"),
    }


def _tiktok(value: Json) -> Json:
    author = value.get("author")
    if isinstance(author, str | None):
        user = author
    else:
        author = _object(value, "author")
        user = _text(author, "uniqueId") or _text(author, "unique_id") or _text(author, "id")
    tags = [_tag(item, "title") for item in _list(value, "challenges")]
    tags += [_tag(item, "hashtagName") for item in _list(value, "textExtra")]
    return {
        "post": _text(value, "id"),
        "user": user,
        "caption": _text(value, "desc"),
        "hashtags": [tag for tag in tags if tag],
        "time": _text(value, "createTime"),
        "music": _text(_object(value, "music"), "title"),
        "place": None,
    }


def _instagram(value: Json) -> Json:
    owner = _object(value, "owner") or _object(value, "user")
    return {
        "post": _text(value, "shortcode") or _text(value, "code") or _text(value, "id"),
        "user": _text(owner, "username") or _text(owner, "id"),
        "caption": _instagram_caption(value),
        "hashtags": [],
        "time": _text(value, "taken_at_timestamp") or _text(value, "taken_at"),
        "music": None,
        "place": _text(_object(value, "location"), "name"),
    }


def _instagram_caption(value: Json) -> str | None:
    edges = _list(_object(value, "edge_media_to_caption"), "edges")
    if edges and isinstance(edges[0], dict):
        return _text(_object(edges[0], "node"), "text")
    if isinstance(value.get("caption"), dict):
        return _text(_object(value, "caption"), "text")
    return _text(value, "caption")


def _text(value: Json, key: str) -> str | None:
    """A text or a number as text; absent and empty are None."""
    got = value.get(key)
    if got is None or got == "":
        return None
    if isinstance(got, bool) or not isinstance(got, str | int | float):
        raise _wrong(key, got, "text")
    text = str(got)
    if len(text) > _TEXT_LIMIT:
        raise SidecarError("sidecar field too long", f"{key} has {len(text):,} characters")
    return text.encode("utf-8", "replace").decode("utf-8")


def _object(value: Json, key: str) -> Json:
    got = value.get(key)
    if got is None:
        return {}
    if not isinstance(got, dict):
        raise _wrong(key, got, "an object")
    return got


def _list(value: Json, key: str) -> list[Any]:
    got = value.get(key)
    if got is None:
        return []
    if not isinstance(got, list):
        raise _wrong(key, got, "a list")
    return got[:_TAG_LIMIT]


def _tag(item: object, key: str) -> str | None:
    return _text(item, key) if isinstance(item, dict) else None


def _wrong(key: str, got: object, expected: str) -> SidecarError:
    detail = f"{key} is a {type(got).__name__}, expected {expected}"
    return SidecarError("sidecar field of a wrong kind", detail)
