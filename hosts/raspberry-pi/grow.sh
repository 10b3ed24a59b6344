#!/bin/sh
# Grows the partition $1 (a device, or a link to one) and the mounted ext4 on it, until they fill the disk: up to the
# next partition, or to the 2 TiB of an MBR.
#
# The number of the partition comes from sysfs, as minor numbers count differently on USB. Each of the two steps does
# nothing where it has been done, so the next boot completes what a power cut between them left.
#
# On PATH: sfdisk, partx, resize2fs, and readlink, basename, dirname, cat of any kind.
set -eu
partition=$(readlink -f "$1")
sys=$(readlink -f "/sys/class/block/${partition##*/}")
disk=/dev/$(basename "$(dirname "$sys")")
number=$(cat "$sys/partition")

# All numbers are sectors of 512 bytes. An MBR ends at 2 TiB.
end=$(($(cat "$sys/start") + $(cat "$sys/size")))
limit=$(cat "$sys/../size")
[ "$limit" -le 4294967296 ] || limit=4294967296
for file in "$sys"/../*/start; do
    start=$(cat "$file")
    [ "$start" -lt "$end" ] || [ "$start" -ge "$limit" ] || limit=$start
done
# Growth by less than 8 MiB is not worth the risk.
if [ $((limit - end)) -ge 16384 ]; then
    # sfdisk gets the size as a number: beyond 2 TiB it counts from 0 again, and `+` would make the partition smaller.
    # The kernel reads a new table only from a disk that is not in use, so partx updates the one partition.
    echo ",$((limit - $(cat "$sys/start")))" | sfdisk --no-reread --no-tell-kernel --quiet -N "$number" "$disk"
    partx --update --nr "$number" "$disk"
fi
resize2fs "$partition"
