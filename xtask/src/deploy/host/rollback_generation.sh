# Makes the current generation of the profile $1 one that deploy-rs can go back to: the same system, and the program
# that deploy-rs calls for it. What is flashed lacks that program. The generation before it is kept, and with it the
# system.
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
