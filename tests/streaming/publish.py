"""Publish a film to a media server as a camera would: by the clock, in a circle, until killed.

    python -m tests.streaming.publish FILM URL RATE

Prints `filming SECONDS` once the server takes it: picture n was taken at SECONDS of the wall clock
+ n / RATE. A process of its own: FFmpeg opens outputs with the interpreter's lock held.
"""

import sys
import time
from fractions import Fraction
from itertools import count

import av
from av.error import FFmpegError


def publish(film: str, url: str, rate: int) -> None:
    with av.open(film) as source:
        template = source.streams.video[0]
        pictures = [packet for packet in source.demux(template) if packet.size]
        with av.open(url, "w", format="flv") as output:
            video = output.add_stream_from_template(template)
            output.start_encoding()
            begun_s = time.clock_gettime(time.CLOCK_REALTIME)
            sys.stdout.write(f"filming {begun_s!r}\n")
            sys.stdout.flush()
            for number in count():
                late_s = time.clock_gettime(time.CLOCK_REALTIME) - begun_s - number / rate
                time.sleep(max(0.0, -late_s))
                picture = pictures[number % len(pictures)]
                picture.stream, picture.time_base = video, Fraction(1, rate)
                picture.pts = picture.dts = number
                output.mux(picture)


def main(film: str, url: str, rate: str) -> None:
    try:
        publish(film, url, int(rate))
    except FFmpegError as error:
        sys.exit(f"the server takes no more: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
