#!@busybox@/bin/sh
# The init of a system: /usr is Debian's, /etc gets Debian's files and those of this system; then systemd.
PATH=@busybox@/bin
system=${0%/init}
cd /
mkdir -p usr root home tmp var/log var/tmp var/lib boot/firmware
chmod 1777 tmp var/tmp
mount --bind @debian@/usr usr
for name in bin lib sbin; do ln -sfn usr/$name $name; done
cp -a @debian@/etc/. etc/
cp -a "$system/etc/." etc/
# As `raspberryPi.trial.watchdog = null`, which the emulated Pi 3 needs.
case $(tr -d '\0' </proc/device-tree/model 2>/dev/null) in
    Raspberry*) sed -i /RuntimeWatchdogSec/d etc/systemd/system.conf.d/guest.conf ;;
esac
ln -sfn /run var/run
mountpoint -q run || mount -t tmpfs -o mode=755 none run
ln -sfn "$system" run/booted-system
ln -sfn "$system" run/current-system
# The scripts that NixOS runs before systemd, where the system has some. The stock layout has no /nix/persist.
if [ -e "$system/activate" ]; then
    "$system/activate"
elif [ -e /nix/persist ]; then
    cp /nix/persist/etc/machine-id etc/machine-id
fi
exec /usr/lib/systemd/systemd
