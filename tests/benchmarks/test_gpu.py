"""The benchmark for a GPU machine runs to its end where there is none, naming what it left out."""

import json
import subprocess
import sys

import faiss

from tests.conftest import ROOT, has_gpu


def test_every_part_is_measured_or_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--small", "--turns", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    [decoded] = result["decoding"].values()
    search = result["search"]["10000"]

    assert result["cpu"]["encode_clip_s"] > 0
    assert result["clips_at_once"]["cpu"]["8"]["frames_per_s"] > 0
    assert result["clips_at_once"]["cpu"]["8"]["peak_bytes"] > 2**20
    assert decoded["cpu"]["1_at_once_times_real_time"] > 0
    assert search["matrix"]["cpu_1_threads_s"] > 0
    assert search["index"]["cpu_s"] > 0
    if not has_gpu():
        assert "NVDEC: left out, " in done.stderr
    if not faiss.get_num_gpus():
        assert "search among 10000 vectors: left out, FAISS finds 0 GPUs" in done.stderr
