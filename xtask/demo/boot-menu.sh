# boot-menu DEFAULT PROFILES: prints the menu of U-Boot. The system DEFAULT starts by default; the four newest
# generations in PROFILES have an entry each, the newest first.
#
# This script runs when the image is built, and on the host. It writes what nixpkgs' menu writer does for NixOS: the
# suite `evaluation` compares the two. But all systems of the demo share one kernel; nixpkgs copies that of each.
set -eu
default=$1 profiles=$2

entry() {
    printf '\nLABEL nixos-%s\n' "$1"
    printf '  MENU LABEL Demo - %s\n' "$2"
    echo '  LINUX ../demo/linux-Image'
    echo '  INITRD ../demo/initrd'
    echo "  APPEND init=$3/init console=ttyAMA0,115200 console=ttyS1,115200 panic=10"
    echo '  FDTDIR ../dtbs'
}

generations() {
    for link in "$profiles"/system-*-link; do
        number=${link##*/system-}
        echo "${number%-link}"
    done | sort -rn | head -n 4
}

printf 'DEFAULT nixos-default\nTIMEOUT 10\n'
entry default Default "$default"
for number in $(generations); do
    entry "$number-default" "Configuration $number" "$(readlink "$profiles/system-$number-link")"
done
