#!/bin/sh
# Lets the partition $1 (a device, or a link to one) and the ext4 on it, which is mounted, fill the disk.
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

end=$(($(cat "$sys/start") + $(cat "$sys/size")))
# In sectors of 512 bytes: less than 8 MiB is not worth the risk.
if [ $(($(cat "$sys/../size") - end)) -ge 16384 ]; then
    # The kernel takes a new table only of a disk that is not in use; partx tells it of the one partition.
    echo ',+' | sfdisk --no-reread --no-tell-kernel --quiet -N "$number" "$disk"
    partx --update --nr "$number" "$disk"
fi
resize2fs "$partition"
