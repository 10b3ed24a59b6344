#!/bin/sh
# Prepares what of NIXOS_SD Nix must know from the start: the database of the store, and the profile that keeps
# the system alive in a garbage collection. The same runs inside Nix and in the tests.
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

# The database is complete before the first boot. One that is filled by the first boot may stay empty,
# and then the first garbage collection deletes the system.
NIX_REMOTE="local?root=${ROOT_TREE%/nix}" nix-store --load-db <"$REGISTRATION"
# When a path was registered is the time of the build, which would differ from one to the next.
sqlite3 "$ROOT_TREE/var/nix/db/db.sqlite" \
    "PRAGMA journal_mode = DELETE; UPDATE ValidPaths SET registrationTime = $SOURCE_DATE_EPOCH; VACUUM" >/dev/null
# Space set aside for a full disk; Nix makes it again.
rm -f "$ROOT_TREE/var/nix/db/reserved"
# The store itself is the assembler's part.
rm -rf "$ROOT_TREE/store"
# What keeps the system alive in a garbage collection. Nix has made this link for the folder that it
# worked in here; followed on the Pi it leads nowhere, and no profile would keep anything.
ln -sfn /nix/var/nix/profiles "$ROOT_TREE/var/nix/gcroots/profiles"
ln -s "$TOPLEVEL" "$ROOT_TREE/var/nix/profiles/system-1-link"
ln -s system-1-link "$ROOT_TREE/var/nix/profiles/system"
