#!@shell@/bin/sh
# Makes this system the one that the next boot takes. Of the actions of NixOS the demo knows `boot` alone.
set -eu
[ "${1:-}" = boot ] || { echo "usage: switch-to-configuration boot" >&2; exit 1; }
system=${0%/bin/*}
boot=/nix/boot
menu=$boot/extlinux/extlinux.conf
. "$system/menu.sh"
sh "$system/boot-menu.sh" "$system" /nix/var/nix/profiles >"$menu.new"
publish_menu "$menu.new"
