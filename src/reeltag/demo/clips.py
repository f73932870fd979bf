"""A folder and a seed in, a folder of short real mp4 files with sidecars out.

    reel-0000.mp4          2 to 2.5 s of moving picture, mostly with sound
    reel-0000.info.json    who posted it, when, with which caption and hashtags
    README.txt             says that all of it is generated

The sidecars have the fields that video downloaders write. A clip is encoded into
memory and written whole, its sidecar after it: a sidecar vouches for its clip, so a
second call makes only what is missing.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.demo.posts import PlannedPost, plan_posts
from reeltag.demo.scenes import draw
from reeltag.demo.sounds import RATE, sound
from reeltag.errors import InputError, MissingExtraError, ReelTagError
from reeltag.progress import track
from reeltag.storage import write_bytes, write_text

FRAME_RATE = 12
SHAPES = ((240, 320), (426, 240))
"""Height and width of a clip: lying or upright."""
MAKER = "reeltag-demo-1"
"""Changes when the same seed gives other clips."""

_README = """\
These clips are generated: drawn, synthesised and captioned by `reeltag demo`.
The creators are invented; any likeness is chance. Every *.info.json says
"generated": true. The folder can be deleted; the demo makes it anew.
"""


@dataclass(frozen=True)
class Clip:
    """One generated post and where its files lie."""

    id: str
    topic: str
    creator: str
    creator_id: str
    time: datetime
    caption: str
    """Without its hashtags; may be empty."""
    hashtags: tuple[str, ...]
    silent: bool
    path: Path
    sidecar: Path


def make_clips(
    folder: Path, posts: int = 300, seed: int = 0, workers: int | None = None
) -> list[Clip]:
    """Write `posts` clips with sidecars into `folder` and return them by time.

    Args:
        folder: made if absent; clips of an earlier call that do not belong are removed.
        posts: how many, at least 1.
        seed: same seed, same sidecars and same pictures.
        workers: processes; default one a core.

    Raises `InputError` for fewer than one post and `MissingExtraError` without PyAV.
    """
    if posts < 1:
        raise InputError(f"Got posts={posts}, expected at least 1.")
    _check_encoder()
    planned = plan_posts(posts, seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "README.txt", _README)
    _remove_strangers(folder, {post.id for post in planned})
    jobs = [(folder, index, post, seed) for index, post in enumerate(planned)]
    jobs = [job for job in jobs if not _is_there(*job)]
    count = min(workers or len(os.sched_getaffinity(0)), max(len(jobs) // 4, 1))
    with track("making clips", len(jobs)) as bar:
        if count == 1:
            for job in jobs:
                _make(*job)
                bar.advance()
        else:
            for _ in _in_processes(jobs, count):
                bar.advance()
    return [_clip(folder, post) for post in planned]


def _in_processes(jobs: list[tuple[Path, int, PlannedPost, int]], count: int) -> Iterator[None]:
    """Make clips in `count` fresh processes, yielding as each is done."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context)
    try:
        for done in as_completed([pool.submit(_make, *job) for job in jobs]):
            yield done.result()
    except BrokenProcessPool as fault:
        raise ReelTagError(
            "A process that makes demo clips ended early (out of memory?). "
            "Run the same command again: it goes on where it stopped."
        ) from fault
    finally:
        pool.shutdown(cancel_futures=True)


def _make(folder: Path, index: int, post: PlannedPost, seed: int) -> None:
    """Draw, encode and write one clip, then its sidecar."""
    shape, frames = _shape(index, seed)
    random = np.random.default_rng([seed, index, 1])
    film = draw(post.topic, random, frames, *shape)
    wave = None if post.silent else sound(post.topic, random, frames / FRAME_RATE)
    path, sidecar = _paths(folder, post)
    write_bytes(path, encode(film, wave))
    write_text(sidecar, _sidecar(index, post, seed))


def encode(film: NDArray[np.uint8], wave: NDArray[np.float32] | None) -> bytes:
    """Encode frames (frames, height, width, 3) and one channel of sound (or None) as mp4."""
    av = _check_encoder()
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        video = container.add_stream(_video_codec(av), rate=FRAME_RATE)
        video.height, video.width = film.shape[1:3]
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1  # same bytes however many cores there are
        if video.codec_context.name == "libx264":
            video.options = {"preset": "ultrafast", "crf": "25"}
        else:
            video.bit_rate = 900_000
        audio = None
        if wave is not None:
            audio = container.add_stream("aac", rate=RATE, layout="mono")
            audio.bit_rate = 64_000
        for number, pixels in enumerate(film):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None and wave is not None:
            samples = av.AudioFrame.from_ndarray(wave[None, :], format="fltp", layout="mono")
            samples.sample_rate, samples.pts = RATE, 0
            samples.time_base = Fraction(1, RATE)
            container.mux(audio.encode(samples))
            container.mux(audio.encode())
    return target.getvalue()


def _check_encoder() -> Any:
    """PyAV, or `MissingExtraError`."""
    try:
        import av
    except ImportError as fault:
        raise MissingExtraError("PyAV, which writes the demo clips,", "media") from fault
    return av


def _video_codec(av: Any) -> str:
    """H.264 where this PyAV can write it, else MPEG-4 part 2, which every one can."""
    try:
        av.codec.Codec("libx264", "w")
    except ValueError:  # PyAV's UnknownCodecError is one
        return "mpeg4"
    return "libx264"


def _shape(index: int, seed: int) -> tuple[tuple[int, int], int]:
    """(height, width) and the number of frames of one clip."""
    random = np.random.default_rng([seed, index, 0])
    shape = SHAPES[int(random.random() < 0.6)]
    return shape, int(random.integers(2 * FRAME_RATE, 5 * FRAME_RATE // 2 + 1))


def _paths(folder: Path, post: PlannedPost) -> tuple[Path, Path]:
    return folder / f"{post.id}.mp4", folder / f"{post.id}.info.json"


def _sidecar(index: int, post: PlannedPost, seed: int) -> str:
    (height, width), frames = _shape(index, seed)
    document = {
        "id": post.id,
        "title": post.caption or post.id,
        "ext": "mp4",
        "uploader": post.creator,
        "uploader_id": post.creator_id,
        "description": post.written,
        "timestamp": int(post.time.timestamp()),
        "upload_date": f"{post.time:%Y%m%d}",
        "duration": round(frames / FRAME_RATE, 3),
        "width": width,
        "height": height,
        "fps": FRAME_RATE,
        "generated": True,
        "generator": {"name": MAKER, "seed": seed},
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _is_there(folder: Path, index: int, post: PlannedPost, seed: int) -> bool:
    """The clip lies there and its sidecar is, to the byte, the one we would write."""
    path, sidecar = _paths(folder, post)
    if not (path.is_file() and sidecar.is_file()):
        return False
    return sidecar.read_bytes() == _sidecar(index, post, seed).encode()


def _remove_strangers(folder: Path, expected: set[str]) -> None:
    """Remove clips of an earlier, larger call; only what its sidecar calls ours."""
    for sidecar in folder.glob("reel-*.info.json"):
        name = sidecar.name.removesuffix(".info.json")
        if name in expected:
            continue
        with suppress(ValueError, KeyError, TypeError):  # not ours
            document = json.loads(sidecar.read_text(encoding="utf-8"))
            if document["generated"] is True and document["id"] == name:
                sidecar.unlink()
                (folder / f"{name}.mp4").unlink(missing_ok=True)


def _clip(folder: Path, post: PlannedPost) -> Clip:
    path, sidecar = _paths(folder, post)
    return Clip(
        id=post.id,
        topic=post.topic,
        creator=post.creator,
        creator_id=post.creator_id,
        time=post.time,
        caption=post.caption,
        hashtags=post.hashtags,
        silent=post.silent,
        path=path,
        sidecar=sidecar,
    )
