"""Frames as JPEG images: what models read that know no visual tokens of ours.

They are kept in the shape of tokens, so that they are stored, checked, led in and forgotten like
these: one image a row, filled up with zeros, which no JPEG ends with.

Shape letters: see `models.engine`.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from models.engine import ClipTokens, LeadIn
from models.errors import UnusableFrames

PICTURES_ID = "jpeg.v1"
"""What makes them, in place of the hash of an encoder's weights."""
QUANTISER = 3  # of 1 (best) to 31: some 40 kB for a picture of 448 x 448


def pictures(
    frames_THWC: NDArray[np.uint8], times_s_T: Sequence[float], *, layout_id: str
) -> ClipTokens:
    """The same frames give the same bytes.

    Raises:
        UnusableFrames
    """
    shape = frames_THWC.shape
    if len(shape) != 4 or 0 in shape or shape[-1] != 3:
        raise UnusableFrames(shape)
    images = [np.frombuffer(_jpeg(frame_HWC), np.uint8) for frame_HWC in frames_THWC]
    tokens_KD = np.zeros((len(images), max(map(len, images))), np.uint8)
    for row, image in zip(tokens_KD, images, strict=True):
        row[: len(image)] = image
    return ClipTokens(
        tokens_KD=tokens_KD,
        frame_K=np.arange(len(images), dtype=np.int16),
        times_s_T=np.asarray(times_s_T, np.float32),
        layout_id=layout_id,
        encoder_id=PICTURES_ID,
    )


def images_of(clip: ClipTokens) -> list[tuple[float, bytes]]:
    """The images, each with its seconds from the clip's start."""
    return [
        (float(time_s), row.tobytes().rstrip(b"\0"))
        for time_s, row in zip(clip.times_s_T, clip.tokens_KD, strict=True)
    ]


def led_in(clip: ClipTokens, lead_in: LeadIn, *, lead_in_s: float) -> ClipTokens:
    """The clip with the last pictures of the one before, at negative times."""
    before = lead_in.clip
    first = int(np.searchsorted(before.times_s_T, lead_in.ends_s - lead_in_s))
    last = replace(
        before,
        tokens_KD=before.tokens_KD[first:],
        times_s_T=before.times_s_T[first:] - np.float32(lead_in.ends_s),
    )
    return joined(last, clip)


def joined(before: ClipTokens, clip: ClipTokens) -> ClipTokens:
    """The pictures of both, one after the other, as those of the clip."""
    rows = [*before.tokens_KD, *clip.tokens_KD]
    tokens_KD = np.zeros((len(rows), max(map(len, rows))), np.uint8)
    for row, image in zip(tokens_KD, rows, strict=True):
        row[: len(image)] = image
    return replace(
        clip,
        tokens_KD=tokens_KD,
        frame_K=np.arange(len(rows), dtype=np.int16),
        times_s_T=np.concatenate([before.times_s_T, clip.times_s_T]),
    )


def _jpeg(frame_HWC: NDArray[np.uint8]) -> bytes:
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    encoder.qmin = encoder.qmax = QUANTISER
    packets = [*encoder.encode(picture.reformat(format="yuvj420p")), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
