#!/bin/sh
# card.sh: lays out a card with a Debian as its system, and assembles it with the assembler of the hosts. From the
# environment: WORK (a new folder), GUEST (kernel, U-Boot, Debian), PROGRAMS (those of the assembler), RASPBERRY_PI (the
# modules of the hosts), HOST_KEY, USER_KEY (public), OUT.
set -eu
here=${0%/*}
store=$WORK/store
root=$WORK/root
firmware=$WORK/firmware
mkdir -p "$store" "$root/boot" "$root/persist/etc/ssh" "$root/persist/root/.ssh" "$root/var/nix/profiles" "$firmware"
busybox=$PROGRAMS/bin/busybox

# path LETTER NAME: a store path; $1 says which.
path() { printf '/nix/store/'; for _ in 1 2 3 4 5 6 7 8; do printf %s "$1$1$1$1"; done; echo "-$2"; }
debian=$(path d debian) pi_busybox=$(path b busybox) trial=$(path t boot-trial) linux=$(path k linux)
at() { echo "$store/${1##*/}"; }
fill() { sed "s,@busybox@,$pi_busybox,g; s,@debian@,$debian,g; s,@boot-trial@,$trial/bin/boot-trial,g; s,@systemctl@,/usr/bin/systemctl,g" "$1"; }

cp -a "$GUEST/root" "$(at "$debian")"
chmod -R u+w "$(at "$debian")"
sh "$here/root.sh" "$(at "$debian")"

mkdir -p "$(at "$pi_busybox")/bin"
cp "$GUEST/bin/busybox" "$(at "$pi_busybox")/bin/"
for applet in awk cat chmod cp cut flock getopts grep head ln ls mkdir mount mv readlink rm sed sh sort tail touch tr; do
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
(cd "$initrd" && find . | sort | "$busybox" cpio -o -H newc -R 0:0 2>/dev/null) | "$PROGRAMS/programs/zstd" -q -3 \
    >"$(at "$linux")/initrd"

# The trial, as the module of NixOS makes it.
to=$(at "$trial")
mkdir -p "$to/bin" "$to/checks"
cp "$RASPBERRY_PI"/trial/*.sh "$to/"
sh "$RASPBERRY_PI/trial/boot-script.sh" "$RASPBERRY_PI/trial/boot.cmd" >"$to/boot.scr"
sh "$RASPBERRY_PI/trial/trial-flag.sh" nixos-trial >"$to/trial.env"
head -c 512 /dev/zero >"$to/no-trial.env"
fill "$here/menu-writer.sh" >"$to/bin/menu-writer"
cat >"$to/bin/boot-trial" <<END
#!/bin/sh
export PATH=/usr/bin:/usr/sbin boot=/nix/boot firmware=/boot/firmware by=self
within=\$(tr " " "\\n" </proc/cmdline | sed -n s/^within=//p)
export within=\${within:-600}
checks=\$(tr " " "\\n" </proc/cmdline | sed -n "s,^init=\(.*\)/init\$,\1/checks,p")
export checks
export builder="$trial/bin/menu-writer -g 4 -t 1" generationless="$trial/bin/menu-writer -g 0 -t 1"
export lib=$trial gcroots=/nix/var/nix/gcroots
exec sh $trial/trial.sh "\$@"
END
chmod 755 "$to"/bin/*

# The first system.
system=$(path 1 nixos-system-demo-1)
to=$(at "$system")
units=$to/etc/systemd/system
mkdir -p "$units" "$to/checks"
fill "$here/stage2.sh" >"$to/init"
chmod 755 "$to/init"
for name in kernel:Image initrd:initrd dtbs:dtbs; do ln -s "$linux/${name#*:}" "$to/${name%:*}"; done
echo "1" >"$to/nixos-version"
printf 'console=ttyAMA0,115200 console=ttyS1,115200 panic=1' >"$to/kernel-params"
for unit in "$RASPBERRY_PI"/trial/units/*; do
    name=${unit##*/}
    fill "$unit" >"$units/$name"
    sed -n 's/^\(WantedBy\|RequiredBy\)=\(.*\)/\1 \2/p' "$unit" | while read -r how target; do
        case $how in WantedBy) links=$units/$target.wants ;; RequiredBy) links=$units/$target.requires ;; esac
        mkdir -p "$links"
        case $name in
            *@.service)
                for milestone in sysinit.target network.target ssh.service; do
                    ln -s "../$name" "$links/${name%.service}$milestone.service"
                done
                ;;
            *) ln -s "../$name" "$links/$name" ;;
        esac
    done
done
ln -s "$system" "$root/var/nix/profiles/system-1-link"
ln -s system-1-link "$root/var/nix/profiles/system"

# The menu is written by the writer of the guest, with the store of the card in place of /nix/store.
mkdir -p "$root/boot/nixos" "$root/boot/extlinux"
keep() { cp -r "$(at "$linux")/$1" "$root/boot/nixos/${linux##*/}-$1"; }
keep Image && keep initrd && keep dtbs
kernel=../nixos/${linux##*/}
for label in nixos-default nixos-1-default; do
    printf '\nLABEL %s\n  MENU LABEL NixOS\n  LINUX %s-Image\n  INITRD %s-initrd\n  APPEND init=%s/init %s\n  FDTDIR %s-dtbs\n' \
        $label "$kernel" "$kernel" "$system" "$(cat "$to/kernel-params")" "$kernel"
done | { printf 'DEFAULT nixos-default\n\nTIMEOUT 10\n' && cat; } >"$root/boot/extlinux/extlinux.conf"

echo 0123456789abcdef0123456789abcdef >"$root/persist/etc/machine-id"
cp "$HOST_KEY" "$root/persist/etc/ssh/ssh_host_ed25519_key"
cp "$USER_KEY" "$root/persist/root/.ssh/authorized_keys"
chmod 600 "$root/persist/etc/ssh/ssh_host_ed25519_key" "$root/persist/root/.ssh/authorized_keys"
chmod 700 "$root/persist/root" "$root/persist/root/.ssh"

printf 'arm_64bit=1\nkernel=u-boot.bin\nenable_uart=1\n' >"$firmware/config.txt"
cp "$GUEST/u-boot/u-boot.bin" "$GUEST"/kernel/dtbs/broadcom/*.dtb "$firmware/"
cp "$(at "$trial")/boot.scr" "$firmware/boot.scr"
cp "$(at "$trial")/no-trial.env" "$firmware/trial.env"

for name in "$debian" "$pi_busybox" "$trial" "$linux" "$system"; do at "$name"; done >"$WORK/store-paths"
export OUT ROOT_TREE="$root" STORE_PATHS="$WORK/store-paths" FIRMWARE_TREE="$firmware" FIRMWARE_MIB=40 HEADROOM_MIB=96 \
    ROOT_UUID=44444444-4444-4444-8888-888888888888 SOURCE_DATE_EPOCH=1700000000 ZSTD_LEVEL=1
PATH=$PROGRAMS/programs:$PROGRAMS/applets exec "$PROGRAMS/programs/dash" "$RASPBERRY_PI/sd-image/assembler/assemble.sh"
