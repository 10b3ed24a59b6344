#!/bin/sh
# card.sh: lays out a card with a Debian as its system, and assembles it with the assembler of the hosts. From the
# environment: WORK (a new folder), GUEST (kernel, U-Boot, Debian), PROGRAMS (those of the assembler), RASPBERRY_PI (the
# modules of the hosts), HOST_KEY, USER_KEY (public), OUT.
set -eu
here=${0%/*}
store=$WORK/store
root=$WORK/root
firmware=$WORK/firmware
mkdir -p "$store" "$root/boot" "$root/persist/etc/ssh" "$root/persist/root/.ssh" "$root/var/nix/profiles"
. "$here/store.sh"

# Another initrd, which the tests may choose.
sh "$here/systemd-initrd.sh" "$(at "$debian")" "$GUEST/bin/busybox" "$initrd/modules" "$WORK/systemd-initrd"
pack "$WORK/systemd-initrd" "$(at "$linux")/systemd-initrd"

# The trial, as `nixosModules.trial` makes it.
to=$(at "$trial")
mkdir -p "$to/bin" "$to/checks"
cp "$RASPBERRY_PI"/trial/*.sh "$RASPBERRY_PI/update-firmware.sh" "$to/"
sh "$RASPBERRY_PI/trial/boot-script.sh" "$RASPBERRY_PI/trial/boot.cmd" >"$to/boot.scr"
sh "$RASPBERRY_PI/trial/trial-flag.sh" nixos-trial >"$to/trial.env"
head -c 512 /dev/zero >"$to/no-trial.env"
fill "$here/menu-writer.sh" >"$to/bin/menu-writer"
cat >"$to/bin/boot-trial" <<END
#!/bin/sh
export PATH=/usr/bin:/usr/sbin boot=/nix/boot firmware=/boot/firmware by=self within=600
for word in \$(cat /proc/cmdline); do
    case \$word in
        within=*) within=\${word#within=} ;;
        init=*) export checks=\${word%/init}/checks && checks=\${checks#init=} ;;
    esac
done
export menu_writer="$trial/bin/menu-writer -g 4 -t 1" single_menu_writer="$trial/bin/menu-writer -g 0 -t 1"
export lib=$trial gcroots=/nix/var/nix/gcroots
exec sh $trial/trial.sh "\$@"
END
chmod 755 "$to"/bin/*

make_system
units=$(at "$system")/etc/systemd/system
mkdir -p "$units" "$(at "$system")/checks" "$(at "$system")/sw/bin"
ln -s "$trial/bin/boot-trial" "$(at "$system")/sw/bin/"
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

make_menu
echo 0123456789abcdef0123456789abcdef >"$root/persist/etc/machine-id"
cp "$HOST_KEY" "$root/persist/etc/ssh/ssh_host_ed25519_key"
cp "$USER_KEY" "$root/persist/root/.ssh/authorized_keys"
chmod 600 "$root/persist/etc/ssh/ssh_host_ed25519_key" "$root/persist/root/.ssh/authorized_keys"
chmod 700 "$root/persist/root" "$root/persist/root/.ssh"

make_firmware
cp "$(at "$trial")/boot.scr" "$firmware/boot.scr"
cp "$(at "$trial")/no-trial.env" "$firmware/trial.env"

for name in "$debian" "$pi_busybox" "$trial" "$linux" "$system"; do at "$name"; done >"$WORK/store-paths"
export OUT ROOT_TREE="$root" STORE_PATHS="$WORK/store-paths" FIRMWARE_TREE="$firmware" FIRMWARE_MIB=40 HEADROOM_MIB=96 \
    ROOT_UUID=44444444-4444-4444-8888-888888888888 SOURCE_DATE_EPOCH=1700000000 ZSTD_LEVEL=1
PATH=$PROGRAMS/programs:$PROGRAMS/applets exec "$PROGRAMS/programs/dash" "$RASPBERRY_PI/sd-image/assembler/assemble.sh"
