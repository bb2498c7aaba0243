"""Films that cameras show in a circle, each picture of which carries its number: a clock.

Over noise, of which the encoder makes as many bits as it is given, where capture is measured; in
the sky over nano's world, where the model shall have something to say. What it says is then not to
be trusted: it takes the clock for things that fly. Where that counts, the film has none.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from models.nano.draw import Painter
from models.nano.tower import PAINT_HEIGHT_PX, PAINT_WIDTH_PX
from models.nano.world import write_script
from streaming.footage import FootageStore
from streaming.messages import NS_PER_S, SegmentReady
from tests.streaming.live_server import Film
from tests.streaming.media import BITS, BLACK, WHITE, Pixels, number_of, numbered_picture

WORLD_SEEDS = range(97_000_001, 97_000_006)  # of scripts that the model was not trained on
WORLD_RATE, WORLD_S = 15, 60
SKY_SHARE = 15  # the clock takes the upper fifteenth of the picture


def noisy_film(
    path: Path, *, size_px: tuple[int, int], bit_rate: int, rate: int, seconds: int
) -> Film:
    """A clock over noise, with a keyframe a second; made once."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 60, (size_px[1] // 2, size_px[0], 1), dtype=np.uint8)

    def pictures() -> Iterator[Pixels]:
        for number in range(seconds * rate):
            pixels = numbered_picture(number, size_px)
            pixels[size_px[1] // 2 :][: len(noise)] = 100 + np.roll(noise, 7 * number, axis=1)
            yield pixels

    if not path.exists():
        encode(path, pictures(), size_px=size_px, rate=rate, bit_rate=bit_rate)
    return film_in(path, rate=rate)


def world_films(folder: Path, number: int, *, has_clock: bool = True) -> list[Film]:
    """Minutes of nano's world at 640x360, for so many cameras."""
    name = "world" if has_clock else "plain"
    films = [
        world_film(folder / f"{name}-{seed}.h264", seed, has_clock=has_clock)
        for seed in WORLD_SEEDS[:number]
    ]
    return [films[at % len(films)] for at in range(number)]


def world_film(path: Path, seed: int, *, has_clock: bool) -> Film:
    """One of them; made once."""
    size_px = 2 * PAINT_WIDTH_PX, 2 * PAINT_HEIGHT_PX
    painter = Painter(
        write_script(seed, duration_s=WORLD_S),
        width_px=PAINT_WIDTH_PX,
        height_px=PAINT_HEIGHT_PX,
    )

    def pictures() -> Iterator[Pixels]:
        for number in range(WORLD_S * WORLD_RATE):
            pixels = painter.picture(number / WORLD_RATE).repeat(2, axis=0).repeat(2, axis=1)
            edges = np.linspace(0, size_px[0], BITS + 1).astype(int)
            for bit, (left, right) in enumerate(pairwise(edges) if has_clock else ()):
                level = WHITE if number >> bit & 1 else BLACK
                pixels[: size_px[1] // SKY_SHARE, left:right] = level
            yield pixels

    if not path.exists():
        encode(path, pictures(), size_px=size_px, rate=WORLD_RATE, bit_rate=600_000)
    return film_in(path, rate=WORLD_RATE)


def encode(
    path: Path, pictures: Iterable[Pixels], *, size_px: tuple[int, int], rate: int, bit_rate: int
) -> None:
    unfinished = path.with_name(f"unfinished-{path.name}")
    with av.open(str(unfinished), "w") as output:
        video = output.add_stream("libx264", rate=Fraction(rate))
        assert isinstance(video, VideoStream)
        video.width, video.height = size_px
        video.pix_fmt, video.bit_rate = "yuv420p", bit_rate
        video.codec_context.gop_size = rate
        keyframes = f"keyint={rate}:min-keyint={rate}:scenecut=0:bframes=0:threads=1"
        video.codec_context.options = {"preset": "veryfast", "x264-params": keyframes}
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            output.mux(video.encode(frame))
        output.mux(video.encode())
    unfinished.rename(path)


def film_in(path: Path, *, rate: int) -> Film:
    with av.open(str(path)) as made:
        return Film(path, [one.size for one in made.demux(video=0) if one.size], rate)


def world_pictures(store: FootageStore, segment: SegmentReady) -> Iterator[tuple[int, int]]:
    """Number and media time of each picture of a stored segment of `world_film`."""
    with store.open_local(segment.uri) as path, av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.pts is not None and frame.time_base is not None
            since_start = (frame.pts - segment.pts_origin) * frame.time_base * NS_PER_S
            if since_start >= 0:
                pixels = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
                number = number_of(pixels[: 2 * (len(pixels) // SKY_SHARE)])
                yield number, segment.span.start_ns + -(-since_start // Fraction(1))
