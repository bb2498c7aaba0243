"""Have the real service watch files, and ask it, as the benchmarks need it."""

import json
import os
import platform
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from services.answer import Answerer
from services.looking import Looker
from services.registry import NewStream
from services.settings import Settings
from services.up import Running, run_service
from services.wiring import Stores, load_engine, now_at, open_index, opened

RESULTS = Path("benchmarks/results")


def watch(settings: Settings, files: Mapping[str, Path]) -> float:
    """Watch files to their end, as fast as can be; return the seconds that took."""
    with opened(settings, make=True) as stores:
        for name, path in files.items():
            if name not in stores.registry.names():
                stores.registry.add(NewStream(name=name, url=str(path.resolve()), realtime=False))
    begun = time.monotonic()
    run_service(Running(settings, load_engine, until_idle=True), threading.Event())
    return time.monotonic() - begun


@contextmanager
def answerer(settings: Settings) -> Generator[tuple[Answerer, Stores]]:
    """What `longwatch ask` asks, and the stores behind it."""
    with opened(settings) as stores:
        engine = load_engine(settings)
        index = open_index(stores, engine).index
        looker = Looker(engine=engine, record=stores.record, tokens=stores.tokens, index=index)
        yield (
            Answerer(
                engine=engine,
                record=stores.record,
                registry=stores.registry,
                looker=looker,
                now_at=now_at,
            ),
            stores,
        )


def machine() -> dict[str, object]:
    """What a figure depends on besides the code."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {
        "processor": cpus[0].partition(":")[2].strip() if cpus else platform.processor(),
        "cores": len(cpus),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "av", "faiss-cpu")},
    }


def load_average() -> float:
    """Of the last minute; to be looked at before something is measured."""
    return round(os.getloadavg()[0], 2)


def room_there_was(load_before: float) -> dict[str, object]:
    """What a time depends on besides the machine: its cores that were used, and who used them."""
    return {
        "cores_used": len(os.sched_getaffinity(0)),
        "load_average_before_and_after": [load_before, load_average()],
    }


def write_result(name: str, result: Mapping[str, object]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path
