"""A GPU's decoder that is not there, or gives up: the CPU's pictures, and one word about it."""

import logging
from pathlib import Path

import numpy as np
import pytest
from av.codec.hwaccel import HWAccel

from streaming.errors import NvdecUnavailable, UnreadableMedia
from streaming.nvdec import Nvdec, open_nvdec
from tests.streaming.media import film
from tests.streaming.sampling_truth import sample

NO_SUCH_GPU = "cuda:99"


def gone() -> Nvdec:
    """A decoder that worked once, on a GPU that is not there any more."""
    return Nvdec(NO_SUCH_GPU, HWAccel("cuda", device="99", is_hw_owned=True))


def test_a_gpu_that_is_not_there_is_named_with_a_remedy() -> None:
    with pytest.raises(NvdecUnavailable, match=r"NVDEC of cuda:99 .*; install") as raised:
        open_nvdec(NO_SUCH_GPU)

    assert raised.value.device == NO_SUCH_GPU
    assert raised.value.reason


@pytest.mark.parametrize("name", ["film.mp4", "film.ts"])
def test_where_the_gpu_gives_up_the_cpu_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    film(tmp_path / name, frames=90, gop=30, b_frames=2)
    plain, fallen_back = sample(tmp_path / name), sample(tmp_path / name, nvdec=gone())

    for one, other in zip(plain, fallen_back, strict=True):
        assert one.media_ns == other.media_ns
        assert np.array_equal(one.pixels_HWC, other.pixels_HWC)
    assert plain.counts == fallen_back.counts


def test_it_is_said_once_and_not_for_every_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film(tmp_path / "film.mp4", frames=30)
    nvdec = gone()
    with caplog.at_level(logging.WARNING, logger="streaming"):
        for _ in range(3):
            assert list(sample(tmp_path / "film.mp4", nvdec=nvdec))

    [said] = [one for one in caplog.records if one.name == "streaming.nvdec"]
    assert said.levelno == logging.WARNING
    assert said.getMessage().startswith("film.mp4: decoded on the CPU, because NVDEC gave up: ")


def test_what_the_cpu_cannot_decode_either_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("not a film")

    with pytest.raises(UnreadableMedia):
        list(sample(tmp_path / "film.mp4", origin=0, nvdec=gone()))
