# The part of the assembler that lists the files, and prints their names in the order of order.sh. To be sourced.

# Writes the names of the store paths to the file `bases`, size, mode and name of all files in them to `stored`, and
# these names to `stored-names`, each with a null byte at its end.
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
    in_stored find_sizes >"$work/stored"
    in_stored find_names >"$work/stored-names"
}

# in_stored COMMAND: runs the command with the names of all store paths in the folder of the store, in parts.
in_stored() {
    (
        cd "$store"
        set -- "$1"
        # No xargs: that of busybox garbles the names at which its next command begins.
        while read -r base; do
            set -- "$@" "$base"
            [ $# -le 500 ] && continue
            "$@"
            set -- "$1"
        done
        [ $# -eq 1 ] || "$@"
    ) <"$work/bases"
}

find_sizes() { find "$@" -exec stat -c '%s %f %n' {} +; }

find_names() { find "$@" -print0; }

# Writes size, mode and name of the large files of ROOT_TREE to `rooted`. The names of all others go to `root-names`,
# and their sizes and modes to `rest`.
list_root() {
    (
        cd "$work/top"
        # White space separates the fields of the lists, so a file with white space in its name counts as small.
        set -- -type f -size "+$((LARGE - 1))c" ! -path "*[[:space:]]*"
        find r/ "$@" -exec stat -c '%s %f %n' {} + >"$work/rooted"
        find r/ ! -path r/ ! \( "$@" \) -exec stat -c '%s %f' {} + >"$work/rest"
        find r/ ! -path r/ ! \( "$@" \) -print0 >"$work/root-names"
    )
}

# Writes the parent folders of the large files of ROOT_TREE to `parents`. mke2fs accepts a second entry of a folder.
list_parents() {
    awk '{
        n = split($3, part, "/")
        path = part[1]
        for (i = 2; i < n; i++) print path = path "/" part[i]
    }' "$work/rooted" >"$work/parents"
    sort -u -o "$work/parents" "$work/parents"
}

# Prints the names of all files in their order, each with a null byte at its end. A find and a sort for each store path
# would take longer than all the rest of the list.
order_names() {
    choose_stand_in
    names_as_lines <"$work/root-names" >"$work/root-lines"
    names_as_lines <"$work/stored-names" >"$work/stored-lines"
    # A name is sorted by the line of its place, then by the name itself.
    awk '
        from == "places" {
            at[$0] = sprintf("%07d", ++count)
            if (sub(/^first /, "") || $0 !~ /^s\// && $0 != "parents" && $0 != "rest") print sprintf("%07d", count), $0
            next
        }
        from != "store" { print at[from], $0; next }
        { match($0, /^[^\/]*/); print at["s/" substr($0, 1, RLENGTH)], "s/" $0 }
    ' from=places "$work/places" from=parents "$work/parents" from=rest "$work/root-lines" \
        from=store "$work/stored-lines" >"$work/named"
    sort -o "$work/named" "$work/named"
    awk '{ print substr($0, 9) }' "$work/named" | tr "\n\\$stand_in" '\0\n'
}

# Sets $stand_in to the octal code of a byte that is in no name. In the lists of lines it stands for a line break.
choose_stand_in() {
    for stand_in in 001 002 003 004 005 006 007; do
        [ -n "$(cat "$work/root-names" "$work/stored-names" | tr -cd "\\$stand_in")" ] || return 0
    done
    die "the names of the files have all control characters from 1 to 7"
}

# Copies names with null bytes at their ends, as lines.
names_as_lines() { tr '\n\0' "\\$stand_in\n"; }
