#!/bin/busybox sh
# The init of the initrd: loads drivers, arms the watchdog, mounts NIXOS_SD, and starts the system that the kernel's
# command line names. NIXOS_SD is mounted at / if it has a folder `nix`, else at /nix of a tmpfs. `fault=` on the
# command line is for the tests.
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
word() { tr ' ' '\n' </proc/cmdline | sed -n "s,^$1=,,p" | tail -n 1; }

for module in $(cat /modules/order); do
    insmod "/modules/$module.ko" || echo "guest: $module does not load"
done
# Longer than on a Pi: the emulator may have to wait for a busy machine.
insmod /modules/i6300esb.ko heartbeat=60
# A watchdog that was opened once stays armed until systemd takes it over. The one of the emulated Pi 3 would reset the
# board at once.
case $(tr -d '\0' </proc/device-tree/model 2>/dev/null) in
    Raspberry*) ;;
    *) [ ! -e /dev/watchdog ] || echo >/dev/watchdog ;;
esac

case $(word fault) in
    initrd-hangs) echo "guest: the initrd hangs" && while :; do sleep 1000; done ;;
    initrd-ends) echo "guest: the initrd ends" && exit 1 ;;
esac
system=$(word init)
tries=0
until card=$(findfs LABEL=NIXOS_SD 2>/dev/null); do
    tries=$((tries + 1))
    [ "$tries" -le 300 ] || { echo "guest: there is no NIXOS_SD" && exit 1; }
    usleep 100000
done
mount -t ext4 -o noatime "$card" /root
if [ ! -d /root/nix ]; then
    mkdir /card
    mount --move /root /card
    # As udev does in the initrd of NixOS.
    mkdir -p /dev/disk/by-label && ln -s "$card" /dev/disk/by-label/NIXOS_SD
    mount -t tmpfs -o size=2G,mode=755 none /root
    mkdir /root/nix
    mount --move /card /root/nix
fi
mkdir -p /root/proc /root/sys /root/dev /root/etc /root/run
for place in proc sys dev; do mount --move "/$place" "/root/$place"; done
exec switch_root /root "$system"
