#!/bin/sh
# Assembles an SD image: an MBR, the FAT32 partition FIRMWARE and the ext4 partition NIXOS_SD.
#
# This is the one assembler. It runs inside Nix, in `cargo xtask demo` and in the tests, without root and
# without loop devices, and the same input gives the same bytes. It takes everything from the environment:
#
#   OUT                the image to make, NAME.img.zst
#   ROOT_TREE          a folder whose content becomes the root of NIXOS_SD (boot, persist, var/nix ...)
#   STORE_PATHS        a file with one store path a line; they are copied to /store of NIXOS_SD
#   FIRMWARE_TREE      a folder whose content becomes FIRMWARE
#   FIRMWARE_MIB       the size of FIRMWARE; FAT32 needs 34 at least
#   ROOT_UUID          the UUID of NIXOS_SD
#   HEADROOM_MIB       free space on NIXOS_SD, until the first boot lets it fill the card
#   SOURCE_DATE_EPOCH  the time that counts as now, in seconds
#   ZSTD_LEVEL         how hard to compress (default: 10)
#
# On PATH: mke2fs (1.47.1 or newer with libarchive; an older one needs fakeroot and faketime), GNU tar,
# mkfs.vfat, mtools, sfdisk, zstd, and find, sort, awk, stat, truncate, mktemp of any kind.
set -eu
umask 022
export LC_ALL=C TZ=UTC0 MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null

DISK_ID=2178694e
ALIGN_MIB=8
# Blocks of 4096 bytes in 2 TiB: how far the root file system can grow on a large card.
GROWTH_BLOCKS=536870912
# A root file system's size is a multiple of this, so that a small change moves no block group.
ROOT_STEP_MIB=32

say() { echo "assemble: $*" >&2; }
die() { say "$*"; exit 1; }

main() {
    check_input
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM HUP
    image=$work/disk.img
    list_store
    list_root
    root_mib=$(root_size)
    root_at=$((ALIGN_MIB + FIRMWARE_MIB))
    truncate -s "$((root_at + root_mib))M" "$image"
    partition
    make_firmware
    make_root
    compress
}

check_input() {
    for name in OUT ROOT_TREE STORE_PATHS FIRMWARE_TREE FIRMWARE_MIB ROOT_UUID HEADROOM_MIB SOURCE_DATE_EPOCH; do
        eval "value=\${$name:-}"
        [ -n "$value" ] || die "the variable $name is not set"
    done
    for name in FIRMWARE_MIB HEADROOM_MIB SOURCE_DATE_EPOCH; do
        eval "value=\$$name"
        case $value in *[!0-9]*) die "$name is not a whole number: $value" ;; esac
    done
    [ "$FIRMWARE_MIB" -ge 34 ] || die "FIRMWARE_MIB is $FIRMWARE_MIB; FAT32 needs 34 at least"
    [ -d "$ROOT_TREE" ] || die "ROOT_TREE is not a folder: $ROOT_TREE"
    [ -d "$FIRMWARE_TREE" ] || die "FIRMWARE_TREE is not a folder: $FIRMWARE_TREE"
    [ -f "$STORE_PATHS" ] || die "STORE_PATHS is not a file: $STORE_PATHS"
    for tool in tar mke2fs mkfs.vfat mcopy mmd sfdisk zstd find sort awk stat truncate; do
        command -v "$tool" >/dev/null || die "there is no $tool on PATH"
    done
    export SOURCE_DATE_EPOCH
    ROOT_TREE=$(cd "$ROOT_TREE" && pwd -P)
    FIRMWARE_TREE=$(cd "$FIRMWARE_TREE" && pwd -P)
}

# Writes the names of all files under the store paths to store.list, path by path. Large paths come first, by
# the power of two of their size, and in each class the name without its hash decides: what is rebuilt often is
# small and at the end, a rebuilt path keeps its place, and so the next image differs little from this one.
list_store() {
    store=
    : >"$work/bases"
    # The last line may have no end.
    while read -r path || [ -n "$path" ]; do
        [ -n "$path" ] || continue
        [ -e "$path" ] || [ -L "$path" ] || die "STORE_PATHS names $path, which does not exist"
        [ -z "$store" ] || [ "$store" = "${path%/*}" ] || die "$path is not in the store $store"
        store=${path%/*}
        echo "${path##*/}" >>"$work/bases"
    done <"$STORE_PATHS"
    store=${store:-/}
    sort -u -o "$work/bases" "$work/bases"
    (cd "$store" && tr '\n' '\0' <"$work/bases" | xargs -0 -r sh -c 'find "$@" -exec stat -c "%s %n" {} +' sh) \
        >"$work/stored"
    classify | sort -k 1,1nr -k 2,2 -k 3,3 >"$work/order"
    : >"$work/store.list"
    while read -r _ _ base; do
        (cd "$store" && find "$base" -print0) >"$work/found"
        sort -z "$work/found" >>"$work/store.list"
    done <"$work/order"
}

# Writes one line a store path: size class, name, name with hash.
classify() {
    awk '
        NR == FNR { known[$0]; next }
        # A line that begins with no store path is the rest of a file name with a line break in it.
        { size = $1; sub(/^[0-9]+ /, ""); sub(/\/.*/, "") }
        $0 in known { total[$0] += size }
        END {
            for (base in known) {
                class = 0
                for (left = total[base]; left >= 65536; left /= 2) class++
                name = base
                sub(/^[^-]*-/, "", name)
                print class, name, base
            }
        }' "$work/bases" "$work/stored"
}

list_root() {
    (cd "$ROOT_TREE" && find . ! -path . -print0) >"$work/found"
    sort -z "$work/found" >"$work/root.list"
}

# The size of the root file system in MiB: content in whole blocks, room for inodes, journal and headroom,
# rounded up. Sizes are those of the files, never `du`, which depends on the file system they are on.
root_size() {
    (cd "$ROOT_TREE" && xargs -0 -r stat -c '%s' <"$work/root.list") >"$work/sizes"
    (cd "$store" && xargs -0 -r stat -c '%s' <"$work/store.list") >>"$work/sizes"
    awk -v headroom="$HEADROOM_MIB" -v step="$ROOT_STEP_MIB" '
        { blocks += int(($1 + 4095) / 4096) + 1 }
        END {
            mib = blocks / 256 * 1.02 + headroom
            # One inode is made for every 8 KiB; twice as many as there are files are wanted.
            if (mib < NR * 2 / 128) mib = NR * 2 / 128
            # Inode tables take 1/32; the journal at most 64 MiB.
            mib = mib * 1.04 + (mib < 1024 ? 20 : 70)
            # Half of the file system is the most that mke2fs lets a journal take.
            if (mib < 48) mib = 48
            print step * int(mib / step + 1)
        }' "$work/sizes"
}

partition() {
    sfdisk --quiet --no-reread --no-tell-kernel "$image" <<TABLE || die "writing the partition table failed"
label: dos
label-id: 0x$DISK_ID
unit: sectors
start=$((ALIGN_MIB * 2048)), size=$((FIRMWARE_MIB * 2048)), type=b
start=$((root_at * 2048)), size=$((root_mib * 2048)), type=83, bootable
TABLE
}

make_firmware() {
    # mkfs.vfat would choose clusters and geometry for a disk as large as the whole image, and with fewer
    # than 65525 clusters FAT32 is none.
    sectors=1
    [ "$FIRMWARE_MIB" -le 260 ] || sectors=8
    mkfs.vfat --invariant -F 32 -i "$DISK_ID" -n FIRMWARE -s "$sectors" -g 255/63 -h "$((ALIGN_MIB * 2048))" \
        --offset "$((ALIGN_MIB * 2048))" "$image" "$((FIRMWARE_MIB * 1024))" >"$work/log" 2>&1 ||
        die "making FIRMWARE failed: $(cat "$work/log")"
    fat="$image@@${ALIGN_MIB}M"
    (
        # FAT has no time before 1980; mtools would make it a year in the future.
        [ "$SOURCE_DATE_EPOCH" -ge 315532800 ] || SOURCE_DATE_EPOCH=315532800
        cd "$FIRMWARE_TREE" && copy_folder ::
    )
}

# Copies the working directory to $1 on FIRMWARE in the order of names, files before folders. The times of
# the files become SOURCE_DATE_EPOCH, which is the time of day to mtools.
copy_folder() {
    target=$1
    set -- ./*
    [ -e "$1" ] || return 0
    for entry do
        shift
        [ -d "$entry" ] || set -- "$@" "$entry"
    done
    [ $# -eq 0 ] || mcopy -i "$fat" "$@" "$target/" </dev/null ||
        die "copying $* to $target of FIRMWARE failed; do they fit into $FIRMWARE_MIB MiB?"
    for entry in ./*/; do
        [ -d "$entry" ] || continue
        name=${entry#./} name=${name%/}
        mmd -i "$fat" "$target/$name" </dev/null || die "making $target/$name on FIRMWARE failed"
        (cd "$entry" && copy_folder "$target/$name")
    done
}

make_root() {
    # The machine's own mke2fs.conf must not matter.
    cat >"$work/mke2fs.conf" <<CONF
[defaults]
	base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
	default_mntopts = acl,user_xattr
	enable_periodic_fsck = 0
	blocksize = 4096
	inode_size = 256
	inode_ratio = 8192
[fs_types]
	ext4 = {
		features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
	}
	small = {
		inode_ratio = 8192
	}
CONF
    export MKE2FS_CONFIG="$work/mke2fs.conf"
    # The image is a new file that reads as zeros, so the journal needs no writing (lazy_journal_init).
    set -- -q -F -t ext4 -L NIXOS_SD -U "$ROOT_UUID" -m 1 -E "$(echo "
        offset=$((root_at << 20)),hash_seed=$ROOT_UUID,root_owner=0:0,resize=$GROWTH_BLOCKS,
        nodiscard,lazy_itable_init=0,lazy_journal_init=1" | tr -d ' \n')"
    # Growing while mounted is one transaction with every reserved block of descriptors in it, and takes at
    # most a quarter of the journal: the one of 4 MiB that mke2fs makes below 128 MiB is too small.
    [ "$root_mib" -ge 128 ] || set -- "$@" -J size=16
    if takes_tar; then
        root_from_tar "$@"
    else
        root_from_folder "$@"
    fi
}

# Whether this mke2fs reads an archive and honours SOURCE_DATE_EPOCH.
takes_tar() {
    mkdir "$work/empty"
    tar -cf "$work/empty.tar" -C "$work/empty" .
    truncate -s 8M "$work/probe.img"
    mke2fs -q -F -t ext4 -d "$work/empty.tar" "$work/probe.img" >/dev/null 2>&1
}

# Streams the files into mke2fs in the order of the lists: that fixes the order of inodes and blocks.
root_from_tar() {
    { archive || echo failed >"$work/archive-failed"; } |
        mke2fs "$@" -d - "$image" "${root_mib}M" || die "making NIXOS_SD failed"
    [ ! -e "$work/archive-failed" ] || die "reading the files for NIXOS_SD failed"
}

archive() {
    mkdir "$work/top" "$work/top/store"
    tar -c --format=gnu --owner=0 --group=0 --numeric-owner --no-recursion --hard-dereference --null \
        --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime --transform='flags=rSH;s,^[^.],store/&,' \
        -C "$work/top" ./store -C "$ROOT_TREE" -T "$work/root.list" -C "$store" -T "$work/store.list"
}

# The way for an older mke2fs: a folder, in the order of names; fakeroot makes root the owner, faketime stops the clock.
root_from_folder() {
    command -v fakeroot >/dev/null && command -v faketime >/dev/null ||
        die "this mke2fs reads no archive (1.47.1 or newer with libarchive does), and there is no fakeroot or no faketime"
    say "this mke2fs reads no archive; the files go by way of a folder"
    mkdir "$work/root"
    archive >"$work/root.tar" || die "reading the files for NIXOS_SD failed"
    tar -x --no-same-owner -p -f "$work/root.tar" -C "$work/root"
    now=$(TZ=UTC0 date -d "@$SOURCE_DATE_EPOCH" '+%Y-%m-%d %H:%M:%S')
    faketime -f "$now" fakeroot mke2fs "$@" -d "$work/root" "$image" "${root_mib}M" ||
        die "making NIXOS_SD failed"
    chmod -R u+w "$work/root"
}

# From a file, so that the frame header names the size of the content.
compress() {
    mkdir -p "$(dirname "$OUT")"
    zstd -q -f -T0 "-${ZSTD_LEVEL:-10}" "$image" -o "$OUT" || die "compressing the image failed"
    say "$(basename "$OUT"): $((root_at + root_mib)) MiB, FIRMWARE $FIRMWARE_MIB MiB, NIXOS_SD $root_mib MiB"
}

main
