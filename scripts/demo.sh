#!/usr/bin/env bash
# The main job on the sample set, from raw clips to one table and a page. Each step is a command of the README.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
started=$SECONDS
step() { printf '\n== %s (%d s so far)\n' "$1" $((SECONDS - started)); }
train() {
  rm -rf "runs/$1"
  "$bin/accelerate" launch --config_file accelerate_config.yaml -m mosi_e2e.train --config "configs/$1.yaml"
}

step "1. a small MOSI-shaped set of synthetic clips: data/sample"
"$bin/python" -m preprocessing.sample --out data/sample
step "2. decode once, cache crops, waveform, behaviour tokens, openSMILE: cache/sample"
"$bin/python" -m preprocessing --config configs/sample_preprocess.yaml
step "3. train the baseline: runs/sample_late_fusion"
train sample_late_fusion
step "4. train the cross-modal transformer: runs/sample_crossmodal"
train sample_crossmodal
step "5. the test split, scored once with the weights that were best on valid"
"$bin/python" -m mosi_e2e.evaluate runs/sample_late_fusion runs/sample_crossmodal --split test
step "6. a page about both: report/"
"$bin/python" -m mosi_e2e.report runs/sample_late_fusion runs/sample_crossmodal --out report
printf '\ndone in %d s. Open report/index.html. Next: README.md, "Real MOSI".\n' $((SECONDS - started))
