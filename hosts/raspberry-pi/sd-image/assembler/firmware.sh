# The part of the assembler that makes FIRMWARE. To be sourced.

# Makes the file system with all files in it.
make_firmware() {
    find_clashes
    # mkfs.vfat would choose clusters and geometry for a disk as large as the whole image, and a file system with
    # fewer than 65525 clusters is no FAT32.
    sectors=1
    [ "$FIRMWARE_MIB" -le 260 ] || sectors=8
    mkfs.vfat --invariant -F 32 -i "$DISK_ID" -n FIRMWARE -s "$sectors" -g 255/63 -h "$((ALIGN_MIB * 2048))" \
        --offset "$((ALIGN_MIB * 2048))" "$image" "$((FIRMWARE_MIB * 1024))" >"$work/log" 2>&1 ||
        die "making FIRMWARE failed: $(cat "$work/log")"
    fat="$image@@${ALIGN_MIB}M"
    (
        # FAT has no time before 1980; mtools would turn an earlier time into one in the future.
        [ "$SOURCE_DATE_EPOCH" -ge 315532800 ] || SOURCE_DATE_EPOCH=315532800
        cd "$FIRMWARE_TREE" && copy_folder ::
    )
}

# Refuses names that differ only in capital letters: on FAT they are one name.
find_clashes() {
    (cd "$FIRMWARE_TREE" && find .) >"$work/found"
    sort -o "$work/found" "$work/found"
    clash=$(awk '
        tolower($0) in seen { print seen[tolower($0)] " and " $0; exit }
        { seen[tolower($0)] = $0 }
    ' "$work/found")
    [ -z "$clash" ] || die "FIRMWARE_TREE has $clash, which are one name on FAT"
}

# copy_folder TARGET: copies the working directory to TARGET on FIRMWARE in the order of names, files before folders.
# mtools takes SOURCE_DATE_EPOCH for the time of day, which the files get.
copy_folder() {
    target=$1
    set --
    for entry in ./* ./.[!.]* ./..?*; do
        [ -d "$entry" ] && continue
        # A pattern without a match stays as it is and names no file. A link that leads nowhere goes on to mcopy, which
        # refuses it.
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
