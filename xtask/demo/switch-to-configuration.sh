#!@shell@/bin/sh
# Makes this system the default of the boot menu. Of the actions of NixOS the demo has only `boot`.
set -eu
[ "${1:-}" = boot ] || { echo "usage: switch-to-configuration boot" >&2; exit 1; }
system=${0%/bin/*}
boot=/nix/boot
menu=$boot/extlinux/extlinux.conf
. "$system/menu.sh"
sh "$system/boot-menu.sh" "$system" /nix/var/nix/profiles >"$menu.new"
publish_menu "$menu.new"
