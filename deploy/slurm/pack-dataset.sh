#!/bin/bash
# Make a crop dataset with Slurm: a job that indexes and plans, an array that packs, and a job that finishes.
#
#   deploy/slurm/pack-dataset.sh DIV2K 64                        # 64 parts
#   deploy/slurm/pack-dataset.sh /data/photos 64 --crops-size-px 256
#   SBATCH_PARTITION=cpu deploy/slurm/pack-dataset.sh DIV2K 64   # sbatch reads SBATCH_PARTITION, SBATCH_ACCOUNT and others
#
# More parts than shards cost nothing but empty jobs; `sr-factory shards DIV2K` says how many shards there are.
set -euo pipefail

dataset=${1:?usage: pack-dataset.sh DATASET PARTS [options of MakeCrops]}
parts=${2:?usage: pack-dataset.sh DATASET PARTS [options of MakeCrops]}
shift 2
here=$(cd "$(dirname "$0")" && pwd)
options=$(printf ' %q' "$@")

# Indexing reads every image once: give this job the cores and the time for that.
plan=$(sbatch --parsable --job-name=sr-plan --output=%x-%j.log --cpus-per-task=8 --mem=8G --time=08:00:00 \
    --wrap "exec sr-factory shards $(printf %q "$dataset")$options")

pack=$(sbatch --parsable --dependency="afterok:$plan" --kill-on-invalid-dep=yes --array="1-$parts" \
    "$here/pack.sbatch" "$dataset" "$parts" "$@")

# MakeCrops packs what a failed part has left, so it may run after any end of the array (afterany).
finish=$(sbatch --parsable --dependency="afterany:$pack" --kill-on-invalid-dep=yes --job-name=sr-finish \
    --output=%x-%j.log --cpus-per-task=8 --mem=8G --time=08:00:00 \
    --wrap "exec sr-factory MakeCrops --dataset $(printf %q "$dataset")$options")

echo "plan: job $plan, pack: array $pack, finish: job $finish. The log of the last, sr-finish-$finish.log, ends with the result."
