#!/bin/sh
# update-firmware [--dry-run]: brings FIRMWARE, at $target, up to the folder $tree. With --dry-run it only lists what it
# would change.
#
# Each new file is written beside the old one, compared, and renamed: a power cut leaves the old file or the new one. The
# flag of a trial (trial.env) is no part of an update. $then is a command for the end, or empty; it takes
# --dry-run, too.
#
# On PATH: ls, find, cmp, cp, mv, rm, mkdir, sync, mountpoint of any kind.
set -eu
dry=
case ${1:-} in
    --dry-run) dry=1 ;;
    "") ;;
    *) echo "usage: update-firmware [--dry-run]" >&2 && exit 2 ;;
esac
# It is mounted on demand.
ls "$target" >/dev/null
mountpoint -q "$target" || { echo "update-firmware: FIRMWARE is not mounted at $target" >&2 && exit 1; }
new=
trap '[ -z "$new" ] || rm -f "$new"' EXIT
trap 'exit 130' INT TERM HUP

update() {
    if [ -n "$dry" ]; then
        echo "would update $1"
        return
    fi
    new=$target/$1.new
    case $1 in */*) mkdir -p "$target/${1%/*}" ;; esac
    cp "$tree/$1" "$new"
    sync
    cmp "$tree/$1" "$new"
    mv -f "$new" "$target/$1"
    new=
    sync
    echo "updated $1"
}

names=$(cd "$tree" && find . -type f ! -name trial.env)
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
