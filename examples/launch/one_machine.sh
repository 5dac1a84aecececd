#!/usr/bin/env bash
# Several GPUs of one machine: one process each. All arguments go to domainvl finetune.
#
#   examples/launch/one_machine.sh --recipe medical --data chest --model mini-internvl-1b --out chest-lora
#
# GPUS: how many; all of the machine if it is not set. Without a GPU, GPUS=2 runs two processes on the CPU.
set -euo pipefail

exec torchrun --standalone --nproc-per-node "${GPUS:-gpu}" --no-python domainvl finetune "$@"
