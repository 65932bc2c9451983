#!/usr/bin/env bash
# One call on a lent GPU machine without network:  bash training/lease.sh 1|2 [minutes] [seconds for the ControlNet]
# Needs beside this tree: .whl/ (diffusers, segment-anything), .cache/emoji-world/*.npz, and for phase 2 either a
# machine still warm from phase 1 or its weights in .runs/. What is to come back goes to $OUT.
set -eu
started=$(date +%s)
phase=$1 minutes=${2:-9.3} controlnet=${3:-130}
cd "$(dirname "$0")/.."
run=/tmp/emoji-run
mkdir -p "$run" "$OUT"
if [ ! -d /tmp/site ]; then
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target /tmp/site .whl/*.whl
fi
if [ -d .runs ]; then cp -n .runs/*.safetensors "$run"/ || true; fi
export PYTHONPATH=/tmp/site PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
export TORCHINDUCTOR_CACHE_DIR=/tmp/inductor TRITON_CACHE_DIR=/tmp/triton
nvidia-smi --query-gpu=name,memory.total --format=csv,noheader || true
spent=$(($(date +%s) - started))
minutes=$(python3 -c "print($minutes - $spent / 60)")
python3 -m training.all --phase "$phase" --minutes "$minutes" --controlnet "$controlnet" --folder "$run" --out "$OUT" "${@:4}"
tail -n 45 "$OUT/log.txt"
ls -l "$OUT"
