"""What ffprobe says of a file: a second opinion on real footage, whose maker we cannot ask."""

import json
import subprocess
from fractions import Fraction
from pathlib import Path

COMMAND = (
    "ffprobe -v error -select_streams v:0 -show_entries stream=time_base:frame=pts -of json"
).split()


def times_s(path: Path) -> list[Fraction]:
    """When each frame is shown, the first at zero."""
    done = subprocess.run([*COMMAND, str(path)], capture_output=True, check=True)
    said = json.loads(done.stdout)
    unit_s = Fraction(said["streams"][0]["time_base"])
    shown = [frame["pts"] * unit_s for frame in said["frames"]]
    return [at_s - shown[0] for at_s in shown]
