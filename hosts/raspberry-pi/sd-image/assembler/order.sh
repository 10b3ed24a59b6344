# The part of the assembler that decides the order of the files, and so their places on NIXOS_SD. To be sourced.
#
# mke2fs gives every file the lowest inode and the lowest blocks that are free, in the order of the archive. So
# whatever changes its size moves everything behind it, and the next image would differ from this one nearly
# everywhere. Therefore:
#
#   1. Large items are sorted so that few of them move: packages before what the configuration of this host makes,
#      then by size in powers of 16, then by name without the hash.
#   2. Small items are in groups, each with a room of its own. The name decides the group. An item that grows moves
#      items of its own group only. Items that do not fit go into the free space of other rooms.
#   3. Where all small items take less than one room there are no groups, as there is little to move.
#
# An item is a store path or a large file of ROOT_TREE (kernel, initrd). The rooms come first on NIXOS_SD, so that
# nothing large moves them. Placeholders, files of the size of a room, hold the rooms until their groups come. A second
# entry with the name of a placeholder deletes it, so that the files behind that entry take its blocks. The group of the
# last room comes first, while placeholders still hold the rooms before it. Empty files behind each group hold its
# inodes in the same way. All placeholders are in the folder .pad, which root.sh removes at the end.
#
# For each file, mke2fs looks for its store path in the folder `store` from its start, block by block. Therefore the
# folders of store paths with many files come first, before the rooms, and empty folders behind them hold the room of a
# few more.

# Bytes from which on an item is large.
LARGE=1048576
# The room of a group in MiB.
ROOM_MIB=4
# The number of files and folders from which on the folder of a store path comes first.
MANY=64

# Writes the names of all files to the file `order`, as they are archived from the folder `top`.
list_content() {
    mkdir "$work/top"
    (cd "$work/top" && mkdir store .pad full empty held inodes many)
    list_store
    ln -s "$store" "$work/top/s"
    ln -s "$ROOT_TREE" "$work/top/r"
    list_root
    list_parents
    measure >"$work/measured"
    size_groups >"$work/groups"
    read -r groups inodes grouped <"$work/groups"
    classify >"$work/classes"
    sort -k 1,1n -k 2,2n -k 3,3nr -k 4,4 -k 6,6 "$work/classes" >"$work/items"
    place >"$work/places"
    (cd "$work/top" && make_placeholders)
    order_names >"$work/order"
}

# Prints one line an item: its bytes, blocks and inodes, its name, its place below `top`.
measure() {
    awk '
        from == "bases" { bytes[$0] = 0; place[$0] = "s/" $0; next }
        { size = $1; folder = $2 ~ /^4/; link = $2 ~ /^a/; sub(/^[0-9]+ [0-9a-f]+ /, ""); base = $0 }
        from == "root" { sub(/.*\//, "", base); base = base "/" ++count; place[base] = $0; bytes[base] = 0 }
        from == "store" { sub(/\/.*/, "", base) }
        # A line that begins with no store path is the rest of a file name with a line break in it.
        !(base in bytes) { next }
        { inodes[base]++ }
        # The size of a folder depends on the file system that it is on.
        folder { blocks[base]++; next }
        { bytes[base] += size }
        # A short link is in its inode.
        !link || size >= 60 { blocks[base] += int((size + 4095) / 4096) }
        END {
            for (base in bytes) {
                name = base
                sub(/\/.*/, "", name)
                print bytes[base], blocks[base] + 0, inodes[base], name, place[base]
            }
        }
    ' from=bases "$work/bases" from=store "$work/stored" from=root "$work/rooted"
}

# Prints how many groups there are, the inodes of each, and the blocks of all items in groups.
size_groups() {
    # Without an archive mke2fs takes the order of the names. A huge room then makes no groups, which would be useless.
    room=$((ROOM_MIB * 256))
    [ "$way" = archive ] || room=$GROWTH_BLOCKS
    awk -v large="$LARGE" -v room="$room" '
        # Rounds up to one of `steps` numbers between two powers of two, so that the result seldom changes.
        function coarse(number, steps,   step) {
            for (step = 1; step * steps * 2 <= number; ) step *= 2
            return step * int((number + step - 1) / step)
        }
        { all += $2 }
        $1 < large { used += $2; inodes += $3 }
        END {
            if (used < room) { print 0, 0, 0; exit }
            # A quarter of the rooms or more stays free: with less, a group that grows moves groups far behind it. In
            # most cases a tenth of all content is more than the groups need; that number changes least often.
            wanted = used * 1.4 > all / 10 ? used * 1.4 : all / 10
            groups = coarse(int(wanted / room) + 1, 2)
            # At least an inode for 8 KiB, as elsewhere in the file system.
            each = coarse(int(inodes * 1.5 / groups) + 1, 4)
            if (each < room / 2) each = room / 2
            print groups, each, used
        }
    ' "$work/measured"
}

# Prints one line an item: its group (0 for a large item), 1 if the configuration of this host makes it, its size class,
# its name without the hash, its number of inodes, its place below `top`.
classify() {
    awk -v large="$LARGE" -v groups="$groups" '
        BEGIN { letters = "+-._?=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" }
        # The group of a name without its version, so that a new version stays in the group.
        function group(name,   sum, i) {
            if (!groups) return 1
            sub(/-[0-9].*/, "", name)
            for (i = 1; i <= length(name); i++) sum = (sum * 67 + index(letters, substr(name, i, 1))) % 65521
            return groups - sum % groups
        }
        {
            name = $4
            sub(/^[^-]*-/, "", name)
            # Packages have a version. What has none is made by the configuration of this host.
            host = name !~ /-[0-9]/ || name ~ /^(initrd|nixos-system)-/
            class = 0
            for (left = $1; left >= 65536; left /= 16) class++
            which = $1 < large ? group(name) : 0
            print which, host, class, name, $3, $5
        }
    ' "$work/measured"
}

# Prints the items and the placeholders in their order. `rest` stands for the small files of ROOT_TREE (the boot menu,
# the Nix database), and `parents` for the parent folders of its large files.
place() {
    awk -v groups="$groups" -v inodes="$inodes" -v many="$MANY" \
        -v folders="$work/folders" -v files="$work/files" -v held="$work/held" '
        # Holds inodes behind a group, with a folder and empty files in it: the folder takes an inode too.
        function keep(   i, missing) {
            missing = last * inodes - used
            if (!groups || missing <= 0) return
            used += missing
            print "inodes/" last
            print last >folders
            for (i = 1; i < missing; i++) print "kept" last "/" i
            if (missing > most) most = missing
        }
        # The folders with many files, and empty ones up to a number that seldom changes.
        function print_first(   i, step) {
            for (i = 1; i <= count; i++) print "first " first[i]
            if (!groups) return
            for (step = 8; step * 8 <= count; ) step *= 2
            for (i = count + 1; i <= step * int(count / step + 1); i++) {
                print "held/" i
                print i >held
            }
        }
        function print_start(   i) {
            printf "" >folders
            printf "" >files
            printf "" >held
            print "store"
            if (groups) print ".pad\nfull/first"
            print_first()
            for (i = 0; i < groups; i++) print "full/" i
            if (groups) print "full/last"
            print "parents"
        }
        NR == FNR {
            if ($5 >= many) {
                first[++count] = $6
                is_first[$6] = 1
            }
            next
        }
        FNR == 1 { print_start() }
        $1 && $1 != last {
            if (last) keep()
            else print "rest"
            # Now the room is free.
            if (groups) print "empty/" groups - $1
            last = $1
        }
        { print $6 }
        # The inode of a folder that came first is not in its group.
        last { used += $5 - ($6 in is_first) }
        END {
            if (!NR) print_start()
            if (!last) print "rest"
            for (i = 1; i < most; i++) print i >files
        }
    ' "$work/items" "$work/items"
}

# Makes the files that hold rooms and inodes. They are full of blanks, as a block of zeros would be a hole.
make_placeholders() {
    [ "$groups" -gt 0 ] || return 0
    awk -v blocks="$((ROOM_MIB * 256))" 'BEGIN { while (blocks--) printf "%4096s", "" }' >full/0
    # Between these two are the rooms.
    echo >full/first
    echo >full/last
    : >empty/0
    room=1
    while [ "$room" -lt "$groups" ]; do
        : >"empty/$room"
        ln full/0 "full/$room"
        room=$((room + 1))
    done
    while read -r folder; do mkdir "held/$folder"; done <"$work/held"
    # The same empty files for all groups: making thousands takes seconds.
    while read -r file; do : >"many/$file"; done <"$work/files"
    while read -r group; do
        mkdir "inodes/$group"
        ln -s many "kept$group"
    done <"$work/folders"
}

# Prints the size of the root file system in MiB: content in whole blocks, inodes, journal and headroom. The size grows
# in steps of an eighth to a quarter, as each step moves everything: the journal is in the middle, and the number of
# inodes follows the size. Sizes are those of the files, never those of `du`, which depend on the file system.
root_size() {
    # The content of groups takes their rooms and no more; the rest of the rooms counts as headroom.
    awk -v headroom="$HEADROOM_MIB" -v rooms="$((ROOM_MIB * groups))" -v kept="$((inodes * groups))" \
        -v grouped="$grouped" '
        from == "measured" { blocks += $2; files += $3; next }
        { blocks += ($2 ~ /^4/ ? 1 : int(($1 + 4095) / 4096)); files++ }
        END {
            files += kept
            free = rooms - grouped / 256
            # A folder has one block, and more for many names.
            mib = ((blocks - grouped) / 256 + rooms + files / 32 / 256) * 1.02 + (headroom > free ? headroom - free : 0)
            # One inode is made for every 8 KiB; twice as many as there are files are wanted.
            if (mib < files * 2 / 128) mib = files * 2 / 128
            # Inode tables take 1/32; the journal at most 64 MiB.
            mib = mib * 1.04 + (mib < 1024 ? 20 : 70)
            # Half of the file system is the most that mke2fs lets a journal take.
            if (mib < 48) mib = 48
            step = 32
            while (step * 8 <= mib) step *= 2
            print step * int(mib / step + 1)
        }' from=measured "$work/measured" from=rest "$work/rest"
}
