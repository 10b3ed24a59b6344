# Adds a generation to the profile $1 that deploy-rs can roll back to: the current system, and the program that
# deploy-rs calls for a rollback, which a flashed system lacks. The previous generation, and so the system, is kept.
set -eu
system=$(readlink -f "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
wrapper=$dir/flashed-$(basename "$system" | cut -c34-)
mkdir "$wrapper"
ln -s "$system"/* "$wrapper/"
printf '#!/bin/sh\nexec %s/bin/switch-to-configuration switch\n' "$system" >"$wrapper/deploy-rs-activate"
chmod 755 "$wrapper/deploy-rs-activate"
nix-env --profile "$1" --set "$(nix-store --add "$wrapper")"
