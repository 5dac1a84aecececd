#!/usr/bin/env bash
# Several machines without a scheduler: the same command on each, within a minute.
#
#   FIRST=10.0.0.1 MACHINES=2 MACHINE=0 examples/launch/several_machines.sh --recipe medical --data chest --out chest-lora
#
# FIRST: address of the first machine, which all can reach.  MACHINES: how many there are.
# MACHINE: which one this is, from 0.  PORT: free on the first machine.  GPUS: of each machine.
# --data, --model and --out are on a disk that all machines share.
set -euo pipefail

exec torchrun --nnodes "$MACHINES" --node-rank "$MACHINE" --master-addr "$FIRST" --master-port "${PORT:-29500}" \
    --nproc-per-node "${GPUS:-gpu}" --no-python domainvl finetune "$@"
