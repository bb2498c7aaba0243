"""What a GPU does for us, beside the CPU of the same machine: the model, decoding, and search.

Needs torch and transformers; decoding is measured where PyAV is installed, and search where FAISS
is. Run it with `benchmarks/gpu.sh`. Random weights of a real size (SigLIP base, Qwen2 of 0.5
billion parameters) unless told otherwise: speed does not depend on them.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen2Config, SiglipVisionConfig

from models.config import LongwatchConfig
from models.layout import SlowFast, StreamLayout
from models.video_llm import LongwatchForConditionalGeneration

CLIPS_AT_ONCE = (1, 2, 4, 8)
RESULT = Path("benchmarks/results/gpu.json")
NANO, NANO_SEED = Path("models/nano/checkpoint"), 96_000_001
LAYOUT = StreamLayout(
    image_size_px=224, max_frames=20, fps=2, compression=SlowFast(slow_stride=5, pool=2)
)
SMALL = (
    SiglipVisionConfig(hidden_size=128, intermediate_size=512, num_hidden_layers=4,
                       num_attention_heads=4, image_size=224, patch_size=16, vision_use_head=False),
    Qwen2Config(hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=4,
                num_key_value_heads=2, vocab_size=1024, tie_word_embeddings=True),
)  # fmt: skip
REAL = (
    SiglipVisionConfig(image_size=224, patch_size=16, vision_use_head=False),
    Qwen2Config(hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
                num_attention_heads=14, num_key_value_heads=2, vocab_size=151_936,
                tie_word_embeddings=True),
)  # fmt: skip


def timed(work: Callable[[], object], *, device: str, turns: int) -> float:
    """Median seconds of one turn, after one that does not count."""
    seconds: list[float] = []
    for turn in range(turns + 1):
        begun = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if turn:
            seconds.append(time.perf_counter() - begun)
    return sorted(seconds)[len(seconds) // 2]


@torch.inference_mode()
def measure(
    model: LongwatchForConditionalGeneration, device: str, *, turns: int
) -> dict[str, float]:
    model = model.to(device).eval()  # type: ignore[arg-type]
    pixels = torch.zeros(LAYOUT.max_frames, 3, LAYOUT.image_size_px, LAYOUT.image_size_px)
    pixels = pixels.to(device)
    times_s = [number / LAYOUT.fps for number in range(LAYOUT.max_frames)]

    def encode() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16):
            made = model.compress(pixels)
            return model.project(made, times_s)

    tokens_KD = encode()
    ids = torch.full((1, len(tokens_KD)), model.config.video_token_id, device=device)

    def read() -> object:
        with torch.autocast(device, torch.bfloat16):
            return model(input_ids=ids, visual_XD=tokens_KD)

    return {
        "tokens_a_clip": len(tokens_KD),
        "encode_clip_s": timed(encode, device=device, turns=turns),
        "read_clip_s": timed(read, device=device, turns=turns),
    }


@torch.inference_mode()
def batches(
    model: LongwatchForConditionalGeneration, device: str, *, turns: int
) -> dict[str, dict[str, float]]:
    """The tower over the frames of several clips at once, by the number of clips."""
    model = model.to(device).eval()  # type: ignore[arg-type]
    side_px, result = LAYOUT.image_size_px, dict[str, dict[str, float]]()
    for num_clips in CLIPS_AT_ONCE:
        num_frames = num_clips * LAYOUT.max_frames
        pixels = torch.zeros(num_frames, 3, side_px, side_px, device=device)

        def encode(pixels: torch.Tensor = pixels) -> object:
            with torch.autocast(device, torch.bfloat16):
                return model.features(pixels)

        reset_peak(device)
        took_s = timed(encode, device=device, turns=turns)
        result[str(num_clips)] = {
            "frames_per_s": num_frames / took_s,
            "peak_bytes": peak_bytes(device),
        }
    return result


def reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # what is resident at most, from now on


def peak_bytes(device: str) -> int:
    """Most memory since it was reset: of torch on a GPU, of the whole process on the CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def same_words() -> list[dict[str, str]]:
    """Notes that longwatch-nano writes on the CPU and on the GPU, of the same pictures."""
    from models.nano.draw import Painter
    from models.nano.world import write_script
    from models.transformers_engine import TransformersEngine

    painter = Painter(write_script(NANO_SEED, duration_s=60), width_px=320, height_px=180)
    clips = [np.stack([painter.picture(10.0 * n + at) for at in range(10)]) for n in range(6)]
    notes: list[list[str]] = []
    for device in ("cpu", "cuda"):
        engine = TransformersEngine.load(NANO, device=device)
        tokens = [engine.encode(clip, range(10)).tokens for clip in clips]
        notes.append([engine.describe(one, previous=[]).text for one in tokens])
    return [{"cpu": one, "cuda": other} for one, other in zip(*notes, strict=True)]


def decoding(*, small: bool, turns: int) -> object:
    if find_spec("av") is None:
        return left_out("decoding", "PyAV is not installed")
    from benchmarks import gpu_decode

    return gpu_decode.measure(gpu_decode.SMALL if small else gpu_decode.FOOTAGE, turns=turns)


def searching(*, small: bool, turns: int) -> object:
    if find_spec("faiss") is None:
        return left_out("search", "FAISS is not installed")
    from benchmarks import gpu_search

    sizes = [10_000] if small else [100_000, 1_000_000, 10_000_000]
    return gpu_search.measure(sizes, turns=turns)


def left_out(what: str, why: str) -> dict[str, str]:
    print(f"{what}: left out, {why}", file=sys.stderr)
    return {"left_out": why}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a small model, to try this out")
    parser.add_argument("--turns", type=int, default=10)
    args = parser.parse_args()
    decoded = decoding(small=args.small, turns=args.turns)  # before torch is on the GPU, as `up`
    vision, text = SMALL if args.small else REAL
    config = LongwatchConfig(vision, text, LAYOUT.model_dump(mode="json"), video_token_id=1)
    model = LongwatchForConditionalGeneration(config)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    result: dict[str, object] = {
        "what": "a clip through tower, compressor and projector, and through the decoder, in bf16; "
        "the tower over several clips at once; decoding; search",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if "cuda" in devices else "no GPU",
        "torch": torch.__version__,
        "parameters": sum(one.numel() for one in model.parameters()),
        **{device: measure(model, device, turns=args.turns) for device in devices},
        "clips_at_once": {device: batches(model, device, turns=args.turns) for device in devices},
        "decoding": decoded,
        "search": searching(small=args.small, turns=args.turns),
    }
    if "cuda" in devices:
        result["notes of longwatch-nano"] = same_words()
        if not args.small:
            RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
