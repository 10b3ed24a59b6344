#!@shell@/bin/sh
# The system of the demo host: says what it runs on, counts its boots in /nix/persist, and gives a shell.
export PATH=@shell@/bin
hostname demo
boots=$(cat /nix/persist/boots 2>/dev/null || echo 0)
boots=$((boots + 1))
echo "$boots" >/nix/persist/boots
sync
echo "demo: version @version@ on $(cat /proc/device-tree/model 2>/dev/null)"
grep -E ' (/|/nix) ' /proc/mounts | while read -r what where kind _; do
    echo "demo: $where is $kind ($what)"
done
echo "demo: /nix/store holds $(ls /nix/store)"
echo "demo: up, boot $boots of this card"
while :; do
    sh -l
    sleep 1
done
