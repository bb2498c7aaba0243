"""Push a film to a waiting RTSP receiver, as a camera does; a process of its own.

    python -m tests.streaming.push FILM URL

FFmpeg opens outputs with the interpreter's lock held, so a receiver in the same process would
never answer.
"""

import sys
import time

import av
from av.error import ConnectionRefusedError as Refused


def main(film: str, url: str) -> None:
    for _ in range(100):
        try:
            push(film, url)
        except Refused:  # nobody listens yet
            time.sleep(0.05)
        else:
            return


def push(film: str, url: str) -> None:
    with (
        av.open(film) as source,
        av.open(url, "w", format="rtsp", options={"rtsp_transport": "tcp"}) as output,
    ):
        video = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                output.mux(packet)


if __name__ == "__main__":
    main(*sys.argv[1:])
