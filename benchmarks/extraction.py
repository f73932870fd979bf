"""How fast clips become features: nothing goes in, measured times real time come out.

Clips of 15 s, 1280 x 720, h264 and aac, with moving content are made first. Run on the
cores this process may use:

    python benchmarks/extraction.py
"""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import polars as pl

from reeltag.data.dataset import Dataset
from reeltag.features.job import extract
from reeltag.features.registry import DEFAULTS, make
from reeltag.media.decode import Decoder
from reeltag.media.limits import Limits
from reeltag.media.request import Frames, Request, Sound

SECONDS, WIDTH, HEIGHT, RATE = 15, 1280, 720, 30
CLIPS = 32
REPEATS = 3
TARGET = 15.0
"""Times real time, decode and features together, on two cores."""
USUAL = Request(Frames(8, 240), Sound(16_000))


def write_clip(path: Path, gop: int, seed: int = 0, codec: str = "libx264") -> Path:
    """A 15 s clip that pans over a random picture, with two tones. `gop`: keyframe distance."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (HEIGHT // 8 + 60, WIDTH // 8 + 240, 3), dtype=np.uint8)
    ground = coarse.repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=RATE)
        video.width, video.height, video.pix_fmt, video.bit_rate = (
            WIDTH,
            HEIGHT,
            "yuv420p",
            2_500_000,
        )
        video.options = {"preset": "veryfast", "g": str(gop)}
        audio = container.add_stream("aac", rate=44_100, layout="stereo")
        for number in range(SECONDS * RATE):
            top, left = number % 400, 4 * number % 1800
            view = np.ascontiguousarray(ground[top : top + HEIGHT, left : left + WIDTH])
            frame = av.VideoFrame.from_ndarray(view[:HEIGHT, :WIDTH], format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        at = np.arange(44_100 * SECONDS) / 44_100
        wave = 0.3 * np.sin(2 * np.pi * np.stack([440 * at, 660 * at])).astype(np.float32)
        for start in range(0, wave.shape[1], 1024):
            part = np.ascontiguousarray(wave[:, start : start + 1024])
            heard = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts, heard.time_base = 44_100, start, Fraction(1, 44_100)
            container.mux(audio.encode(heard))
        container.mux(audio.encode(None))
    return path


def main() -> dict[str, dict[str, Any]]:
    """Measure and return {name: {"value", "unit", "target", "ok", "note"}}."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded
    folder = Path(tempfile.mkdtemp(prefix="reeltag-bench-"))
    try:
        long = write_clip(folder / "long.mp4", gop=250)
        short = write_clip(folder / "short.mp4", gop=30, seed=1)
        return {**_strategies(long, short), **_networks(short), **_job(folder, [long, short])}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _strategies(long: Path, short: Path) -> dict[str, dict[str, Any]]:
    """Ways to get 8 frames, each on one core: what the decoder does, and what it does not."""
    found = {}
    for name, clip in (("long", long), ("short", short)):
        gop = "250 frames" if name == "long" else "30 frames"
        with Decoder() as decoder:
            decoder.decode(clip, Request(None, Sound(16_000)))
            ours = _best(lambda d=decoder, c=clip: d.decode(c, USUAL))
            sound = _best(lambda d=decoder, c=clip: d.decode(c, Request(None, Sound(16_000))))
        note = f"one core, keyframe every {gop}"
        found[f"decode_8_frames_and_sound_{name}_gop"] = _line(
            ours, "s", 1.0, ours < 1.0, f"{note}; {SECONDS / ours:.0f} x real time"
        )
        found[f"decode_sound_{name}_gop"] = _line(sound, "s", note=note)
        for way, skip in (("every_frame", "DEFAULT"), ("no_nonref", "NONREF")):
            taken = _best(lambda c=clip, s=skip: _decode_all(c, s))
            found[f"decode_{way}_{name}_gop"] = _line(
                taken, "s", note=f"{note}; not used: skip_frame {skip}, pictures alone"
            )
    return found


def _networks(clip: Path) -> dict[str, dict[str, Any]]:
    """Each default extractor's own time for one clip or caption, on one thread."""
    found = {}
    with Decoder() as decoder:
        for modality in ("visual", "acoustic"):
            extractor: Any = make(modality, DEFAULTS[modality])
            extractor.prepare()
            extractor.extract(decoder.decode(clip, extractor.request))
            answers = [decoder.decode(clip, extractor.request) for _ in range(REPEATS)]
            taken = min(_best(lambda a=a, e=extractor: e.extract(a), 1) for a in answers)
            found[f"{modality}_{extractor.name}_a_clip"] = _line(taken, "s", note="one thread")
    textual: Any = make("textual", DEFAULTS["textual"])
    captions = [f"a caption of the usual length, number {n}, about music" for n in range(64)]
    textual.extract(captions)
    taken = _best(lambda: textual.extract(captions)) / len(captions)
    found["textual_minilm_a_caption"] = _line(taken, "s", note="batches of 32, all cores")
    return found


def _job(folder: Path, clips: list[Path]) -> dict[str, dict[str, Any]]:
    """The whole default extraction of a dataset, processes started and files written."""
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(CLIPS)],
            "caption": [f"a clip about thing number {n}" for n in range(CLIPS)],
            "hashtags": [["thing"]] * CLIPS,
            "clip": [str(clips[n % len(clips)]) for n in range(CLIPS)],
        }
    )
    cores = len(os.sched_getaffinity(0))
    workers = min(2, cores)
    dataset = Dataset.create(folder / "data", posts, source={})
    before, spent = time.perf_counter(), _cpu()
    report = extract(
        dataset,
        visual=[DEFAULTS["visual"]],
        acoustic=[DEFAULTS["acoustic"]],
        textual=[DEFAULTS["textual"]],
        workers=workers,
        limits=Limits(),
    )
    taken, spent = time.perf_counter() - before, _cpu() - spent
    times = CLIPS * SECONDS / taken
    return {
        "extraction": _line(
            times,
            "x real time",
            TARGET,
            times >= TARGET,
            f"{CLIPS} clips of {SECONDS} s 720p, {workers} workers on {cores} cores, start of "
            f"processes included; {report.clips_failed} failed; {taken:.1f} s",
        ),
        "extraction_a_core_second": _line(
            CLIPS * SECONDS / spent,
            "x real time",
            note=f"seconds of clip for a second of one core, {spent:.1f} s used: what other "
            "work on the machine does not change",
        ),
    }


def _cpu() -> float:
    """Processor seconds of this process and of all it started that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _decode_all(clip: Path, skip: str) -> int:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.skip_frame = skip
        return sum(1 for _ in container.decode(stream))


def _best(call: Callable[[], Any], repeats: int = REPEATS) -> float:
    times = []
    for _ in range(repeats):
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return min(times)


def _line(
    value: float, unit: str, target: float | None = None, ok: bool = True, note: str = ""
) -> dict[str, Any]:
    return {"value": round(value, 4), "unit": unit, "target": target, "ok": ok, "note": note}


if __name__ == "__main__":
    import json

    print(json.dumps(main(), indent=2))
