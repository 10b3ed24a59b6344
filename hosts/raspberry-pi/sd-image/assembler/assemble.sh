#!/bin/sh
# Assembles an SD image: an MBR, the FAT32 partition FIRMWARE and the ext4 partition NIXOS_SD.
#
# This is the one assembler: it runs inside Nix, in `cargo xtask demo` and in the tests, without root and without loop
# devices, and the same input gives the same bytes. All its input is in variables of the environment:
#
#   OUT                the image to make, NAME.img.zst
#   ROOT_TREE          a folder whose content becomes the root of NIXOS_SD (boot, persist, var/nix ...)
#   STORE_PATHS        a file with one store path a line; they are copied to /store of NIXOS_SD
#   FIRMWARE_TREE      a folder whose content becomes FIRMWARE
#   FIRMWARE_MIB       the size of FIRMWARE; FAT32 needs 34 at least
#   ROOT_UUID          the UUID of NIXOS_SD
#   HEADROOM_MIB       free space on NIXOS_SD, until the first boot lets it fill the card
#   SOURCE_DATE_EPOCH  the time that counts as now, in seconds
#   ZSTD_LEVEL         the level of the compression, from 1 to 19 (default: 3)
#   PHASES             a file that gets the time at the end of each phase, for measurements (default: none)
#
# On PATH: mke2fs, tune2fs, e2fsck and debugfs (1.47.1 or newer with libarchive; older ones need fakeroot and faketime),
# GNU tar, mkfs.vfat, mtools, sfdisk, zstd, and find, sort, awk, od, tr, stat, truncate, mktemp of any kind.
#
# Beside this file: list.sh (all files), order.sh (which file goes where), firmware.sh (FIRMWARE), root.sh (NIXOS_SD).
set -eu
umask 022
export LC_ALL=C TZ=UTC0 MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null

DISK_ID=2178694e
ALIGN_MIB=8
# How far the root file system can grow on a large card: the blocks of 4096 bytes in 2 TiB.
GROWTH_BLOCKS=536870912

here=${0%/*}
. "$here/list.sh"
. "$here/order.sh"
. "$here/firmware.sh"
. "$here/root.sh"

say() { echo "assemble: $*" >&2; }
die() { say "$*"; exit 1; }

# $way is how mke2fs gets the files of NIXOS_SD: as an `archive`, or in a `folder` where it reads no archive.
main() {
    check_input
    work=
    trap 'rm -rf "$work" "$OUT.part"' EXIT
    trap 'exit 130' INT TERM HUP
    work=$(mktemp -d)
    image=$work/disk.img
    way=folder
    ! takes_archive || way=archive
    list_content
    end_phase list
    root_mib=$(root_size)
    root_at=$((ALIGN_MIB + FIRMWARE_MIB))
    truncate -s "$((root_at + root_mib))M" "$image"
    partition
    make_firmware
    end_phase firmware
    make_root
    end_phase root
    compress
    end_phase compress
}

# end_phase NAME: notes the end of a phase in PHASES: its name and the seconds since the start of the machine, then the
# CPU times of the shell and of its children.
end_phase() {
    [ -n "${PHASES:-}" ] || return 0
    read -r now rest </proc/uptime
    {
        echo "$1 $now"
        times
    } >>"$PHASES"
}

# Fails unless all variables of the input have values that fit, and all programs are on PATH. Then makes the paths of
# the two trees absolute.
check_input() {
    for name in OUT ROOT_TREE STORE_PATHS FIRMWARE_TREE FIRMWARE_MIB ROOT_UUID HEADROOM_MIB SOURCE_DATE_EPOCH; do
        eval "value=\${$name:-}"
        [ -n "$value" ] || die "the variable $name is not set"
    done
    ZSTD_LEVEL=${ZSTD_LEVEL:-3}
    for name in FIRMWARE_MIB HEADROOM_MIB SOURCE_DATE_EPOCH ZSTD_LEVEL; do
        eval "value=\$$name"
        # In the shell, a number that begins with 0 is octal.
        case $value in *[!0-9]* | 0?*) die "$name is not a whole number: $value" ;; esac
    done
    [ "$FIRMWARE_MIB" -ge 34 ] || die "FIRMWARE_MIB is $FIRMWARE_MIB; FAT32 needs 34 at least"
    # zstd has levels above 19, whose windows take much memory in decompression.
    [ "$ZSTD_LEVEL" -ge 1 ] && [ "$ZSTD_LEVEL" -le 19 ] || die "ZSTD_LEVEL is $ZSTD_LEVEL, not from 1 to 19"
    [ -d "$ROOT_TREE" ] || die "ROOT_TREE is not a folder: $ROOT_TREE"
    [ -d "$FIRMWARE_TREE" ] || die "FIRMWARE_TREE is not a folder: $FIRMWARE_TREE"
    [ -f "$STORE_PATHS" ] || die "STORE_PATHS is not a file: $STORE_PATHS"
    for tool in tar mke2fs tune2fs e2fsck debugfs mkfs.vfat mcopy mmd sfdisk zstd \
        find sort awk od tr stat truncate mktemp; do
        command -v "$tool" >/dev/null || die "there is no $tool on PATH"
    done
    x='[0-9a-fA-F]'
    x=$x$x$x$x
    # shellcheck disable=SC2254 # It is a pattern.
    case $ROOT_UUID in $x$x-$x-$x-$x-$x$x$x) ;; *) die "ROOT_UUID is not a UUID: $ROOT_UUID" ;; esac
    export SOURCE_DATE_EPOCH
    ROOT_TREE=$(cd "$ROOT_TREE" && pwd -P)
    FIRMWARE_TREE=$(cd "$FIRMWARE_TREE" && pwd -P)
}

# Writes the partition table. U-Boot scans only bootable partitions: its script is on FIRMWARE, its menu on NIXOS_SD.
partition() {
    sfdisk --quiet --no-reread --no-tell-kernel "$image" <<TABLE || die "writing the partition table failed"
label: dos
label-id: 0x$DISK_ID
unit: sectors
start=$((ALIGN_MIB * 2048)), size=$((FIRMWARE_MIB * 2048)), type=b, bootable
start=$((root_at * 2048)), size=$((root_mib * 2048)), type=83, bootable
TABLE
}

# Compresses the image into OUT. zstd reads a file and no pipe, so that the frame header has the size of the content.
# The output has another name until it is whole, so that OUT never holds a part of an image.
compress() {
    mkdir -p "$(dirname "$OUT")"
    zstd -q -f -T0 "-$ZSTD_LEVEL" "$image" -o "$OUT.part" || die "compressing the image failed"
    mv "$OUT.part" "$OUT"
    say "$(basename "$OUT"): $((root_at + root_mib)) MiB, FIRMWARE $FIRMWARE_MIB MiB, NIXOS_SD $root_mib MiB"
}

main
