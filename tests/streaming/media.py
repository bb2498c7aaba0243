"""Builders of small real video files, and the times that their frames truly have.

Every picture carries its number as a row of black and white blocks, so that a test can tell which
frame it was given after any amount of scaling, turning and encoding: `number_of(pixels)`.
The truth is what was handed to the encoder; no second tool is asked.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import InvalidDataError
from av.video.stream import VideoStream
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

BITS = 12
BLACK, WHITE = 40, 215
TS_BYTES, VIDEO_PID = 188, 256  # of the transport streams that FFmpeg writes


@dataclass(frozen=True)
class Recipe:
    """How a film is made. `ticks` gives the times of the frames in units of `time_base`."""

    frames: int = 60
    rate: Fraction = Fraction(15)
    size_px: tuple[int, int] = (192, 108)
    gop: int = 15
    b_frames: int = 0
    open_gop: bool = False
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    ticks: Sequence[int] | None = None
    time_base: Fraction | None = None
    first_number: int = 0
    audio: str | None = None
    rotation: int | None = None
    container: str | None = None
    options: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def unit(self) -> Fraction:
        return self.time_base or 1 / self.rate

    @property
    def all_ticks(self) -> list[int]:
        return list(self.ticks) if self.ticks is not None else list(range(self.frames))

    @property
    def times_s(self) -> list[Fraction]:
        """When each frame is shown, counted from the first."""
        first, *_ = ticks = self.all_ticks
        return [(tick - first) * self.unit for tick in ticks]

    @property
    def times_ns(self) -> list[int]:
        """The same in nanoseconds, rounded up."""
        return [-(-time_s * 1_000_000_000 // 1) for time_s in self.times_s]


def film(path: Path, recipe: Recipe | None = None, **changes: Any) -> Recipe:
    """Write a film and return its recipe, which knows the true times."""
    recipe = recipe or Recipe(**changes)
    with av.open(str(path), "w", format=recipe.container, options=recipe.options) as output:
        video = add_video(output, recipe)
        sound = add_sound(output, recipe.audio) if recipe.audio else None
        for number, ticks in enumerate(recipe.all_ticks):
            frame = av.VideoFrame.from_ndarray(
                numbered_picture(recipe.first_number + number, recipe.size_px), format="rgb24"
            )
            frame.pts, frame.time_base = ticks, recipe.unit
            output.mux(video.encode(frame))
            if sound is not None:
                add_tone(output, sound, number, recipe.rate)
        output.mux(video.encode())
        if sound is not None:
            output.mux(sound.encode())
    return recipe


def pieces(folder: Path, *, count: int, first_tick: int, first_number: int = 0) -> list[Path]:
    """A film in files of one second each."""
    made: list[Path] = []
    for index in range(count):
        made.append(folder / f"{first_number}-{index}.ts")
        begin = first_tick + index * 90_000
        film(
            made[-1],
            ticks=range(begin, begin + 90_000, 6000),
            time_base=Fraction(1, 90_000),
            first_number=first_number + index * 15,
        )
    return made


def fragments(folder: Path, *, count: int, first_tick: int) -> tuple[Path, list[Path]]:
    """The same in fragments of one MP4 file, after what they begin with."""
    film(
        folder / "list.m3u8",
        ticks=range(first_tick, first_tick + count * 90_000, 6000),
        time_base=Fraction(1, 90_000),
        container="hls",
        options={"hls_segment_type": "fmp4", "hls_time": "1", "hls_list_size": "0"},
    )
    return folder / "init.mp4", [folder / f"list{index}.m4s" for index in range(count)]


def pieces_of_one(folder: Path, *, count: int, first_tick: int, gop: int) -> list[Path]:
    """A film of one transport stream in pieces of a second, of which few begin with a keyframe."""
    ticks = range(first_tick, first_tick + count * 90_000, 6000)
    film(folder / "whole.ts", ticks=ticks, time_base=Fraction(1, 90_000), gop=gop)
    data = (folder / "whole.ts").read_bytes()
    pictures = [at for at in range(0, len(data), TS_BYTES) if begins_picture(data, at)]
    edges = [0, *pictures[15::15], len(data)]
    made = [folder / f"{index}.ts" for index in range(count)]
    for path, (begin, end) in zip(made, pairwise(edges), strict=True):
        path.write_bytes(data[begin:end])
    return made


def begins_picture(data: bytes, at: int) -> bool:
    """Whether a packet of a transport stream begins a picture of its first video track."""
    flags_and_pid = int.from_bytes(data[at + 1 : at + 3], "big")
    return bool(flags_and_pid & 0x4000) and flags_and_pid & 0x1FFF == VIDEO_PID


def add_video(output: OutputContainer, recipe: Recipe) -> VideoStream:
    video = output.add_stream(recipe.codec, rate=recipe.rate)
    assert isinstance(video, VideoStream)
    video.width, video.height = recipe.size_px
    video.pix_fmt = recipe.pix_fmt
    video.codec_context.time_base = recipe.unit
    video.time_base = recipe.unit
    video.codec_context.gop_size = recipe.gop
    if recipe.codec == "libx264":
        video.codec_context.options = {
            "preset": "ultrafast" if recipe.size_px[0] > 4000 else "veryfast",
            "x264-params": f"keyint={recipe.gop}:min-keyint={recipe.gop}:scenecut=0:b-adapt=0"
            f":bframes={recipe.b_frames}:open-gop={int(recipe.open_gop)}:threads=1",
        }
    if recipe.rotation is not None:
        video.set_display_rotation(recipe.rotation)
    return video


def add_sound(output: OutputContainer, codec: str) -> AudioStream:
    sound = output.add_stream(codec, rate=8000 if codec.startswith("pcm") else 48000)
    assert isinstance(sound, AudioStream)
    sound.layout = "mono"
    return sound


def add_tone(
    output: OutputContainer, sound: AudioStream, number: int, picture_rate: Fraction
) -> None:
    samples = int(sound.sample_rate / picture_rate)
    tone = np.sin(np.arange(samples) / 10)
    if sound.format.name == "fltp":
        frame = av.AudioFrame.from_ndarray(
            tone.astype(np.float32)[None], format="fltp", layout="mono"
        )
    else:
        frame = av.AudioFrame.from_ndarray(
            (tone * 9000).astype(np.int16)[None], format="s16", layout="mono"
        )
    frame.sample_rate = sound.sample_rate
    frame.pts, frame.time_base = number * samples, Fraction(1, sound.sample_rate)
    output.mux(sound.encode(frame))


def sound_only(path: Path, *, seconds: int = 2, codec: str = "aac") -> None:
    with av.open(str(path), "w") as output:
        sound = add_sound(output, codec)
        for number in range(seconds * 15):
            add_tone(output, sound, number, Fraction(15))
        output.mux(sound.encode())


def numbered_picture(number: int, size_px: tuple[int, int]) -> Pixels:
    """A grey ramp that moves with the number, and the number in binary across the upper half."""
    width_px, height_px = size_px
    ramp = (np.arange(width_px) + 3 * number) % 256
    pixels = np.broadcast_to(ramp[None, :, None], (height_px, width_px, 3)).astype(np.uint8)
    edges = np.linspace(0, width_px, BITS + 1).astype(int)
    for bit, (left, right) in enumerate(pairwise(edges)):
        pixels[: height_px // 2, left:right] = WHITE if number >> bit & 1 else BLACK
    return pixels


def number_of(pixels: Pixels) -> int:
    """The number that `numbered_picture` wrote; scaling and encoding do not hide it."""
    upper = pixels[: pixels.shape[0] // 2].mean(axis=(0, 2))
    blocks = np.array_split(upper, BITS)
    return sum(1 << bit for bit, block in enumerate(blocks) if block.mean() > 128)


@dataclass(frozen=True)
class Shown:
    """A frame as a plain full decode of a file gives it."""

    number: int
    pts: int | None
    time_base: Fraction


def frames_of(path: Path | str) -> Iterator[Shown]:
    """Every frame of a file that decodes, in the plainest way."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.time_base is not None
        for packet in container.demux(video):
            with suppress(InvalidDataError):
                for frame in packet.decode():
                    pixels = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
                    yield Shown(number=number_of(pixels), pts=frame.pts, time_base=video.time_base)


def damaged(source: Path, target: Path, *, at: float, length: int) -> None:
    """Copy a file with `length` bytes inverted at the fraction `at` of its size."""
    data = bytearray(source.read_bytes())
    begin = int(len(data) * at)
    data[begin : begin + length] = bytes(255 - byte for byte in data[begin : begin + length])
    target.write_bytes(bytes(data))


def cut_short(source: Path, target: Path, *, at: float) -> None:
    """Copy the first part of a file."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * at)])


def joined(target: Path, *sources: Path) -> None:
    """Put the bytes of files one after the other, as MPEG-TS and raw H.264 allow."""
    target.write_bytes(b"".join(source.read_bytes() for source in sources))
