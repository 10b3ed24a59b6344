#!/bin/sh
# systemd-initrd.sh DEBIAN BUSYBOX MODULES OUT: lays out an initrd with Debian's systemd and udev, as NixOS has one: the
# watchdog is fed from early on, a failure panics, and a job that never ends reboots. `fault=` on the kernel's command
# line is for the tests.
set -eu
debian=$1 busybox=$2 modules=$3 out=$4
lib=usr/lib/aarch64-linux-gnu
mkdir -p "$out/usr/bin" "$out/$lib/systemd" "$out/usr/lib/systemd/system" "$out/usr/lib/udev/rules.d" \
    "$out/etc/systemd/system.conf.d" "$out/proc" "$out/sys" "$out/dev" "$out/run" "$out/tmp" "$out/sysroot"
ln -s bin "$out/usr/sbin"
for folder in bin sbin lib; do ln -s "usr/$folder" "$out/$folder"; done
ln -s usr/lib/systemd/systemd "$out/init"
cp -r "$modules" "$out/modules"
cp "$busybox" "$out/usr/bin/busybox"
for applet in cat insmod mkdir sed sh sleep tail tr; do ln -s busybox "$out/usr/bin/$applet"; done
for program in bin/mount bin/systemctl bin/udevadm bin/umount lib/systemd/systemd lib/systemd/systemd-executor \
    lib/systemd/systemd-journald lib/systemd/systemd-shutdown; do
    cp "$debian/usr/$program" "$out/usr/$program"
done
ln -s ../../bin/udevadm "$out/usr/lib/systemd/systemd-udevd"
for name in acl apparmor audit blkid c cap-ng cap crypt crypto kmod m mount pam pcre2-8 seccomp selinux z zstd; do
    cp "$debian/$lib/lib$name".so.[0-9] "$out/$lib/"
done
cp "$debian/$lib"/systemd/libsystemd-core-*.so "$debian/$lib"/systemd/libsystemd-shared-*.so "$out/$lib/systemd/"
cp "$debian/usr/lib/ld-linux-aarch64.so.1" "$out/usr/lib/"
for rules in 50-udev-default 60-block 60-persistent-storage 99-systemd; do
    cp "$debian/usr/lib/udev/rules.d/$rules.rules" "$out/usr/lib/udev/rules.d/"
done
cp "$debian/etc/passwd" "$debian/etc/group" "$out/etc/"
echo ID=guest >"$out/etc/initrd-release"
ln -s initrd-release "$out/etc/os-release"
printf '[Manager]\nRuntimeWatchdogSec=30s\n' >"$out/etc/systemd/system.conf.d/guest.conf"

units=$out/usr/lib/systemd/system
for unit in basic.target emergency.service emergency.target final.target initrd-cleanup.service initrd-fs.target \
    initrd-root-device.target initrd-root-fs.target initrd-switch-root.service initrd-switch-root.target \
    initrd-udevadm-cleanup-db.service initrd-usr-fs.target initrd.target local-fs-pre.target local-fs.target paths.target \
    reboot.target shutdown.target slices.target sockets.target swap.target sysinit.target systemd-journald-dev-log.socket \
    systemd-journald.service systemd-journald.socket systemd-reboot.service systemd-udev-trigger.service \
    systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd.service timers.target umount.target; do
    cp -P "$debian/usr/lib/systemd/system/$unit" "$units/"
done
ln -sf initrd.target "$units/default.target"

# unit NAME wants|requires TARGET: the text is stdin.
unit() {
    cat >"$units/$1"
    want "$1" "$2" "$3"
}
want() {
    mkdir -p "$units/$3.$2"
    ln -s "../$1" "$units/$3.$2/$1"
}
for name in systemd-journald.service systemd-udevd.service systemd-udev-trigger.service; do want $name wants sysinit.target; done
for name in systemd-journald.socket systemd-journald-dev-log.socket systemd-udevd-control.socket \
    systemd-udevd-kernel.socket; do
    want $name wants sockets.target
done
want initrd-cleanup.service wants initrd.target
mkdir "$units/systemd-udev-trigger.service.d" "$units/initrd.target.d"
printf '[Service]\nExecStart=\nExecStart=udevadm trigger --action=add --subsystem-match=block\n' \
    >"$units/systemd-udev-trigger.service.d/guest.conf"
# nixosModules.trial has the same with a longer timeout.
printf '[Unit]\nJobTimeoutSec=60\nJobTimeoutAction=reboot-force\n' >"$units/initrd.target.d/trial.conf"

unit guest-modules.service wants sysinit.target <<'END'
[Unit]
DefaultDependencies=no
Before=systemd-udev-trigger.service sysinit.target
[Service]
Type=oneshot
ExecStart=sh -c "for module in $(cat /modules/order); do insmod /modules/$module.ko || :; done; insmod /modules/i6300esb.ko heartbeat=60"
END
unit sysroot.mount requires initrd-root-fs.target <<'END'
[Unit]
DefaultDependencies=no
Before=initrd-root-fs.target
[Mount]
What=none
Where=/sysroot
Type=tmpfs
Options=size=2G,mode=755
END
unit sysroot-nix.mount requires initrd-fs.target <<'END'
[Unit]
DefaultDependencies=no
Before=initrd-fs.target
[Mount]
What=/dev/disk/by-label/NIXOS_SD
Where=/sysroot/nix
Type=ext4
Options=noatime
END
unit guest-closure.service requires initrd.target <<'END'
[Unit]
DefaultDependencies=no
RequiresMountsFor=/sysroot/nix/store
Before=initrd.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=sh /modules/closure
END
unit panic-on-fail.service wants emergency.target <<'END'
[Unit]
DefaultDependencies=no
ConditionKernelCommandLine=boot.panic_on_fail
[Service]
Type=oneshot
ExecStart=sh -c "echo c >/proc/sysrq-trigger"
END
cat >"$out/modules/closure" <<'END'
mkdir -p /sysroot/etc /sysroot/proc /sysroot/sys /sysroot/dev /sysroot/run
echo ID=guest >/sysroot/etc/os-release
case $(tr ' ' '\n' </proc/cmdline | sed -n s/^fault=//p) in
    initrd-fails) exit 1 ;;
    initrd-job-hangs) sleep 100000 ;;
esac
END
