#!/bin/sh
# Prepares the parts of NIXOS_SD that Nix needs from the start: the database of the store, and the profile that keeps
# the system in a garbage collection. This script runs inside Nix and in the tests.
#
#   ROOT_TREE          the folder that becomes the root of NIXOS_SD; its last part is `nix`
#   TOPLEVEL           the store path of the system
#   REGISTRATION       what the database is to know of each store path, as `nix-store --dump-db` writes it
#   SOURCE_DATE_EPOCH  when the paths were registered, in seconds
#
# On PATH: nix-store, sqlite3, and mkdir, rm, ln of any kind.
set -eu
umask 022
[ "${ROOT_TREE##*/}" = nix ] || { echo "prepare: ROOT_TREE is not a folder nix: $ROOT_TREE" >&2; exit 1; }
mkdir -p "$ROOT_TREE/boot" "$ROOT_TREE/var/nix/profiles" "$ROOT_TREE/persist"

# The database is complete before the first boot. If the first boot had to fill it, it might stay empty, and the first
# garbage collection would delete the system.
NIX_REMOTE="local?root=${ROOT_TREE%/nix}" nix-store --load-db <"$REGISTRATION"
# Nix registers the paths with the time of this build, which differs from build to build.
sqlite3 "$ROOT_TREE/var/nix/db/db.sqlite" \
    "PRAGMA journal_mode = DELETE; UPDATE ValidPaths SET registrationTime = $SOURCE_DATE_EPOCH; VACUUM" >/dev/null
# The file reserves space for a full disk; Nix makes it again.
rm -f "$ROOT_TREE/var/nix/db/reserved"
# The assembler makes the store itself.
rm -rf "$ROOT_TREE/store"
# The roots of the garbage collection. Nix has made this link to the folder of the build, which the Pi does not have: no
# profile would keep anything there.
ln -sfn /nix/var/nix/profiles "$ROOT_TREE/var/nix/gcroots/profiles"
ln -s "$TOPLEVEL" "$ROOT_TREE/var/nix/profiles/system-1-link"
ln -s system-1-link "$ROOT_TREE/var/nix/profiles/system"
