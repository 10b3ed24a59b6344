#!/bin/sh
# trial-flag.sh LABEL: writes the content of trial.env that makes boot.cmd start the entry LABEL once.
#
# The format is that of a U-Boot environment of 512 bytes: a little-endian CRC-32, then NAME=VALUE, then zeros. 512
# zeros are no flag.
#
# On PATH: gzip, tail, head, od of any kind.
set -eu
entry="trial_label=$1"

data() {
    printf '%s' "$entry"
    head -c $((508 - ${#entry})) /dev/zero
}

# gzip ends with the CRC-32, in the byte order that U-Boot reads, and the length.
data | gzip -1 | tail -c 8 | head -c 4
data
