"""An open file goes in; the frames and sounds wanted of it come out. Runs in the child.

Two passes: the first reads all packets, decodes the sound and notes the pictures' times;
the second decodes the few pictures that `reeltag.media.plan` chose. A packet that cannot
be decoded is skipped and counted. Only listed container formats are opened, and FFmpeg
may open nothing beside the file it was handed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from reeltag.media.plan import Packets, ranges, targets
from reeltag.media.sound import SoundSink

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,asf,mpeg,mpegts,mpegvideo,m4v,h264,"
    "hevc,ogg,gif,wav,mp3,aac,ac3,flac,amr,caf,aiff"
)
"""The demuxers that may run. Playlists (hls, dash, concat) and devices are not among them."""

MAX_FAULTS = 200
_Array = NDArray[Any]


class RefusedError(Exception):
    """The clip is not read, with the reason in words for people."""


@dataclass
class Result:
    """What a clip gave: per wanted frames (values, times) or None, per wanted sound or None."""

    frames: list[tuple[NDArray[np.uint8], list[float]] | None]
    sounds: list[NDArray[np.float32] | None]
    duration: float = 0.0
    warnings: list[str] = field(default_factory=list)


def read(path: str, wants: dict[str, Any], limits: dict[str, Any]) -> Result:
    """Read the clip at `path`. Raises `RefusedError` with the reason where nothing can be read."""
    with open(_open_regular(path, limits), "rb") as file:
        return _Reader(file, wants, limits).read()


def _open_regular(path: str, limits: dict[str, Any]) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as fault:
        raise RefusedError(f"it cannot be opened ({os.strerror(fault.errno or 0)})") from fault
    info = os.fstat(descriptor)
    reason = None
    if not stat.S_ISREG(info.st_mode):
        reason = "it is not a regular file"
    elif info.st_size == 0:
        reason = "the file is empty"
    elif info.st_size > limits["max_file_mb"] << 20:
        reason = f"the file has {info.st_size >> 20} MiB, at most {limits['max_file_mb']} are read"
    if reason:
        os.close(descriptor)
        raise RefusedError(reason)
    return descriptor


class _Reader:
    def __init__(self, file: Any, wants: dict[str, Any], limits: dict[str, Any]) -> None:
        self.file, self.limits = file, limits
        self.frames: list[dict[str, Any]] = wants["frames"]
        self.sinks = [SoundSink(want, limits["max_duration"]) for want in wants["sounds"]]
        self.warnings: list[str] = []
        self.damaged = 0
        self.sent = 0

    def read(self) -> Result:
        with self._open() as container:
            self._check(container)
            video, audio = _video_of(container), next(iter(container.streams.audio), None)
            if video is None and audio is None:
                raise RefusedError("it holds neither pictures nor sound")
            packets = self._first_pass(container, video, audio)
        sounds = [sink.finish() for sink in self.sinks]
        if self.sinks and audio is None:
            self.warnings.append("no audio stream")
        elif self.sinks and all(sound is None for sound in sounds):
            self.warnings.append("no sound could be read from the audio stream")
        frames: list[tuple[NDArray[np.uint8], list[float]] | None] = [None] * len(self.frames)
        if self.frames and video is None:
            self.warnings.append("no video stream")
        elif self.frames:
            frames = self._pictures(packets)
        if self.damaged:
            self.warnings.append(f"{self.damaged} damaged packets skipped")
        tried = (self.frames and video is not None) or (self.sinks and audio is not None)
        if tried and all(f is None for f in frames) and all(s is None for s in sounds):
            raise RefusedError("no picture and no sound could be read: " + "; ".join(self.warnings))
        duration = packets.duration()
        for sink, sound in zip(self.sinks, sounds, strict=True):
            duration = max(duration, 0.0 if sound is None else len(sound) / sink.rate)
        return Result(frames, sounds, min(duration, self.limits["max_duration"]), self.warnings)

    def _open(self) -> Any:
        self.file.seek(0)
        try:
            return av.open(
                self.file,
                mode="r",
                buffer_size=1 << 18,
                metadata_errors="ignore",
                options={
                    "protocol_whitelist": "none",  # the file is read through Python
                    "format_whitelist": CONTAINERS,
                    "enable_drefs": "0",
                    "max_streams": str(self.limits["max_streams"] + 1),
                },
            )
        except av.error.InvalidDataError as fault:
            raise RefusedError("it is not a video, or its beginning or index is damaged") from fault
        except av.error.ArgumentError as fault:
            raise RefusedError("its container format is not one that is read") from fault
        except (av.FFmpegError, ValueError, UnicodeError) as fault:
            raise RefusedError(f"its format cannot be read ({_words(fault)})") from fault

    def _check(self, container: Any) -> None:
        count = len(container.streams)
        if count > self.limits["max_streams"]:
            raise RefusedError(
                f"it has {count} streams, at most {self.limits['max_streams']} are read"
            )
        video = _video_of(container)
        if video is not None:
            self._check_size(video.codec_context.width or 0, video.codec_context.height or 0)

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.limits["max_pixels"]:
            raise RefusedError(
                f"its frames are {width} x {height}, at most "
                f"{self.limits['max_pixels']} pixels are read"
            )

    def _first_pass(self, container: Any, video: Any, audio: Any) -> Packets:
        packets = Packets(frame_seconds=_frame_seconds(video))
        streams = [s for s in (video if self.frames else None, audio if self.sinks else None) if s]
        origin: float | None = None
        for packet in self._demux(container, streams):
            if packet.stream is audio:
                self._hear(packet)
                if not self.frames and all(sink.full for sink in self.sinks):
                    break
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            time = None if stamp is None else float(stamp * packet.time_base)
            if time is not None:
                origin = time if origin is None else origin
                if time - origin > self.limits["max_duration"]:
                    self.warnings.append(
                        f"longer than {self.limits['max_duration']:g} seconds: the rest is left out"
                    )
                    break
            if len(packets) >= self.limits["max_frames"]:
                self.warnings.append(f"more than {len(packets)} frames: the rest is left out")
                break
            packets.times.append(time)
            packets.keys.append(bool(packet.is_keyframe))
            packets.hidden.append(bool(packet.is_discard))
        if audio is not None and self.sinks:
            self._hear(None, audio)
        return packets

    def _hear(self, packet: Any, stream: Any = None) -> None:
        try:
            frames = packet.decode() if packet is not None else stream.decode(None)
            for frame in frames:
                for sink in self.sinks:
                    sink.feed(frame)
        except (av.FFmpegError, ValueError):
            self.damaged += packet is not None

    def _demux(self, container: Any, streams: list[Any]) -> Iterator[Any]:
        """All packets that carry data; a fault of the container ends or skips, never raises."""
        faults = 0
        while streams:
            try:
                for packet in container.demux(*streams):
                    if packet.size:
                        yield packet
            except EOFError:
                return
            except (av.FFmpegError, ValueError) as fault:
                faults += 1
                if faults >= MAX_FAULTS or isinstance(fault, OSError):
                    self.warnings.append(f"the file breaks off ({_words(fault)})")
                    return
                self.damaged += 1
                continue
            return

    def _pictures(self, packets: Packets) -> list[tuple[NDArray[np.uint8], list[float]] | None]:
        plans = [targets(packets, want, self.limits["max_duration"]) for want in self.frames]
        shots = self._second_pass(packets, plans, exact=True)
        if len(packets) and not any(shots):
            shots = self._second_pass(packets, plans, exact=False)
        seconds = packets.seconds()
        found: list[tuple[NDArray[np.uint8], list[float]] | None] = []
        for plan, shot in zip(plans, shots, strict=True):
            kept = [k for k in plan if k in shot]
            if len(kept) < len(plan):
                self.warnings.append(f"{len(plan) - len(kept)} of {len(plan)} frames are damaged")
            times = [float(seconds[k]) for k in kept]
            found.append((np.stack([shot[k] for k in kept]), times) if kept else None)
        if not any(f is not None for f in found):
            self.warnings.append("no frame could be read from the video stream")
        return found

    def _second_pass(
        self, packets: Packets, plans: list[list[int]], *, exact: bool
    ) -> list[dict[int, NDArray[np.uint8]]]:
        """Decode the planned packets and scale the frames they give.

        Each packet's `pts` is replaced by its position, so a frame tells which packet it came
        from. `exact=False` decodes everything and takes frames as they come: for streams whose
        decoder loses that mark.
        """
        wanted = set().union(*plans)
        runs = ranges(packets, wanted) if exact else [(0, len(packets) - 1)]
        shots: list[dict[int, NDArray[np.uint8]]] = [{} for _ in plans]
        with self._open() as container:
            video = _video_of(container)
            if video is None:
                return shots
            context = video.codec_context
            context.thread_count = self.limits["threads"]
            context.thread_type = "AUTO" if self.limits["threads"] > 1 else "SLICE"
            run, shown = 0, 0
            for at, packet in enumerate(self._demux(container, [video])):
                first, last = runs[run]
                if at < first:
                    continue
                packet.pts = packet.dts = at
                if exact:
                    context.skip_frame = "DEFAULT" if at in wanted else "NONREF"
                frames = self._decode(video, packet)
                if at == last:
                    frames += self._decode(video, None)
                    if run + 1 < len(runs):
                        context.flush_buffers()
                for frame in frames:
                    mark = frame.pts if exact else shown
                    shown += 1
                    for want, plan, shot in zip(self.frames, plans, shots, strict=True):
                        if mark in plan and mark not in shot:
                            shot[mark] = self._scale(frame, want)
                run += at == last
                if run == len(runs):
                    break
        return shots

    def _decode(self, video: Any, packet: Any) -> list[Any]:
        if packet is not None:
            self.sent += 1
        try:
            return list(video.decode(packet))
        except (av.FFmpegError, ValueError):
            self.damaged += packet is not None
            return []

    def _scale(self, frame: Any, want: dict[str, Any]) -> NDArray[np.uint8]:
        """One frame as (size, size, 3) RGB, upright."""
        self._check_size(frame.width, frame.height)
        size = int(want["size"])
        width = height = size
        if want["fit"] == "crop":
            scale = size / min(frame.width, frame.height)
            width = min(max(size, round(frame.width * scale)), 16 * size)
            height = min(max(size, round(frame.height * scale)), 16 * size)
        small = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA")
        image = small.to_ndarray()
        top, left = (height - size) // 2, (width - size) // 2
        image = image[top : top + size, left : left + size]
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns))


def _video_of(container: Any) -> Any:
    """The first stream of moving pictures; a cover picture of a sound file is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def _frame_seconds(video: Any) -> float:
    rate = video.average_rate if video is not None else None
    return 1 / float(rate) if rate and 1 <= rate <= 1000 else 0.04


def _words(fault: BaseException) -> str:
    text = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
    return str(text).split(";")[0][:120]
