# A function for files on FAT. To be sourced.
#
# A rename over a file frees the clusters of the old file. FAT has no journal: after a power cut the clusters may be
# free on the card while the folder there still names them. So the new file and the old one exchange their names, which
# frees nothing, and the old file is removed once the exchange is on the card.
#
# On PATH: cp, cmp, mv with --exchange (coreutils 9.5; Linux 6.0 for FAT), rm, sync.

# put_on_fat FILE TARGET: gives TARGET the content of FILE. A power cut leaves the old TARGET or the new one. Where the
# kernel or mv cannot exchange names, a warning is printed, and a power cut may damage TARGET.
#
# A TARGET.new that a power cut left is not touched: if the cut came during the exchange, both names may be those of one
# file.
put_on_fat() {
    new=$2.new
    while [ -e "$new" ]; do new=${new}w; done
    trap 'rm -f "$new"' EXIT
    cp "$1" "$new"
    flush_fat "$new"
    cmp "$1" "$new"
    trap - EXIT
    if [ ! -e "$2" ]; then
        mv "$new" "$2"
    elif ! mv --exchange "$new" "$2" 2>/dev/null; then
        echo "$2: this kernel, or mv, exchanges no names on FAT, so a power cut now may damage it" >&2
        mv -f "$new" "$2"
    fi
    flush_fat "$2"
    rm -f "$new"
    flush_fat "$2"
}

# flush_fat FILE: waits until all writes are on the card. `sync` writes the tables of a FAT into the cache of the card,
# which only the sync of a file flushes.
flush_fat() {
    sync
    sync "$1"
}
