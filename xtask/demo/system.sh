#!@shell@/bin/sh
# The system of the demo host: does at boot what a host does, prints what it observes in lines of the form
# `observed NAME KEY=VALUE ...`, and runs a shell on the console.
system=${0%/init}
export PATH=@shell@/bin:@tools@/bin:$system/bin
persist=/nix/persist
# From here on the kernel prints only fatal errors, so that its lines do not break those of this script.
dmesg -n 1
hostname demo

card=$(findfs LABEL=NIXOS_SD)
sys=$(readlink -f "/sys/class/block/${card##*/}")
kib() { echo $(($(cat "$sys/size") / 2)); }
uptime_ms() { sed 's/ .*//; s/\.//; s/$/0/' /proc/uptime; }

# The same script as on a real host.
before=$(kib)
start=$(uptime_ms)
grow.sh "$card" >/tmp/grow.log 2>&1 || { echo "demo: failed to grow the card:"; cat /tmp/grow.log; }
milliseconds=$(($(uptime_ms) - start))

# One marker on the card, which outlives a boot, and one in memory, which does not.
boots=$(cat $persist/boots 2>/dev/null || echo 0)
marker() { if [ -e "$1" ]; then echo present; else echo absent; fi; }
kept=$(marker $persist/marker)
forgotten=$(marker /marker)
boots=$((boots + 1))
echo "$boots" >$persist/boots
touch $persist/marker /marker
if [ ! -s $persist/etc/machine-id ]; then
    mkdir -p $persist/etc
    tr -d - </proc/sys/kernel/random/uuid >$persist/etc/machine-id
fi
touch /etc/machine-id
mount --bind $persist/etc/machine-id /etc/machine-id
sync

# The fingerprint of the host key that the card was given. Debian's programs look for their loader in /lib.
key=$persist/etc/ssh/ssh_host_ed25519_key
fingerprint=none
mkdir -p /lib
ln -s @ssh@/lib/ld-linux-aarch64.so.1 /lib/
export LD_LIBRARY_PATH=@ssh@/lib
if [ -s $key ] && @ssh@/bin/dropbearconvert openssh dropbear $key /tmp/host-key >/tmp/ssh.log 2>&1; then
    fingerprint=$(@ssh@/bin/dropbearkey -y -f /tmp/host-key | sed -n 's/^Fingerprint: *//p')
fi
# QEMU's machine `virt` may have a network card, with a network that QEMU makes.
if [ -e /sys/class/net/eth0 ] && [ $fingerprint != none ]; then
    ifconfig lo 127.0.0.1 up
    ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
    echo root:x:0:0:root:$persist/root:@shell@/bin/sh >/etc/passwd
    echo @shell@/bin/sh >/etc/shells
    @ssh@/bin/dropbear -s -r /tmp/host-key 2>>/tmp/ssh.log || cat /tmp/ssh.log
fi
unset LD_LIBRARY_PATH

number_of() {
    for link in /nix/var/nix/profiles/system-*-link; do
        [ "$(readlink "$link")" = "$1" ] || continue
        link=${link##*/system-}
        echo "${link%-link}"
    done
}
menu=/nix/boot/extlinux/extlinux.conf
entries() { sed -n 's,.* init=\(/nix/store/[^/]*\)/init.*,\1,p' $menu; }

echo "demo: version @version@ on $(tr -d '\0' </proc/device-tree/model 2>/dev/null)"
echo "observed boot number=$boots"
while read -r _ where kind options _; do
    case $where in
        /) size=${options##*size=} && echo "observed root type=$kind size=${size%%,*}" ;;
        /nix) echo "observed nix type=$kind device=$card label=NIXOS_SD" ;;
    esac
done </proc/mounts
echo "observed partition before=${before}k now=$(kib)k end=$((($(cat "$sys/start") + $(cat "$sys/size")) / 2))k" \
    "disk=$(($(cat "$sys/../size") / 2))k milliseconds=$milliseconds"
# The number of blocks in the superblock.
echo "observed filesystem size=$(($(od -An -tu4 -j1028 -N4 "$card") * 4))k"
echo "observed persisted marker=$kept"
echo "observed memory marker=$forgotten"
echo "observed machine-id id=$(cat /etc/machine-id)"
echo "observed identity fingerprint=$fingerprint"
echo "observed generation number=$(number_of "$system") system=$system"
echo "observed menu default=$(entries | head -n 1) others=$(entries | tail -n +2 | tr '\n' ',')"

# Commands that leave a clean card.
cat >/etc/profile <<PROFILE
leave() { sync; mount -o remount,ro /nix; busybox "\$1" -f; }
poweroff() { leave poweroff; }
reboot() { leave reboot; }
PROFILE
echo "demo: up, boot $boots of this card"
while :; do
    sh -l
    sleep 1
done
