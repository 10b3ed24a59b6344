#!@shell@/bin/sh
# The system of the demo host: does at boot what a host does, proves it on the console in lines of the form
# `proof NAME KEY=VALUE ...`, and gives a shell.
system=${0%/init}
export PATH=@shell@/bin:@tools@/bin:$system/bin
persist=/nix/persist
# From here on only what ends the kernel may stand between the lines of this script.
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

# What outlives a boot, and what does not.
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

# Who this host is: the key that its card was given. Debian's programs look for their loader in /lib.
key=$persist/etc/ssh/ssh_host_ed25519_key
fingerprint=none
mkdir -p /lib
ln -s @ssh@/lib/ld-linux-aarch64.so.1 /lib/
export LD_LIBRARY_PATH=@ssh@/lib
if [ -s $key ] && @ssh@/bin/dropbearconvert openssh dropbear $key /tmp/host-key >/tmp/ssh.log 2>&1; then
    fingerprint=$(@ssh@/bin/dropbearkey -y -f /tmp/host-key | sed -n 's/^Fingerprint: *//p')
fi
# QEMU's own machine may have a network card, and a network of its own behind it.
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
echo "proof boot number=$boots"
while read -r _ where kind options _; do
    case $where in
        /) size=${options##*size=} && echo "proof root type=$kind size=${size%%,*}" ;;
        /nix) echo "proof nix type=$kind device=$card label=NIXOS_SD" ;;
    esac
done </proc/mounts
echo "proof partition before=${before}k now=$(kib)k end=$((($(cat "$sys/start") + $(cat "$sys/size")) / 2))k" \
    "disk=$(($(cat "$sys/../size") / 2))k milliseconds=$milliseconds"
# The number of blocks in the superblock.
echo "proof filesystem size=$(($(od -An -tu4 -j1028 -N4 "$card") * 4))k"
echo "proof persisted marker=$kept"
echo "proof memory marker=$forgotten"
echo "proof machine-id id=$(cat /etc/machine-id)"
echo "proof identity fingerprint=$fingerprint"
echo "proof generation number=$(number_of "$system") system=$system"
echo "proof menu default=$(entries | head -n 1) others=$(entries | tail -n +2 | tr '\n' ',')"

# A card that is taken out after one of these is clean.
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
