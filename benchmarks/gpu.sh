#!/usr/bin/env bash
# On a bare machine with an NVIDIA GPU, torch and transformers: measure the model on it and on its CPU, also
# NVDEC where PyAV (av) is installed, and search where FAISS (faiss-gpu) is; what is left out it names.
# Writes benchmarks/results/gpu.json with the date and the device; with --small, nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv
python3 -m benchmarks.gpu "$@"
