# boot-menu DEFAULT PROFILES BOOT: writes BOOT/extlinux/extlinux.conf, the menu of U-Boot. The system DEFAULT
# is what starts by itself; every generation in PROFILES has an entry, the newest first.
#
# The same runs when the image is built and on the host, as the builder of NixOS does for its systems.
set -eu
default=$1 profiles=$2 boot=$3
config=$boot/extlinux/extlinux.conf

entry() {
    printf '\nLABEL %s\n' "$1"
    printf '  MENU LABEL %s\n' "$2"
    echo '  LINUX ../demo/linux-Image'
    echo '  INITRD ../demo/initrd'
    echo '  FDTDIR ../dtbs'
    echo "  APPEND init=$3/init console=ttyAMA0,115200 console=ttyS1,115200 panic=10"
}

generations() {
    for link in "$profiles"/system-*-link; do
        number=${link##*/system-}
        echo "${number%-link}"
    done | sort -rn
}

{
    printf 'DEFAULT demo-default\nTIMEOUT 10\n'
    entry demo-default "Demo - Default" "$default"
    for number in $(generations); do
        entry "demo-$number" "Demo - Generation $number" "$(readlink "$profiles/system-$number-link")"
    done
} >"$config.new"
# A power cut finds the old menu or the new one.
sync
mv "$config.new" "$config"
sync
