#!/bin/sh
# Flashes $image (a folder of Nix) to a virtual card, boots it in QEMU with $uboot, and gives the host the generations $good
# and $bad, which are in its store. $userKey lets root log in. On PATH: xtask, qemu-system-aarch64, ssh.
set -eu
export HOME="$PWD" XTASK_STATE="$PWD/state"
card=$PWD/card.img
console=$PWD/console
port=2222

die() {
    echo "trial-test: $*" >&2
    tail -n 40 "$console" >&2 || :
    exit 1
}

truncate -s 8G "$card"
xtask flash --image "$image"/sd-image/*.img.zst --identity-of trial \
    --allow-virtual --yes --expect-size 8GiB "$card"
install -m 600 "$userKey" key

qemu-system-aarch64 -M virt,gic-version=3 -cpu cortex-a57 -smp 2 -m 2G -bios "$uboot/u-boot.bin" \
    -drive "file=$card,if=none,id=card,format=raw,cache=unsafe" -device virtio-blk-pci,drive=card \
    -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=net,romfile= \
    -serial "file:$console" -display none -monitor none &
qemu=$!
trap 'kill $qemu' EXIT

# The key of the host is known from the flash: the first connection asks nothing.
on_host() {
    ssh -F none -i key -p "$port" -o BatchMode=yes -o ConnectTimeout=10 -o HostKeyAlias=trial \
        -o StrictHostKeyChecking=yes -o UserKnownHostsFile=state/identity/known_hosts root@127.0.0.1 "$@"
}

# wait_for COMMAND...: waits until COMMAND succeeds on the host, for up to ten minutes, as emulated reboots are slow.
wait_for() {
    tries=0
    until on_host "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || die "never true on the host: $*"
        sleep 2
    done
}

# status NAME: prints the value of NAME in the status of the host.
status() { on_host boot-trial status | sed -n "s/^$1=//p"; }

# assert_status NAME VALUE: fails unless the status of the host has the line NAME=VALUE.
assert_status() {
    found=$(status "$1")
    [ "$found" = "$2" ] || die "$1 is '$found', not '$2'"
}

# try_system SYSTEM: installs it as a deploy does, and reboots.
try_system() {
    on_host "nix-env --profile /nix/var/nix/profiles/system --set $1 && $1/bin/switch-to-configuration boot \
        && boot-trial arm deployer"
    assert_status pending "$1"
    on_host systemctl --no-block reboot
}

wait_for true
flashed=$(status booted)
assert_status blessed "$flashed"

try_system "$good"
wait_for "boot-trial status | grep -qx trial=$good"
assert_status blessed "$flashed"
on_host boot-trial bless
assert_status blessed "$good"

try_system "$bad"
wait_for "boot-trial status | grep -qx last-outcome=rolled-back"
assert_status booted "$good"
assert_status blessed "$good"
assert_status last-system "$bad"
