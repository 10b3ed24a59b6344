#!/bin/sh
# update-firmware [--dry-run]: brings FIRMWARE, at $target, up to the folder $tree. With --dry-run it only lists what it
# would change.
#
# A power cut leaves the old file or the new one. config.txt comes last, so that it never names a file that is not
# there; the files that an older config.txt names stay. The flag of a trial (trial.env) is no part of an update. $fat is
# trial/fat.sh. $then is a command that runs at the end, or empty; --dry-run is passed on to it.
#
# On PATH: ls, find, mkdir, mountpoint of any kind, and the programs of fat.sh.
set -eu
. "$fat"
dry=
case ${1:-} in
    --dry-run) dry=1 ;;
    "") ;;
    *) echo "usage: update-firmware [--dry-run]" >&2 && exit 2 ;;
esac
# Where FIRMWARE is mounted on demand, this access mounts it.
ls "$target" >/dev/null
mountpoint -q "$target" || { echo "update-firmware: FIRMWARE is not mounted at $target" >&2 && exit 1; }
trap 'exit 130' INT TERM HUP

# update NAME: replaces the file NAME of FIRMWARE, or prints that it would.
update() {
    if [ -n "$dry" ]; then
        echo "would update $1"
        return
    fi
    case $1 in */*) mkdir -p "$target/${1%/*}" ;; esac
    put_on_fat "$tree/$1" "$target/$1"
    echo "updated $1"
}

names=$(cd "$tree" && find . -type f ! -name trial.env ! -path ./config.txt && find . -path ./config.txt)
count=0
while read -r name; do
    name=${name#./}
    cmp -s "$tree/$name" "$target/$name" && continue
    update "$name"
    count=$((count + 1))
done <<NAMES
$names
NAMES
[ "$count" -gt 0 ] || echo "the files of FIRMWARE are up to date"
[ -z "$then" ] || $then ${dry:+--dry-run}
