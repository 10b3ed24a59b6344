# boot-trial wait: one command waits on the host, as repeated questions from outside would slow down its boot. To be
# sourced.

# wait_for_checks SECONDS: waits until the checks of a trial have passed and the boot is over, or the trial has ended,
# or SECONDS have passed.
wait_for_checks() {
    tries=$((2 * $1))
    on_trial || return 0
    while [ -e "$state/record" ] && { ! is_healthy || is_booting; } && [ "$tries" -gt 0 ]; do
        sleep 0.5
        tries=$((tries - 1))
    done
}

# Whether the checks of the trial have passed.
is_healthy() {
    [ -e "$state/marks" ] || return 1
    while read -r mark; do
        [ "$mark" != healthy ] || return 0
    done 2>/dev/null <"$state/marks"
    return 1
}

# Whether a job of the boot still runs, without the jobs of the trial, which run until it ends. After half of the time
# for the blessing the boot counts as over: a job that hangs must leave time to bless.
is_booting() {
    [ "$(uptime_in_seconds)" -lt $((within / 2)) ] || return 1
    systemctl list-jobs --no-legend --plain | {
        while read -r _ unit _ progress; do
            case $unit/$progress in boot-trial-*) ;; */running) exit 0 ;; esac
        done
        exit 1
    }
}
