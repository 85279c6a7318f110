#!/usr/bin/env bash
# What a GPU has to be asked, in one command: under 8 minutes on one card of a machine with 8 cores.
#
#   bash benchmarks/gpu.sh            # the default recipe at full size; random weights, which take the same time
#   bash benchmarks/gpu.sh --small    # the same steps with small models, anywhere: does the script work?
#
# Step time, memory, share of the card's own bf16 rate and wait for data: in bf16, in fp16, compiled, under FSDP and
# DeepSpeed; then a prediction. A step that fails or takes too long says so in the table and stops nothing.
# runs/gpu (or the folder after --small) gets a log and a JSON file for each step, and table.md for
# benchmarks/RESULTS.md.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin out=runs/gpu seconds=100
data=data/sample cache=cache/gpu updates=40 minutes=1 clips=()
recipe=(--config configs/crossmodal.yaml model.crossmodal.face.pretrained=false
  model.crossmodal.speech.model=wav2vec2 model.crossmodal.speech.pretrained=false)
if [ "${1:-}" = --small ]; then
  out=${2:-runs/gpu_small} updates=1 minutes=0.1 clips=(--clips 6 --videos 3)
  data=$out/data cache=$out/cache
  recipe=(--config configs/sample_crossmodal.yaml data.batch_size=2)
fi
rm -rf "$out" && mkdir -p "$out"

step() { # name, seconds at most, command: its log, how long it took, how it ended
  local name=$1 most=$2 from=$SECONDS
  shift 2
  echo "$name ..."
  timeout --kill-after=10 "$most" "$@" >"$out/$name.log" 2>&1
  echo "$? $((SECONDS - from))" >"$out/$name.end"
}
train() { # name, seconds at most, options of the launcher, --, settings
  local name=$1 most=$2 launcher=()
  shift 2
  while [ "$1" != -- ]; do launcher+=("$1") && shift; done
  step "$name" "$most" "$bin/accelerate" launch "${launcher[@]}" --num_processes 1 benchmarks/train.py \
    "${recipe[@]}" "data.cache=$cache" --updates "$updates" --json "$out/$name.json" "${@:2}"
}

step clips 300 "$bin/python" -m preprocessing.sample --out "$data" ${clips[@]+"${clips[@]}"}
step cache 300 "$bin/python" -m preprocessing --config configs/preprocess.yaml "labels=$data" "out=$cache"
train bf16 $seconds --config_file accelerate_config.yaml --
train fp16 $seconds --config_file accelerate_config.yaml --mixed_precision fp16 --
train compiled 150 --config_file accelerate_config.yaml -- compile=true
train fsdp $seconds --config_file configs/accelerate/fsdp.yaml --
train deepspeed $seconds --config_file configs/accelerate/deepspeed.yaml -- data.micro_batch=0
step predict 100 "$bin/python" benchmarks/predict.py --minutes "$minutes" --json "$out/predict.json"
"$bin/python" benchmarks/gpu_table.py "$out" | tee "$out/table.md"
