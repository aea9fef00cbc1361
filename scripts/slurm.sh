#!/usr/bin/env bash
#SBATCH --job-name=goldennoise
#SBATCH --time=24:00:00
#SBATCH --cpus-per-task=8
# A stage, or an experiment, on all GPUs of a Slurm job, one process for each. From the repository's folder:
#   sbatch --nodes=2 --gpus-per-node=8 --ntasks-per-node=8 scripts/slurm.sh stage=collect model=sdxl [KEY=VALUE ...]
# Submitted again, a job that was stopped goes on.
set -euo pipefail
source .venv/bin/activate
# A process that dies takes the others with it: they would wait for it.
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" python -m goldennoise compute=ddp "$@"
