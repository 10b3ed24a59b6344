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
# On PATH: mke2fs and debugfs (1.47.1 or newer with libarchive; older ones need fakeroot and faketime), GNU tar,
# mkfs.vfat, mtools, sfdisk, zstd, and find, sort, awk, od, stat, truncate, mktemp of any kind.
set -eu
umask 022
export LC_ALL=C TZ=UTC0 MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null

DISK_ID=2178694e
ALIGN_MIB=8
# Blocks of 4096 bytes in 2 TiB: how far the root file system can grow on a large card.
GROWTH_BLOCKS=536870912
# Bytes from which on an item is large, and kept away from what changes often.
LARGE=1048576

say() { echo "assemble: $*" >&2; }
die() { say "$*"; exit 1; }

main() {
    check_input
    work=$(mktemp -d)
    trap 'rm -rf "$work" "$OUT.part"' EXIT
    trap 'exit 130' INT TERM HUP
    image=$work/disk.img
    list_content
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
        # The shell would take a number with a zero in front for an octal one.
        case $value in *[!0-9]* | 0?*) die "$name is not a whole number: $value" ;; esac
    done
    [ "$FIRMWARE_MIB" -ge 34 ] || die "FIRMWARE_MIB is $FIRMWARE_MIB; FAT32 needs 34 at least"
    [ -d "$ROOT_TREE" ] || die "ROOT_TREE is not a folder: $ROOT_TREE"
    [ -d "$FIRMWARE_TREE" ] || die "FIRMWARE_TREE is not a folder: $FIRMWARE_TREE"
    [ -f "$STORE_PATHS" ] || die "STORE_PATHS is not a file: $STORE_PATHS"
    for tool in tar mke2fs debugfs mkfs.vfat mcopy mmd sfdisk zstd find sort awk od stat truncate; do
        command -v "$tool" >/dev/null || die "there is no $tool on PATH"
    done
    export SOURCE_DATE_EPOCH
    ROOT_TREE=$(cd "$ROOT_TREE" && pwd -P)
    FIRMWARE_TREE=$(cd "$FIRMWARE_TREE" && pwd -P)
}

# Writes the names of all files to the file `order`, as they are archived from the folder `top`. Inodes and
# blocks are given out in this order, so whatever changes its size moves everything behind it. What follows what
# is therefore chosen such that the next image differs little from this one:
#
#   1. large items, first those of packages, then those of this host
#   2. small items, first those of packages, then those of this host
#   3. what else there is in ROOT_TREE: the boot menu, the Nix database
#
# An item is a store path or a large file of ROOT_TREE (kernel, initrd). In each part the size decides, by its
# power of 16, and then the name without the hash: a path that is rebuilt or grows a little keeps its place.
list_content() {
    list_store
    mkdir -p "$work/top/store"
    ln -s "$store" "$work/top/s"
    ln -s "$ROOT_TREE" "$work/top/r"
    list_root
    classify | sort -k 1,1n -k 2,2nr -k 3,3 -k 4,4 >"$work/items"
    (
        cd "$work/top"
        printf 'store\0'
        # The folders on the way to large files; mke2fs takes them twice.
        awk '{
                n = split($2, part, "/")
                path = part[1]
                for (i = 2; i < n; i++) print path = path "/" part[i]
            }' "$work/rooted" | sort -u | tr '\n' '\0'
        while read -r _ _ _ item; do
            find "$item" -print0 >"$work/found"
            sort -z "$work/found"
        done <"$work/items"
        cat "$work/root.list"
    ) >"$work/order"
}

# Writes the store paths' own names to the file `bases`, and sizes and names of the files in them to `stored`.
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
    # The size of a folder depends on the file system that it is on.
    (cd "$store" && tr '\n' '\0' <"$work/bases" | xargs -0 -r sh -c 'find "$@" ! -type d -exec stat -c "%s %n" {} +' sh) \
        >"$work/stored"
}

# Writes sizes and names of the large files of ROOT_TREE to `rooted`. All others go to root.list in the order of names.
list_root() {
    (
        cd "$work/top"
        # A name with white space is not told from two; its file is treated like the small ones.
        set -- -type f -size "+$((LARGE - 1))c" ! -path "*[[:space:]]*"
        find r/ "$@" -exec stat -c '%s %n' {} + >"$work/rooted"
        find r/ ! -path r/ ! \( "$@" \) -print0 | sort -z >"$work/root.list"
    )
}

# Writes one line an item: part, size class, name without the hash, place below `top`.
classify() {
    awk -v large="$LARGE" '
        function item(size, name, place) {
            sub(/^[^-]*-/, "", name)
            # Packages have a version. What has none is made by the configuration of this host.
            host = name !~ /-[0-9]/ || name ~ /^(initrd|nixos-system)-/
            class = 0
            for (left = size; left >= 65536; left /= 16) class++
            print (size < large) * 2 + host, class, name, place
        }
        from == "bases" { total[$0] = 0; next }
        { size = $1; sub(/^[0-9]+ /, "") }
        from == "root" { name = $0; sub(/.*\//, "", name); item(size, name, $0); next }
        # A line that begins with no store path is the rest of a file name with a line break in it.
        { sub(/\/.*/, "") }
        $0 in total { total[$0] += size }
        END { for (base in total) item(total[base], base, "s/" base) }
    ' from=bases "$work/bases" from=store "$work/stored" from=root "$work/rooted"
}

# The size of the root file system in MiB: content in whole blocks, room for inodes, journal and headroom, rounded
# up coarsely. A step is between an eighth and a quarter of it: the journal is in the middle, and the number of
# inodes follows the size, so that each step moves everything. Sizes are those of the files, never `du`, which
# depends on the file system they are on.
root_size() {
    (cd "$work/top" && xargs -0 -r stat -c '%s %F' <"$work/order") | awk -v headroom="$HEADROOM_MIB" '
        # A folder has one block, and more for many names.
        { blocks += ($2 == "directory" ? 1 : int(($1 + 4095) / 4096)) + 1 / 32 }
        END {
            mib = blocks / 256 * 1.02 + headroom
            # One inode is made for every 8 KiB; twice as many as there are files are wanted.
            if (mib < NR * 2 / 128) mib = NR * 2 / 128
            # Inode tables take 1/32; the journal at most 64 MiB.
            mib = mib * 1.04 + (mib < 1024 ? 20 : 70)
            # Half of the file system is the most that mke2fs lets a journal take.
            if (mib < 48) mib = 48
            step = 32
            while (step * 8 <= mib) step *= 2
            print step * int(mib / step + 1)
        }'
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
    set --
    for entry in ./* ./.[!.]* ./..?*; do
        [ -d "$entry" ] && continue
        # A pattern without a match is no name; a link that leads nowhere is one, and mcopy will refuse it.
        if [ -e "$entry" ] || [ -L "$entry" ]; then set -- "$@" "$entry"; fi
    done
    [ $# -eq 0 ] || mcopy -i "$fat" "$@" "$target/" </dev/null ||
        die "copying $* to $target of FIRMWARE failed; do they fit into $FIRMWARE_MIB MiB?"
    for entry in ./*/ ./.[!.]*/ ./..?*/; do
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
    settle_flags
}

# Runs a command with the time that counts as now; programs that know SOURCE_DATE_EPOCH need nothing for it.
at_that_time() { "$@"; }

# mke2fs notes whether characters are signed to the machine it runs on: on x86 they are, on ARM they are not. It
# matters to hashed folders only, of which there are none yet, but the bytes differ.
settle_flags() {
    signed=1
    [ "$(flags)" -ne "$signed" ] || return 0
    # Also in the copies of the superblock (-a).
    printf 'set_super_value flags %s\nclose -a\n' "$signed" >"$work/requests"
    at_that_time debugfs -w -f "$work/requests" "$image?offset=$((root_at << 20))" >"$work/log" 2>&1
    [ "$(flags)" -eq "$signed" ] || die "setting the flags of NIXOS_SD failed: $(cat "$work/log")"
}

# The flags in the superblock, of which only the lowest byte is in use.
flags() { od -A n -t u1 -j "$(((root_at << 20) + 1024 + 352))" -N 1 "$image" | tr -d ' '; }

# Whether this mke2fs reads an archive and honours SOURCE_DATE_EPOCH.
takes_tar() {
    mkdir "$work/empty"
    tar -cf "$work/empty.tar" -C "$work/empty" .
    truncate -s 8M "$work/probe.img"
    mke2fs -q -F -t ext4 -d "$work/empty.tar" "$work/probe.img" >/dev/null 2>&1
}

# Streams the files into mke2fs in their order: that fixes the order of inodes and blocks.
root_from_tar() {
    { archive || echo failed >"$work/archive-failed"; } |
        mke2fs "$@" -d - "$image" "${root_mib}M" || die "making NIXOS_SD failed"
    [ ! -e "$work/archive-failed" ] || die "reading the files for NIXOS_SD failed"
}

archive() {
    tar -c --format=gnu --owner=0 --group=0 --numeric-owner --no-recursion --hard-dereference --null \
        --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime \
        --transform='flags=rSH;s,^s/,store/,' --transform='flags=rSH;s,^r/,,' -C "$work/top" -T "$work/order"
}

# The way for an older mke2fs: a folder, in the order of names; fakeroot makes root the owner, faketime stops the clock.
root_from_folder() {
    command -v fakeroot >/dev/null && command -v faketime >/dev/null ||
        die "this mke2fs reads no archive (1.47.1 or newer with libarchive does), and there is no fakeroot or no faketime"
    say "this mke2fs reads no archive; the files go by way of a folder, in the order of names: the next image will" \
        "differ from this one nearly everywhere"
    mkdir "$work/root"
    archive >"$work/root.tar" || die "reading the files for NIXOS_SD failed"
    tar -x --no-same-owner -p -f "$work/root.tar" -C "$work/root"
    now=$(TZ=UTC0 date -d "@$SOURCE_DATE_EPOCH" '+%Y-%m-%d %H:%M:%S')
    at_that_time() { faketime -f "$now" "$@"; }
    at_that_time fakeroot mke2fs "$@" -d "$work/root" "$image" "${root_mib}M" ||
        die "making NIXOS_SD failed"
    chmod -R u+w "$work/root"
}

# From a file, so that the frame header names the size of the content. Under another name until it is whole: what
# is called OUT is an image.
compress() {
    mkdir -p "$(dirname "$OUT")"
    zstd -q -f -T0 "-${ZSTD_LEVEL:-10}" "$image" -o "$OUT.part" || die "compressing the image failed"
    mv "$OUT.part" "$OUT"
    say "$(basename "$OUT"): $((root_at + root_mib)) MiB, FIRMWARE $FIRMWARE_MIB MiB, NIXOS_SD $root_mib MiB"
}

main
