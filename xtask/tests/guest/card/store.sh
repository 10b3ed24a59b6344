# store.sh: the store paths that all cards have (a Debian, busybox, a kernel with its initrd). From the environment as
# for card.sh; `here` is this folder, `store` the folder of the store paths, `root` the root folder of NIXOS_SD.

busybox=$PROGRAMS/bin/busybox

# path LETTER NAME: prints the store path of NAME whose hash is 32 times LETTER.
path() { printf '/nix/store/'; for _ in 1 2 3 4 5 6 7 8; do printf %s "$1$1$1$1"; done; echo "-$2"; }
debian=$(path d debian) pi_busybox=$(path b busybox) trial=$(path t boot-trial) linux=$(path k linux)
system=$(path 1 nixos-system-demo-1)
at() { echo "$store/${1##*/}"; }
fill() {
    sed "s,@busybox@,$pi_busybox,g; s,@debian@,$debian,g; s,@boot-trial@,$trial/bin/boot-trial,g
        s,@dd@,$pi_busybox/bin/busybox dd,g; s,@state@,/nix/boot/trial,g" "$1"
}

cp -a "$GUEST/root" "$(at "$debian")"
chmod -R u+w "$(at "$debian")"
sh "$here/root.sh" "$(at "$debian")"

mkdir -p "$(at "$pi_busybox")/bin"
cp "$GUEST/bin/busybox" "$(at "$pi_busybox")/bin/"
for applet in awk cat chmod cp cut flock getopts grep head ln ls mkdir mount mountpoint mv readlink rm sed sh sort tail touch tr; do
    ln -s busybox "$(at "$pi_busybox")/bin/$applet"
done

# The kernel, and an initrd that reaches the card.
initrd=$WORK/initrd
mkdir -p "$(at "$linux")" "$initrd/bin" "$initrd/modules"
cp "$GUEST"/kernel/vmlinuz-* "$(at "$linux")/Image"
cp -r "$GUEST/kernel/dtbs" "$(at "$linux")/dtbs"
cp "$GUEST/bin/busybox" "$initrd/bin/"
cp "$GUEST"/kernel/modules/*.ko "$initrd/modules/"
cp "$here/initrd.sh" "$initrd/init"
chmod 755 "$initrd/init" "$initrd/bin/busybox"
# The modules in the order in which an initrd loads them.
echo crc16 mbcache crc32c_generic jbd2 ext4 bcm2835 bcm2835_wdt virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci \
    virtio_blk failover net_failover virtio_net fat nls_cp437 nls_ascii nls_iso8859-1 vfat >"$initrd/modules/order"
# pack FOLDER FILE: makes an initrd of a folder.
pack() {
    (cd "$1" && find . | sort | "$busybox" cpio -o -H newc -R 0:0 2>/dev/null) | "$PROGRAMS/programs/zstd" -q -3 >"$2"
}
pack "$initrd" "$(at "$linux")/initrd"

# make_menu: writes the boot menu of the first system, and copies its kernel beside the menu, from the store of the
# card. On the guest, menu-writer.sh writes such a menu from /nix/store.
make_menu() {
    mkdir -p "$root/boot/nixos" "$root/boot/extlinux"
    for name in Image initrd dtbs; do cp -r "$(at "$linux")/$name" "$root/boot/nixos/${linux##*/}-$name"; done
    kernel=../nixos/${linux##*/}
    for label in nixos-default nixos-1-default; do
        printf '\nLABEL %s\n  MENU LABEL NixOS\n  LINUX %s-Image\n  INITRD %s-initrd\n  APPEND init=%s/init %s\n  FDTDIR %s-dtbs\n' \
            $label "$kernel" "$kernel" "$system" "$(cat "$(at "$system")/kernel-params")" "$kernel"
    done | { printf 'DEFAULT nixos-default\n\nTIMEOUT 10\n' && cat; } >"$root/boot/extlinux/extlinux.conf"
}

# make_system: the first system, without units of its own.
make_system() {
    mkdir -p "$(at "$system")/bin" "$(at "$system")/etc"
    fill "$here/stage2.sh" >"$(at "$system")/init"
    cp "$here/switch-to-configuration.sh" "$(at "$system")/bin/switch-to-configuration"
    : >"$(at "$system")/activate"
    chmod 755 "$(at "$system")"/init "$(at "$system")"/activate "$(at "$system")"/bin/*
    for name in kernel:Image initrd:initrd dtbs:dtbs; do ln -s "$linux/${name#*:}" "$(at "$system")/${name%:*}"; done
    echo 1 >"$(at "$system")/nixos-version"
    # With `norandmaps` the emulator translates each program once, not at each address: a boot takes a seventh less time.
    printf 'console=ttyAMA0,115200 console=ttyS1,115200 panic=1 norandmaps' >"$(at "$system")/kernel-params"
}

# make_firmware: the files of FIRMWARE, in the folder `firmware`.
make_firmware() {
    mkdir -p "$firmware"
    printf 'arm_64bit=1\nkernel=u-boot.bin\nenable_uart=1\n' >"$firmware/config.txt"
    cp "$GUEST/u-boot/u-boot.bin" "$GUEST"/kernel/dtbs/broadcom/*.dtb "$firmware/"
}
