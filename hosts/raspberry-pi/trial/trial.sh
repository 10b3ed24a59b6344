# boot-trial COMMAND: a new generation is booted once, on trial, and becomes DEFAULT only if it is blessed.
#
#   install SYSTEM      write the boot menu; a system that was never blessed is tried at the next boot
#   arm [deployer|self] try the pending system at the next boot (again); the argument says who blesses it
#   bless               make the booted system DEFAULT
#   abort               do not try the pending system
#   prepare-firmware [--dry-run]
#                       put boot.scr and trial.env on FIRMWARE, and mark both partitions as bootable
#   status              print what is booted, blessed, pending and on trial, as KEY=VALUE lines
#   wait SECONDS        wait until the checks of a trial have passed and the boot is over, or the trial has ended
#   begin, deadline, health, complete, go-back REASON   what the units of a trial run
#
# The environment says where things are: $boot (the folder of extlinux/), $firmware (where FIRMWARE is mounted), $lib
# (this folder, with boot.scr and trial.env), $menu_writer and $single_menu_writer (nixpkgs' commands that write a menu:
# of all generations, and of one system), $within (seconds), $by (deployer or self), $checks (a folder of programs),
# $gcroots.
#
# DEFAULT of the menu is the one place that says which system is blessed. The rest lies in $boot/trial:
#
#   record   the system that is pending or on trial, who blesses it, and the boot in which it was armed
#   marks    how far the boot of that system has come; the units boot-trial-mark@ add to it
#   reason   why the host goes back, if it could note that
#   outcome  how the last trial ended
#   blessed  the last 50 systems that were blessed
#
# On PATH: coreutils with `mv --exchange`, awk, sed, od, cmp, dd, fsfreeze, flock, mount, mountpoint of any kind, and
# systemctl.
set -eu
menu=$boot/extlinux/extlinux.conf
state=$boot/trial
# This file exists in a boot that is a trial, until the trial ends. Without the file no unit starts a program, as each
# program costs time on a slow Pi.
trial_boot=/run/boot-trial
trial_label=nixos-trial
. "$lib/fat.sh"
. "$lib/menu.sh"
. "$lib/flag.sh"
. "$lib/install.sh"
. "$lib/wait.sh"

main() {
    command=${1:-}
    [ $# -eq 0 ] || shift
    [ -d "$state" ] || mkdir -p "$state"
    case $command in
        install) lock && install_menu "$1" ;;
        arm) lock && arm "$(pending)" "${1:-$by}" ;;
        bless) lock && bless ;;
        abort) lock && abort ;;
        prepare-firmware) lock && prepare_firmware "$@" ;;
        status) status ;;
        wait) wait_for_checks "${1:-60}" ;;
        begin) begin ;;
        deadline) deadline ;;
        health) health ;;
        complete) complete ;;
        go-back) go_back "$*" ;;
        *) die "usage: boot-trial install SYSTEM | arm [deployer|self] | bless | abort | prepare-firmware | status" ;;
    esac
}

# Waits until no other command changes the trial: a deploy, a person and the units may run one at the same time.
lock() { exec 9>"$state/lock" && flock 9; }
say() { echo "trial: $*"; }
die() { echo "boot-trial: $*" >&2; exit 1; }

# The system that this boot started, by the parameters of the kernel.
booted() {
    read -r parameters </proc/cmdline || :
    system_in "$parameters" || :
}
# The system that DEFAULT of the menu starts; nothing without a menu.
blessed() { [ ! -e "$menu" ] || system_of "$(default_label)"; }
boot_id() { cat /proc/sys/kernel/random/boot_id; }
uptime_in_seconds() { read -r seconds _ </proc/uptime && echo "${seconds%.*}"; }

# field NAME FILE: the value of a line NAME=VALUE; nothing where there is none.
field() {
    [ -e "$state/$2" ] || return 0
    while IFS= read -r line; do
        case $line in "$1="*) echo "${line#*=}" && return ;; esac
    done 2>/dev/null <"$state/$2"
}
pending() { field system record; }
was_blessed() { [ -e "$state/blessed" ] && grep -qxF "$1" "$state/blessed"; }
on_trial() {
    tried=$(pending)
    [ -n "$tried" ] && [ "$tried" = "$(booted)" ] && [ "$tried" != "$(blessed)" ]
}

# put NAME: writes stdin to the file NAME of the state folder, whole or not at all.
put() {
    cat >"$state/$1.new"
    sync "$state/$1.new"
    mv -f "$state/$1.new" "$state/$1"
    sync "$state"
}

# arm SYSTEM WHO: makes the next boot try SYSTEM, which WHO blesses. The record is written before the flag: the boot
# that clears the flag must find the record.
arm() {
    [ -n "$1" ] || die "no system is pending"
    [ "$(system_of "$trial_label")" = "$1" ] || die "the boot menu has no entry for a trial of $1"
    case $2 in deployer | self) ;; *) die "a trial is blessed by deployer or self, not by $2" ;; esac
    ! reason=$(trial_obstacle) || die "no trial is possible: $reason"
    keep_from_garbage trial "$1"
    rm -f "$state/marks" "$state/reason"
    printf 'system=%s\nby=%s\narmed-in=%s\n' "$1" "$2" "$(boot_id)" | put record
    write_flag "$lib/trial.env"
    say "the next boot tries $1"
}

# Makes the booted system DEFAULT.
bless() {
    system=$(booted)
    old=$(blessed)
    if [ "$system" != "$old" ]; then
        on_trial || die "$system is not on trial, so it cannot be blessed"
        body=$(body_of "$trial_label" "$menu")
        without_entry "$trial_label" <"$menu" | with_body "$(default_label)" "$body" >"$menu.new"
        [ "$(system_of "$(default_label "$menu.new")" "$menu.new")" = "$system" ] || die "the new boot menu is wrong"
        publish_menu "$menu.new"
    fi
    # Nobody has blessed the system that was flashed: it enters the list together with its first successor.
    remember ${old:+"$old"} "$system"
    keep_from_garbage blessed "$system"
    [ "$(pending)" != "$system" ] || conclude blessed ""
    say "$system is blessed"
}

# remember SYSTEM…: lists each SYSTEM as blessed once, so that it needs no other trial. The list keeps the last 50, so
# that it does not grow for ever.
remember() {
    added=$(for name; do was_blessed "$name" || echo "$name"; done | uniq)
    [ -z "$added" ] || { cat "$state/blessed" 2>/dev/null || :; echo "$added"; } | tail -n 50 | put blessed
}

# Clears the flag, so that the pending system is not tried, and removes its entry from the menu.
abort() {
    ! on_trial || die "$(booted) is on trial; a reboot ends the trial"
    [ -n "$(pending)" ] || die "no system is pending"
    clear_flag
    without_entry "$trial_label" <"$menu" >"$menu.new"
    publish_menu "$menu.new"
    conclude aborted ""
}

# Ends the trial of a pending system, as the system that was installed after it is DEFAULT without a trial.
replace_pending() {
    [ -n "$(pending)" ] || return 0
    clear_flag
    conclude replaced ""
}

# conclude OUTCOME REASON: writes how the trial of the record ended, and removes the record.
conclude() {
    {
        echo "system=$(pending)"
        echo "outcome=$1"
        echo "reason=$2"
        echo "marks=$(marks)"
    } | put outcome
    rm -f "$state/record" "$state/marks" "$state/reason" "$gcroots/boot-trial" "$trial_boot"
    sync "$state"
}

marks() {
    separator=
    while read -r mark; do
        printf %s "$separator$mark"
        separator=" "
    done 2>/dev/null <"$state/marks" || :
}

# keep_from_garbage NAME SYSTEM: keeps SYSTEM from the garbage collection, by the link boot-NAME.
keep_from_garbage() {
    [ -d "$gcroots" ] || mkdir -p "$gcroots"
    ln -sfn "$2" "$gcroots/boot-$1"
}

# Prints the state of the trial, as KEY=VALUE lines.
status() {
    echo "version=1"
    echo "missing=$(trial_obstacle || :)"
    echo "booted=$(booted)"
    echo "blessed=$(blessed)"
    if on_trial; then echo "trial=$(booted)"; else echo "pending=$(pending)"; fi
    echo "by=$(field by record)"
    echo "within=$within"
    echo "marks=$(marks)"
    echo "boot=$boot"
    echo "firmware=$firmware"
    sed 's/^/last-/' "$state/outcome" 2>/dev/null || :
}

# mark NAME: adds NAME to the marks, if this boot is a trial.
mark() {
    [ ! -e "$trial_boot" ] || { echo "$1" >>"$state/marks" && sync "$state/marks"; }
}

# Runs early in each boot, and notes that the boot is a trial if it is one.
begin() {
    on_trial || return 0
    : >"$trial_boot"
    say "$(booted) is on trial; $(field by record) has to bless it within $within s"
    mark begun
}

# Runs in a boot that is no trial: concludes the trial before it. While the flag is set, no boot has tried the system.
review() {
    [ -n "$(pending)" ] && [ "$(field armed-in record)" != "$(boot_id)" ] && mounted || return 0
    if [ "$(pending)" = "$(blessed)" ]; then
        # A power cut came after the menu of the blessing.
        remember "$(pending)"
        conclude blessed ""
        return 0
    elif is_armed; then
        say "U-Boot has not tried $(pending): boot.scr did not run"
        return 0
    elif ! cmp -s "$lib/no-trial.env" "$firmware/trial.env"; then
        say "U-Boot has not tried $(pending): trial.env is damaged"
        conclude aborted "trial.env was damaged"
        write_flag "$lib/no-trial.env"
        return 0
    fi
    reason=$(cat "$state/reason" 2>/dev/null) || reason=
    say "$(pending) was tried, and the host came back with $(booted): ${reason:-the marks are: $(marks)}"
    conclude rolled-back "$reason"
}

# Sleeps until the time for the blessing is over, and goes back unless the system is blessed by then. The time counts
# from the start of the kernel.
deadline() {
    up=$(uptime_in_seconds)
    [ "$up" -ge "$within" ] || sleep $((within - up))
    ! on_trial || go_back "not blessed within $within s"
}

# Runs the checks of a boot that is a trial, and waits until the trial has ended where the deployer blesses. In any
# other boot, concludes the trial before it.
health() {
    on_trial || {
        review
        return 0
    }
    for check in "$checks"/*; do
        [ -x "$check" ] || continue
        "$check" || go_back "the check ${check##*/} failed"
    done
    mark healthy
    while [ "$(field by record)" = deployer ]; do sleep 0.5; done
}

# Runs once boot-complete.target is reached, when all checks of the host have passed: blesses the system.
complete() {
    on_trial || return 0
    lock && bless
}

# go_back REASON: ends the trial by a reboot, which starts DEFAULT. A shutdown that hangs is cut off after a minute.
go_back() {
    on_trial || die "no system is on trial"
    echo "$*" | put reason
    say "$(booted) goes back to $(blessed): $*"
    systemctl --no-block reboot || :
    sleep 60
    systemctl reboot --force --force
}

main "$@"
