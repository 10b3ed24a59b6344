#!/bin/sh
# Lets the partition $1 (a device, or a link to one) and the ext4 on it, which is mounted, fill the disk: up to the
# next partition, or to what an MBR can say.
#
# The number of the partition is what the kernel says, as the minor number counts differently on USB. Both
# halves do nothing when there is nothing to do, so a boot that was cut short between them is made up for by
# the next.
#
# On PATH: sfdisk, partx, resize2fs, and readlink, basename, dirname, cat of any kind.
set -eu
partition=$(readlink -f "$1")
sys=$(readlink -f "/sys/class/block/${partition##*/}")
disk=/dev/$(basename "$(dirname "$sys")")
number=$(cat "$sys/partition")

# In sectors of 512 bytes. Beyond 2 TiB there is nothing for an MBR.
end=$(($(cat "$sys/start") + $(cat "$sys/size")))
limit=$(cat "$sys/../size")
[ "$limit" -le 4294967296 ] || limit=4294967296
for start in "$sys"/../*/start; do
    start=$(cat "$start")
    [ "$start" -lt "$end" ] || [ "$start" -ge "$limit" ] || limit=$start
done
# Less than 8 MiB is not worth the risk.
if [ $((limit - end)) -ge 16384 ]; then
    # The size is said: beyond 2 TiB sfdisk begins to count anew, and `+` would make the partition smaller.
    # The kernel takes a new table only of a disk that is not in use; partx tells it of the one partition.
    echo ",$((limit - $(cat "$sys/start")))" | sfdisk --no-reread --no-tell-kernel --quiet -N "$number" "$disk"
    partx --update --nr "$number" "$disk"
fi
resize2fs "$partition"
