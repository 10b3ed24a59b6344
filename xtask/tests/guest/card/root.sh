#!/bin/sh
# root.sh ROOT: completes ROOT, the root of a Debian whose packages were only unpacked: writes the files that their
# maintainer scripts would write. Units that NixOS does not run either are masked, and so are most udev rules, as each
# costs seconds under emulation.
set -eu
cd "$1"

cat >etc/passwd <<'END'
root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
systemd-network:x:998:998::/:/usr/sbin/nologin
messagebus:x:996:996::/nonexistent:/usr/sbin/nologin
sshd:x:995:65534::/run/sshd:/usr/sbin/nologin
END
for group in root:0 adm:4 tty:5 disk:6 lp:7 uucp:10 kmem:15 dialout:20 cdrom:24 tape:26 audio:29 shadow:42 utmp:43 \
    video:44 users:100 input:101 sgx:102 kvm:103 render:104 clock:105 systemd-journal:999 systemd-network:998 \
    messagebus:996 nogroup:65534; do
    echo "${group%:*}:x:${group#*:}:"
done >etc/group
sed 's/:.*/:*:19000::::::/' etc/passwd >etc/shadow
ln -sf gawk usr/bin/awk
printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files\n' >etc/nsswitch.conf
mkdir -p etc/nix etc/pam.d etc/ssh etc/systemd/network etc/systemd/system etc/udev/rules.d root run/sshd
for file in account auth password session session-noninteractive; do
    echo "${file%-*} required pam_permit.so" >"etc/pam.d/common-$file"
done
echo demo >etc/hostname
: >etc/machine-id
echo 'LABEL=FIRMWARE /boot/firmware vfat noauto,nofail,umask=0077 0 0' >etc/fstab
cat >etc/ssh/sshd_config <<'END'
HostKey /nix/persist/etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /nix/persist/root/.ssh/authorized_keys
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
SetEnv PATH=/run/current-system/sw/bin:/usr/bin:/usr/sbin
END
printf 'build-users-group =\nsandbox = false\nsubstituters =\n' >etc/nix/nix.conf
printf '[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' \
    >etc/systemd/network/10-ethernet.network
mkdir -p etc/systemd/journald.conf.d etc/systemd/system.conf.d
printf '[Journal]\nStorage=volatile\n' >etc/systemd/journald.conf.d/guest.conf
printf '[Manager]\nShowStatus=yes\nRuntimeWatchdogSec=30s\n' >etc/systemd/system.conf.d/guest.conf

cd etc/systemd/system
mkdir -p multi-user.target.wants
ln -sf /usr/lib/systemd/system/multi-user.target default.target
for unit in ssh systemd-networkd; do
    ln -sf "/usr/lib/systemd/system/$unit.service" multi-user.target.wants/
done
for unit in ldconfig systemd-hwdb-update systemd-journal-catalog-update systemd-firstboot systemd-sysusers \
    systemd-update-done systemd-pcrmachine systemd-pcrphase systemd-pcrphase-sysinit systemd-tpm2-setup \
    systemd-tpm2-setup-early systemd-hibernate-clear systemd-binfmt systemd-modules-load kmod-static-nodes \
    modprobe@ modprobe@drm modprobe@configfs modprobe@fuse modprobe@efi_pstore modprobe@dm_mod modprobe@loop \
    systemd-machine-id-commit systemd-remount-fs systemd-pstore systemd-logind e2scrub_reap \
    systemd-networkd-persistent-storage systemd-battery-check systemd-growfs-root systemd-random-seed \
    systemd-boot-random-seed systemd-udev-load-credentials; do
    ln -sf /dev/null "$unit.service"
done
for unit in sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount \
    dev-hugepages.mount dev-mqueue.mount proc-sys-fs-binfmt_misc.automount run-lock.mount tmp.mount getty.target \
    systemd-ask-password-console.path systemd-ask-password-wall.path systemd-logind-varlink.socket ssh.socket \
    sshd-unix-local.socket systemd-sysext.socket systemd-creds.socket systemd-hostnamed.socket e2scrub_all.timer \
    fstrim.timer dpkg-db-backup.timer systemd-tmpfiles-clean.timer; do
    ln -sf /dev/null "$unit"
done
cd ../../..
for rules in usr/lib/udev/rules.d/*; do
    case ${rules##*/} in
        50-udev-default.rules | 60-persistent-storage.rules | 60-block.rules | 99-systemd.rules) ;;
        *) ln -sf /dev/null "etc/udev/rules.d/${rules##*/}" ;;
    esac
done
rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/bug usr/share/lintian usr/share/zoneinfo usr/share/perl* \
    usr/share/info usr/lib/aarch64-linux-gnu/gconv usr/lib/aarch64-linux-gnu/perl* usr/lib/udev/hwdb.d \
    usr/lib/systemd/system-generators usr/lib/systemd/user-generators var boot
