# Functions for the boot menu of U-Boot, $boot/extlinux/extlinux.conf; $menu names it. To be sourced.
#
# U-Boot reads ext4 without replaying the journal. A rename alone is therefore not safe: after a power cut U-Boot may
# see a folder that still names the old inode, which is freed already. So the old menu keeps a name
# (extlinux.conf.old), and `flush_journal` runs before the rename and after it.
#
# On PATH: awk, sync, ln, mv, and fsfreeze of util-linux or busybox.

# Writes all data to their places on the file system of $boot: a freeze empties the journal. The traps keep this shell
# from ending while the file system is frozen: all writes would then wait for ever.
flush_journal() {
    sync
    trap '' HUP INT TERM
    if fsfreeze --freeze "$boot"; then
        fsfreeze --unfreeze "$boot"
    else
        echo "trial: $boot cannot be frozen, so a power cut may find no boot menu" >&2
    fi
    trap - HUP INT TERM
}

# publish_menu FILE: renames FILE to $menu, in the same folder. After a power cut there is the old menu or the new one.
publish_menu() {
    [ ! -e "$menu" ] || ln -f "$menu" "$menu.old"
    flush_journal
    mv -f "$1" "$menu"
    flush_journal
}

# default_label [MENU]: prints the label of the entry that starts by default.
default_label() {
    while read -r word label _; do
        [ "$word" != DEFAULT ] || { echo "$label" && return; }
    done <"${1:-$menu}"
}

# system_of LABEL [MENU]: prints the system that the entry LABEL starts; nothing if there is no such entry.
system_of() {
    here=
    while read -r word rest; do
        case $word in
            LABEL) here=$rest ;;
            APPEND) [ "$here" != "$1" ] || ! system_in "$rest" || return 0 ;;
        esac
    done <"${2:-$menu}"
}

# system_in PARAMETERS: prints the system that the parameters of a kernel start; fails if they name none.
system_in() (
    set -f
    for parameter in $1; do
        case $parameter in init=/*/init) parameter=${parameter%/init} && echo "${parameter#init=}" && exit ;; esac
    done
    exit 1
)

# body_of LABEL MENU: prints the lines of the entry LABEL without its label and its title: kernel, initrd, parameters,
# device trees.
body_of() {
    awk -v label="$1" '
        $1 == "LABEL" { here = $2 == label; next }
        here && NF && $1 != "MENU" { print }
    ' "$2"
}

# add_entry LABEL TITLE BODY: copies the menu from stdin to stdout, with the entry LABEL at the end. It replaces an
# entry of that label.
add_entry() {
    without_entry "$1"
    printf '\nLABEL %s\n  MENU LABEL %s\n%s\n' "$1" "$2" "$3"
}

# without_entry LABEL: copies the menu from stdin to stdout, without the entry LABEL.
without_entry() {
    awk -v label="$1" '
        $1 == "LABEL" { skipped = $2 == label }
        # An empty line belongs to what follows.
        !NF { blank = blank "\n"; next }
        !skipped { printf "%s%s\n", blank, $0 }
        { blank = "" }
    '
}

# with_body LABEL BODY: copies the menu from stdin to stdout, with BODY in place of the body of the entry LABEL.
with_body() {
    body=$2 awk -v label="$1" '
        $1 == "LABEL" { here = $2 == label; written = 0 }
        here && NF && $1 != "LABEL" && $1 != "MENU" {
            if (!written++) print ENVIRON["body"]
            next
        }
        { print }
    '
}
