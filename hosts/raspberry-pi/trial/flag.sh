# Functions for the flag of a trial on FIRMWARE, which is at $firmware. To be sourced.

# Prints the reason why no trial is possible; fails if a trial is possible.
trial_obstacle() {
    if ! mounted; then
        echo "FIRMWARE is not mounted at $firmware"
    elif ! cmp -s "$lib/boot.scr" "$firmware/boot.scr"; then
        echo "boot.scr on FIRMWARE is missing or outdated (run update-firmware)"
    elif [ "$(size "$firmware/trial.env")" != 512 ]; then
        echo "trial.env on FIRMWARE is missing or damaged (run update-firmware)"
    elif ! { bootable "$firmware" && bootable "$boot"; }; then
        echo "the partition table does not mark both partitions as bootable (run update-firmware)"
    else
        return 1
    fi
}

# Whether FIRMWARE is mounted. Mounts it if it is not; with an automount of systemd the access does so.
mounted() {
    ls "$firmware" >/dev/null 2>&1 || :
    mountpoint -q "$firmware" || mount "$firmware" 2>/dev/null
}

# size FILE: prints the size of FILE in bytes, 0 if it cannot be read.
size() { { wc -c <"$1" || echo 0; } 2>/dev/null; }

# bootable FOLDER: whether the MBR marks the partition of FOLDER as bootable. U-Boot scans no other partitions.
bootable() {
    device=$(stat -c %d "$1")
    sys=$(readlink -f "/sys/dev/block/$((device >> 8 & 4095)):$((device & 255 | device >> 12 & 1048320))")
    [ -e "$sys/partition" ] && read -r number <"$sys/partition" || return 1
    disk=${sys%/*}
    disk=/dev/${disk##*/}
    [ "$number" -le 4 ] && [ "$(mbr_byte $((430 + 16 * number)))" = 128 ]
}

# Prints a byte of $disk as a number; an empty line if it cannot be read. The unquoted words drop the spaces of `od`.
mbr_byte() { echo $(od -A n -t u1 -j "$1" -N 1 "$disk" 2>/dev/null); }

# Whether the flag is set, so that the next boot is a trial.
is_armed() { mounted && cmp -s "$lib/trial.env" "$firmware/trial.env"; }

# write_flag FILE: overwrites the flag in place with FILE. The flag is one sector, which is written whole or not at all.
write_flag() {
    dd if="$1" of="$firmware/trial.env" bs=512 count=1 conv=notrunc,fsync 2>/dev/null || :
    cmp -s "$1" "$firmware/trial.env" || die "writing trial.env on FIRMWARE failed"
}

# Clears the flag if it is set.
clear_flag() {
    ! is_armed || write_flag "$lib/no-trial.env"
}

# prepare_firmware [--dry-run]: puts on FIRMWARE what a trial needs, and marks both partitions as bootable. A flag that
# is set stays.
prepare_firmware() {
    dry=${1:-}
    case $dry in "" | --dry-run) ;; *) die "usage: boot-trial prepare-firmware [--dry-run]" ;; esac
    mounted || die "FIRMWARE is not mounted at $firmware"
    cmp -s "$lib/boot.scr" "$firmware/boot.scr" || put_on_firmware "$lib/boot.scr" boot.scr
    [ "$(size "$firmware/trial.env")" = 512 ] || put_on_firmware "$lib/no-trial.env" trial.env
    bootable "$firmware" || make_bootable "$firmware"
    bootable "$boot" || make_bootable "$boot"
}

# put_on_firmware FILE NAME: copies FILE to FIRMWARE as NAME, or prints that it would.
put_on_firmware() {
    if [ -n "$dry" ]; then
        say "would write $2 on FIRMWARE"
        return
    fi
    put_on_fat "$1" "$firmware/$2"
    say "$2 on FIRMWARE is written"
}

# make_bootable FOLDER: marks the partition of FOLDER as bootable, and no other. `bootable FOLDER`, which ran right
# before, has set $disk and $number.
make_bootable() {
    [ -n "$number" ] && [ "$number" -le 4 ] || die "$1 is on no primary partition of a disk"
    # The MBR of a disk with a GPT describes no partition.
    [ "$(mbr_byte 450)" != 238 ] || die "$disk has a GPT; a trial needs an MBR"
    if [ -n "$dry" ]; then
        say "would mark partition $number of $disk as bootable"
        return
    fi
    printf '\200' | dd of="$disk" bs=1 seek=$((430 + 16 * number)) conv=notrunc,fsync 2>/dev/null
    bootable "$1" || die "marking partition $number of $disk as bootable failed"
    say "partition $number of $disk is bootable"
}
