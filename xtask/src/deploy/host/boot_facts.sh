# Prints the facts that decide whether this host boots a new system, as lines KEY=VALUE. Prints the first line alone if
# U-Boot has no boot menu to read, if there is no FIRMWARE, or if the user is not root. The last line says that the
# answer is whole. Nothing is changed; `ls` mounts what is mounted on demand.
LC_ALL=C
export LC_ALL
exec 2>/dev/null
echo asked=yes
[ "$(id -u)" = 0 ] || exit 0
status=$(boot-trial status)

# The value that `boot-trial status` has for a key.
answer() { printf "%s\n" "$status" | sed -n "s/^$1=//p" | head -n 1; }

# folder_with NAMES FOLDER...: the first folder with one of the files.
folder_with() {
    names=$1
    shift
    for folder; do
        [ -n "$folder" ] && ls "$folder/" >/dev/null || continue
        for name in $names; do
            [ ! -e "$folder/$name" ] || { printf "%s\n" "$folder" && return; }
        done
    done
}

# disk_and_number FOLDER: the disk and the number of the partition that a folder is on.
disk_and_number() {
    device=$(stat -c %d "$1")
    sys=$(readlink -f "/sys/dev/block/$((device >> 8 & 4095)):$((device & 255 | device >> 12 & 1048320))")
    number=$(cat "$sys/partition") || return
    sys=${sys%/*}
    echo "${sys##*/} $number"
}

# byte|word OFFSET: the number of 8 or 32 bits at a byte of the disk.
byte() { od -A n -t u1 -j "$1" -N 1 "/dev/$disk" | tr -d " "; }
word() { od -A n -t u4 -j "$1" -N 4 "/dev/$disk" | tr -d " "; }

# marked_in_mbr|marked_in_gpt: the partitions of the disk that are marked as bootable.
marked_in_mbr() {
    echo table=mbr
    for number in 1 2 3 4; do
        [ "$(byte $((430 + 16 * number)))" != 128 ] || echo "marked=$number"
    done
}

# The mark is bit 2 of the attributes, at byte 48 of an entry. UEFI, section "GUID Partition Table (GPT) Disk Layout".
marked_in_gpt() {
    header=$(cat "/sys/block/$disk/queue/logical_block_size")
    # "EFI " of "EFI PART".
    [ "$(word "$header")" = 541673029 ] || return
    echo table=gpt
    entries=$((header * $(word $((header + 72)))))
    size=$(word $((header + 84)))
    for number in $(cat "/sys/block/$disk"/*/partition); do
        [ $(($(byte $((entries + size * (number - 1) + 48))) & 4)) = 0 ] || echo "marked=$number"
    done
}

# setting NAME FILE: a setting that is built into a U-Boot.
setting() { tr "\000" "\n" <"$2" | grep -a -m 1 "^$1=" | cut -d = -f 2; }

boot=$(folder_with extlinux/extlinux.conf "$(answer boot)" /nix/boot /boot)
firmware=$(folder_with "config.txt start4.elf start.elf" "$(answer firmware)" /boot/firmware /boot)
[ -n "$boot" ] && [ -n "$firmware" ] || exit 0
printf "boot=%s\n" "$boot"

sed "s/^/config=/" "$firmware/config.txt"
cd "$firmware"
find . -type f -empty | sed "s/^/empty=/"
find . -type f -size -65536k -exec sha256sum {} + | sed "s/^/file=/"
grep -l -a -F kernel_addr_r= ./* | while read -r file; do
    echo "uboot=$(setting kernel_addr_r "$file") $(setting fdt_addr_r "$file") $file"
done
echo "updater=$(sed -n "s/^export tree=//p" "$(command -v update-firmware)")"

set -- $(disk_and_number "$boot")
disk=${1:-}
if [ -n "$disk" ] && [ "$(byte 510)$(byte 511)" = 85170 ]; then
    echo "disk=$disk"
    echo "menu=$2"
    case "$(byte 450) $(byte 466) $(byte 482) $(byte 498)" in
        *238*) marked_in_gpt ;;
        *) marked_in_mbr ;;
    esac
fi

ls -A "$boot/nixos" | sed "s/^/kept=/"
set -- $(df -Pk "$boot" | tail -n 1)
echo "free=${4:-}"
[ "$(stat -c %d "$boot")" != "$(stat -c %d /nix/store)" ] || echo "shared=yes"

# device_trees BOARD: the files with the device tree of the board in the folders of the menu. Where the menu names no
# device trees, U-Boot takes that of the firmware.
device_trees() {
    case $1 in "" | *[!a-z0-9,._+-]*) return ;; esac
    grep -q -i -E "^[[:blank:]]*(fdt|devicetree)(dir)?[[:blank:]]" "$boot/extlinux/extlinux.conf" || return
    for folder in "$boot"/nixos/*/; do
        cd "$folder" && device_trees_here "$1"
    done
}

device_trees_here() {
    grep -r -l -a -F -e "$1" "--include=*.dtb" . | while read -r file; do
        # The name ends there: 3-model-b is no 3-model-b-plus.
        ! tr "\000" "\n" <"$file" | grep -q -a -e "$1\$" || printf "tree=%s\n" "$file"
    done
}

tree=/sys/firmware/devicetree/base
echo "model=$(tr -d "\000" <$tree/model)"
device_trees "$(tr "\000" "\n" <$tree/compatible | head -n 1)"
echo end=yes
