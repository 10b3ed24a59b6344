# The part of the assembler that makes NIXOS_SD. To be sourced.

# Makes the file system with all files in it.
#
# It gets its checksums at the end: with them mke2fs takes twice as long, as it verifies each block of a folder that it
# looks into, and looks into all folders above each file.
make_root() {
    checksums=
    [ "$way" = archive ] || checksums=metadata_csum,
    # mke2fs must not read the machine's own mke2fs.conf.
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
		features = has_journal,extent,huge_file,flex_bg,${checksums}64bit,dir_nlink,extra_isize
	}
	small = {
		inode_ratio = 8192
	}
CONF
    export MKE2FS_CONFIG="$work/mke2fs.conf"
    # The image is a new file that reads as zeros, so the journal needs no writing (lazy_journal_init).
    options=offset=$((root_at << 20)),hash_seed=$ROOT_UUID,root_owner=0:0,resize=$GROWTH_BLOCKS
    options=$options,nodiscard,lazy_itable_init=0,lazy_journal_init=1
    set -- -q -F -t ext4 -L NIXOS_SD -U "$ROOT_UUID" -m 1 -E "$options"
    # A mounted file system grows in one transaction with all reserved blocks of descriptors. A transaction takes at
    # most a quarter of the journal, and the journal of 4 MiB that mke2fs chooses below 128 MiB is too small for that.
    [ "$root_mib" -ge 128 ] || set -- "$@" -J size=16
    root="$image?offset=$((root_at << 20))"
    "root_from_$way" "$@"
    unify_superblock
    [ "$groups" -eq 0 ] || remove_placeholders
    [ -n "$checksums" ] || add_checksums
    unify_superblock
}

# Runs a command with SOURCE_DATE_EPOCH as the time. Programs that know the variable need no help; root_from_folder
# redefines this function for older ones.
at_source_date() { "$@"; }

# Makes the superblock and its copies the same on all machines. mke2fs notes whether characters are signed: on x86 they
# are, on ARM they are not. The hashes of names in a folder depend on that. Other programs leave the copies as they are.
unify_superblock() {
    signed=1
    printf 'set_super_value flags %s\nclose -a\n' "$signed" >"$work/requests"
    at_source_date debugfs -w -f "$work/requests" "$root" >"$work/log" 2>&1
    # Only the lowest byte of the flags is in use.
    flags=$(od -A n -t u1 -j "$(((root_at << 20) + 1024 + 352))" -N 1 "$image")
    [ "$((flags))" -eq "$signed" ] || die "setting the flags of NIXOS_SD failed: $(cat "$work/log")"
}

# Removes the folder .pad with the placeholders, and fills the free blocks of the rooms with zeros.
remove_placeholders() {
    first=$(debugfs -R "bmap /.pad/first 0" "$root" 2>"$work/log")
    last=$(debugfs -R "bmap /.pad/last 0" "$root" 2>"$work/log")
    {
        while read -r place; do
            case $place in kept*) echo "rm /.pad/i${place#kept}" ;; esac
        done <"$work/places"
        while read -r group; do echo "rmdir /.pad/i$group"; done <"$work/folders"
        while read -r folder; do echo "rmdir /.pad/h$folder"; done <"$work/held"
        for name in "$work"/top/full/*; do echo "rm /.pad/${name##*/}"; done
        echo "rmdir /.pad"
    } >"$work/requests"
    # debugfs exits with 0 also where a request failed.
    debugfs -w -f "$work/requests" "$root" >"$work/log" 2>&1 && debugfs -R "stat /.pad" "$root" >"$work/log" 2>&1
    case $(cat "$work/log") in
        *"File not found"*) ;;
        *) die "removing the placeholders from NIXOS_SD failed: $(cat "$work/log")" ;;
    esac
    [ "$last" -gt "$first" ] || die "the placeholders on NIXOS_SD are not where they should be: $first, $last"
    debugfs -R "testb $first $((last - first + 1))" "$root" >"$work/blocks" 2>"$work/log"
    awk '/not in use/ { print "zap_block", $2 }' "$work/blocks" >"$work/requests"
    debugfs -w -f "$work/requests" "$root" >"$work/log" 2>&1
}

# Adds the checksums of the metadata, and checks the file system before and after. A full block of a folder has no room
# for its checksum, so e2fsck makes the folders anew; large ones get an index.
add_checksums() {
    # e2fsck must not read the machine's own e2fsck.conf.
    export E2FSCK_CONFIG=/dev/null E2FSCK_TIME="$SOURCE_DATE_EPOCH"
    check_root
    tune2fs -O metadata_csum "$root" >"$work/log" 2>&1 </dev/null ||
        die "adding checksums to NIXOS_SD failed: $(cat "$work/log")"
    # The exit code is 1 where folders were made anew.
    e2fsck -f -y -D "$root" >"$work/log" 2>&1 || [ $? -eq 1 ] ||
        die "making the folders of NIXOS_SD anew failed: $(cat "$work/log")"
    check_root
}

# Fails unless e2fsck finds nothing wrong.
check_root() {
    e2fsck -f -n "$root" >"$work/log" 2>&1 || die "NIXOS_SD is damaged: $(cat "$work/log")"
}

# Whether this mke2fs reads an archive. Such a version honours SOURCE_DATE_EPOCH too.
takes_archive() {
    mkdir "$work/nothing"
    tar -cf "$work/nothing.tar" -C "$work/nothing" .
    truncate -s 8M "$work/probe.img"
    mke2fs -q -F -t ext4 -d "$work/nothing.tar" "$work/probe.img" >/dev/null 2>&1
}

# Streams the files into mke2fs in the order of the list, which becomes the order of their inodes and blocks.
root_from_archive() {
    { archive || echo failed >"$work/archive-failed"; } |
        mke2fs "$@" -d - "$image" "${root_mib}M" || die "making NIXOS_SD failed"
    [ ! -e "$work/archive-failed" ] || die "reading the files for NIXOS_SD failed"
}

# Writes the archive of all files to stdout, with the names that they have on NIXOS_SD.
archive() {
    tar -c --format=gnu --owner=0 --group=0 --numeric-owner --no-recursion --hard-dereference --null \
        --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime \
        --transform='flags=rSH;s,^full/,.pad/,' --transform='flags=rSH;s,^empty/,.pad/,' \
        --transform='flags=rSH;s,^inodes/,.pad/i,' --transform='flags=rSH;s,^kept,.pad/i,' \
        --transform='flags=rSH;s,^held/,.pad/h,' \
        --transform='flags=rSH;s,^s/,store/,' --transform='flags=rSH;s,^r/,,' -C "$work/top" -T "$work/order"
}

# Copies the files into an older mke2fs: from a folder, in the order of names. fakeroot makes root their owner, faketime
# stops the clock.
root_from_folder() {
    command -v fakeroot >/dev/null && command -v faketime >/dev/null ||
        die "this mke2fs reads no archive (1.47.1 or newer with libarchive does), and there is no fakeroot or no faketime"
    say "this mke2fs reads no archive; the files go by way of a folder, in the order of names: the next image will" \
        "differ from this one nearly everywhere"
    mkdir "$work/root"
    archive >"$work/root.tar" || die "reading the files for NIXOS_SD failed"
    tar -x --no-same-owner -p -f "$work/root.tar" -C "$work/root"
    now=$(TZ=UTC0 date -d "@$SOURCE_DATE_EPOCH" '+%Y-%m-%d %H:%M:%S')
    at_source_date() { faketime -f "$now" "$@"; }
    at_source_date fakeroot mke2fs "$@" -d "$work/root" "$image" "${root_mib}M" ||
        die "making NIXOS_SD failed"
    chmod -R u+w "$work/root"
}
