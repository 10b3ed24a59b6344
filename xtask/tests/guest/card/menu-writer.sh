#!@busybox@/bin/sh
# menu-writer -g GENERATIONS -t TIMEOUT -c SYSTEM -d FOLDER: writes the boot menu as nixpkgs' builder does. That builder
# cannot run here without nixpkgs; the suite `evaluation` runs it. Kernels are copied only where they are missing, and
# those that no entry names are removed.
PATH=@busybox@/bin
set -eu
while getopts g:t:c:d: option; do
    case $option in
        g) generations=$OPTARG ;;
        t) timeout=$OPTARG ;;
        c) system=$OPTARG ;;
        d) folder=$OPTARG ;;
        *) exit 2 ;;
    esac
done
mkdir -p "$folder/nixos" "$folder/extlinux"
kept=" "

# keep FILE: copies a file or folder of the store to nixos/, and sets $name.
keep() {
    file=$(readlink -f "$1")
    name=$(echo "${file#/nix/store/}" | tr / -)
    [ -e "$folder/nixos/$name" ] || { cp -r "$file" "$folder/nixos/.new" && mv "$folder/nixos/.new" "$folder/nixos/$name"; }
    kept="$kept$name "
}

# entry TAG SYSTEM TITLE
entry() {
    printf '\nLABEL nixos-%s\n  MENU LABEL %s\n' "$1" "$3"
    keep "$2/kernel" && echo "  LINUX ../nixos/$name"
    keep "$2/initrd" && echo "  INITRD ../nixos/$name"
    echo "  APPEND init=$2/init $(cat "$2/kernel-params")"
    keep "$2/dtbs" && echo "  FDTDIR ../nixos/$name"
}

numbers() { ls -d /nix/var/nix/profiles/system-*-link | sed 's/.*system-//; s/-link//' | sort -rn | head -n "$generations"; }

exec >"$folder/extlinux/extlinux.conf.tmp"
printf 'DEFAULT nixos-default\n\nTIMEOUT %s\n' "$((timeout * 10))"
entry default "$system" "NixOS - Default"
for number in $(numbers); do
    entry "$number-default" "$(readlink -f "/nix/var/nix/profiles/system-$number-link")" "NixOS - Configuration $number"
done
mv "$folder/extlinux/extlinux.conf.tmp" "$folder/extlinux/extlinux.conf"
for file in "$folder"/nixos/*; do
    case $kept in *" ${file##*/} "*) ;; *) rm -rf "$file" ;; esac
done
