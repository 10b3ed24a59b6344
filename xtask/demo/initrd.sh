#!/bin/busybox sh
# The init of the initrd: mounts a tmpfs as / and the partition NIXOS_SD as /nix, and starts the system.
fail() {
    echo "demo: $*"
    exec /bin/busybox sh
}
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
# Each module comes after those it needs. Those for QEMU's machine `virt` do nothing on a Pi, and the reverse.
for module in crc16 mbcache crc32c_generic jbd2 ext4 bcm2835 bcm2835_wdt \
    virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk failover net_failover virtio_net; do
    insmod "/modules/$module.ko" || echo "demo: $module does not load"
done

system=
for word in $(cat /proc/cmdline); do
    case $word in init=*) system=${word#init=} ;; esac
done
[ -n "$system" ] || fail "the kernel's command line has no init="

tries=0
until card=$(findfs LABEL=NIXOS_SD 2>/dev/null); do
    tries=$((tries + 1))
    [ "$tries" -le 300 ] || fail "no partition with the label NIXOS_SD after 30 s"
    usleep 100000
done

mount -t tmpfs -o size=2G,mode=755 none /root || fail "mounting a tmpfs failed"
mkdir -p /root/nix /root/proc /root/sys /root/dev /root/tmp /root/etc
mount -t ext4 -o noatime "$card" /root/nix || fail "mounting $card failed"
for place in proc sys dev; do
    mount --move "/$place" "/root/$place"
done
exec switch_root /root "$system"
