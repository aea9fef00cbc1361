#!/usr/bin/env bash
# An NPNet for your own fine-tune of SDXL: pairs of source and golden noise, a network, one prompt side by side.
#   bash examples/collect_your_fine_tune.sh MODEL PROMPTS [KEY=VALUE ...]
# MODEL: a diffusers folder or a hub id. PROMPTS: a text file, one prompt a line; the paper took 100,000.
# KEY=VALUE go to all three stages, such as model.guidance=7.5, compute.batch_size=4 or outputs=FOLDER.
# Every pair is kept, and no image is sampled. To keep those that people would prefer, write scorer=[hpsv2]
# stage.preference=hpsv2 in place of scorer=[] stage.preference=null; it fetches the scorer's weights.
set -euo pipefail
model=$1 prompts=$2
shift 2
run() {
    python -m goldennoise "$@"
}
of_model=(name=mine model=sdxl model.path="$model" model.variant=null "$@")
first=$(head -n 1 "$prompts")
run stage=collect prompts=file prompts.path="$prompts" scorer=[] stage.preference=null "${of_model[@]}"
run stage=train npnet=published "${of_model[@]}"
run stage=sample method=[npnet] "stage.prompt=\"${first//\"/\\\"}\"" "${of_model[@]}"
