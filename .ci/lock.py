"""Print constraints.txt anew: every package in this environment, at its version.

Its comment stays, and so do pins of what pyproject.toml names and this environment lacks, as it
lacks one of the two FAISS: those came from an environment that had it.
"""

import re
import sys
import sysconfig
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PINNED_BY_TORCH = re.compile("nvidia|cuda|triton")

lines = Path("constraints.txt").read_text().splitlines()
project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
pins = {
    canonicalize_name(one.name): one.version.partition("+")[0]  # builds of torch say for what
    for one in distributions(path=[sysconfig.get_path("purelib")])
}
pins = {name: version for name, version in pins.items() if not PINNED_BY_TORCH.match(name)}
pins.pop(project["name"], None)
named = {
    canonicalize_name(Requirement(text).name)
    for extra in project["optional-dependencies"].values()
    for text in extra
}
for name, _, version in (line.partition("==") for line in lines if not line.startswith("#")):
    if name in named:
        pins.setdefault(canonicalize_name(name), version)

sys.stdout.writelines(f"{line}\n" for line in lines if line.startswith("#"))
sys.stdout.writelines(f"{name}=={version}\n" for name, version in sorted(pins.items()))
