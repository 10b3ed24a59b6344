#!@shell@/bin/sh
# Installs one more generation of this system, as a deploy does: a store path, a link among the profiles, and
# the new system's own switch-to-configuration.
set -eu
profiles=/nix/var/nix/profiles
number=$(($(ls -d "$profiles"/system-*-link | wc -l) + 1))
work=/nix/store/.new
rm -rf "$work"
cp -r "${0%/bin/*}" "$work"
chmod u+w "$work"
echo "$number" >"$work/generation"
hash=$(cat "$work"/init "$work/generation" | sha256sum | cut -c 1-32 | tr e x)
system=/nix/store/$hash-demo-system-@version@
mv "$work" "$system"
chmod a-w "$system"
ln -s "$system" "$profiles/system-$number-link"
ln -sfn "system-$number-link" "$profiles/system"
"$system/bin/switch-to-configuration" boot
echo "observed installed generation=$number system=$system"
