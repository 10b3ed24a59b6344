# The builder of the demo image, run by the AArch64 busybox: lays out the content and calls the assembler.
set -eu -o pipefail
umask 022
inputs=$src/inputs
export SOURCE_DATE_EPOCH=1700000000
cd "$TMPDIR"

# Links from the names of the applets to busybox, and scripts that run Debian's programs by their own loader.
"$inputs/bin/busybox" mkdir bin
"$inputs/bin/busybox" --install -s bin
for name in dash debugfs e2fsck mcopy mke2fs mkfs.vfat mmd sfdisk tar tune2fs zstd; do
    case $name in
        mcopy | mmd) program=mtools ;;
        mkfs.vfat) program=mkfs.fat ;;
        *) program=$name ;;
    esac
    "$inputs/bin/busybox" rm -f "bin/$name"
    printf '%s\n' "#!$inputs/bin/busybox sh" \
        "exec $inputs/lib/ld-linux-aarch64.so.1 --argv0 $name --library-path $inputs/lib $inputs/bin/$program \"\$@\"" \
        >"bin/$name"
    "$inputs/bin/busybox" chmod 755 "bin/$name"
done
# mtools converts names to the code page 850 with the help of the C library.
export PATH="$PWD/bin" GCONV_PATH="$inputs/lib/gconv"

# into_store FOLDER NAME: moves FOLDER to the store, and sets $stored to its store path. The hash is that of its files.
into_store() {
    hash=$(cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-32 | tr e x)
    mkdir -p store
    mv "$1" "store/$hash-$2"
    chmod -R a-w "store/$hash-$2"
    echo "$PWD/store/$hash-$2" >>store-paths
    stored=/nix/store/$hash-$2
}

# The store paths that the host runs: busybox, the programs that grow the card, and a system that is a few scripts.
fill() { sed "s,@shell@,$shell,g; s,@tools@,$tools,g; s,@ssh@,$ssh,g; s,@version@,$version,g" "$1" >"$2" && chmod 755 "$2"; }
mkdir -p shell/bin
cp "$inputs/bin/busybox" shell/bin/busybox
for applet in awk basename cat chmod cp cut dirname dmesg findfs fsfreeze grep head hostname ifconfig ln ls mkdir mount mv od poweroff \
    readlink reboot rm sed sh sha256sum sleep sort sync tail touch tr umount wc; do
    ln -s busybox "shell/bin/$applet"
done
into_store shell busybox-static
shell=$stored
mkdir -p ssh
cp -r "$inputs/ssh/bin" "$inputs/ssh/lib" ssh/
chmod -R u+w ssh
into_store ssh ssh-server
ssh=$stored
tools=
mkdir -p tools/bin tools/lib tools/libexec
for library in ld-linux-aarch64.so.1 libblkid.so.1 libc.so.6 libcom_err.so.2 libe2p.so.2 libext2fs.so.2 \
    libfdisk.so.1 libreadline.so.8 libsmartcols.so.1 libtinfo.so.6 libuuid.so.1; do
    cp "$inputs/lib/$library" tools/lib/
done
for name in partx resize2fs sfdisk; do
    cp "$inputs/bin/$name" tools/libexec/
    fill "$src/grow-tool.sh" "tools/bin/$name"
done
# The script of the real hosts, with the shell of this card.
sed "1s,.*,#!$shell/bin/sh," "$src/grow.sh" >tools/bin/grow.sh
chmod 755 tools/bin/grow.sh
into_store tools grow-tools
tools=$stored
mkdir -p system/bin
fill "$src/system.sh" system/init
for name in install-generation switch-to-configuration; do
    fill "$src/$name.sh" "system/bin/$name"
done
cp "$src/boot-menu.sh" "$src/menu.sh" system/
into_store system "demo-system-$version"
system=$stored

# The first root file system: busybox, the modules that reach the card, and its init.
mkdir -p initrd/bin initrd/modules
cp "$inputs/bin/busybox" initrd/bin/
cp "$inputs"/kernel/modules/*.ko initrd/modules/
cp "$src/initrd.sh" initrd/init
chmod 755 initrd/init initrd/bin/busybox
find initrd -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# NIXOS_SD and FIRMWARE.
mkdir -p root/boot/extlinux root/boot/demo root/boot/dtbs root/persist
(cd initrd && find . -print0 | sort -z | cpio -0 -o -H newc -R 0:0 --ignore-devno --renumber-inodes) |
    zstd -q -3 >root/boot/demo/initrd
cp "$inputs/kernel"/vmlinuz-* root/boot/demo/linux-Image
cp -r "$inputs/kernel/dtbs/broadcom" root/boot/dtbs/
mkdir -p root/var/nix/profiles
ln -s "$system" root/var/nix/profiles/system-1-link
ln -s system-1-link root/var/nix/profiles/system
sh "$src/boot-menu.sh" "$system" root/var/nix/profiles >root/boot/extlinux/extlinux.conf
mkdir -p firmware
cp "$src/config.txt" "$inputs/u-boot/u-boot.bin" "$inputs"/kernel/dtbs/broadcom/*.dtb firmware/
sh "$src/boot-script.sh" "$src/boot.cmd" >firmware/boot.scr
head -c 512 /dev/zero >firmware/trial.env
chmod -R u+w root firmware

export OUT="$out/sd-image/nixos-sd-image-demo-$version-aarch64-linux.img.zst"
export ROOT_TREE="$PWD/root" STORE_PATHS="$PWD/store-paths" FIRMWARE_TREE="$PWD/firmware"
export FIRMWARE_MIB=40 HEADROOM_MIB=16 ROOT_UUID=44444444-4444-4444-8888-888888888888 ZSTD_LEVEL=3
# Not by busybox: its shell takes its own tar and mkfs.vfat instead of those on PATH.
exec dash "$src/assemble.sh"
