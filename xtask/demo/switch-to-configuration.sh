#!@shell@/bin/sh
# Makes this system the one that the next boot takes. Of the actions of NixOS the demo knows `boot` alone.
set -eu
[ "${1:-}" = boot ] || { echo "usage: switch-to-configuration boot" >&2; exit 1; }
system=${0%/bin/*}
sh "$system/boot-menu.sh" "$system" /nix/var/nix/profiles /nix/boot
