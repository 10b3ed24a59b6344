#!/bin/sh
# stock.sh: makes an image as nixpkgs' sd-image module does: NIXOS_SD is / of the host, with the store in `nix`. Its sshd
# is configured to nothing but the login of root, with the files that NixOS names, so that host keys are where sshd has
# them by default. From the environment: WORK (a new folder), GUEST (kernel, U-Boot, Debian), PROGRAMS (mke2fs and the like), OUT.
set -eu
here=${0%/*}
root=$WORK/root
store=$root/nix/store
firmware=$WORK/firmware
mkdir -p "$store" "$root/boot"
. "$here/store.sh"

make_system
mkdir -p "$(at "$system")/etc/ssh"
cat >"$(at "$system")/etc/ssh/sshd_config" <<'END'
PermitRootLogin prohibit-password
AuthorizedKeysFile %h/.ssh/authorized_keys /etc/ssh/authorized_keys.d/%u
UsePAM no
UseDNS no
END
# A login prompt on the console, as systemd makes one for each console of the kernel.
wants=$(at "$system")/etc/systemd/system/multi-user.target.wants
mkdir -p "$wants"
ln -s /usr/lib/systemd/system/serial-getty@.service "$wants/serial-getty@ttyAMA0.service"
make_menu
make_firmware

export PATH="$PROGRAMS/programs:$PROGRAMS/applets:$PATH" MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null
image=$WORK/image.img
root_mib=$(($(du -sk "$root" | cut -f 1) / 1024 * 5 / 4 + 64))
truncate -s "$((38 + root_mib))M" "$image"
sfdisk --quiet --no-reread --no-tell-kernel "$image" <<TABLE
label: dos
label-id: 0x2178694e
start=8M, size=30M, type=b
start=38M, type=83, bootable
TABLE
mkfs.vfat --invariant -i 2178694e -n FIRMWARE --offset $((8 * 2048)) "$image" $((30 * 1024)) >"$WORK/log"
(cd "$firmware" && mcopy -psm -i "$image@@8M" ./* ::)
tar -c --owner=0 --group=0 --numeric-owner --sort=name -f "$WORK/root.tar" -C "$root" .
mke2fs -q -t ext4 -L NIXOS_SD -U 44444444-4444-4444-8888-888888888888 -O metadata_csum_seed,orphan_file \
    -E "offset=$((38 << 20)),root_owner=0:0" -d "$WORK/root.tar" "$image" "${root_mib}M"
zstd -q -f -1 "$image" -o "$OUT"
