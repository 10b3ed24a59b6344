# boot-trial wait: one command waits on the host, as many looks from outside would slow down its boot. To be sourced.

# wait_for_checks SECONDS: waits until the checks of a trial have passed and the boot is over, or the trial has ended, for
# so long at most.
wait_for_checks() {
    looks=$((2 * $1))
    on_trial || return 0
    while [ -e "$state/record" ] && { ! is_healthy || is_booting; } && [ "$looks" -gt 0 ]; do
        sleep 0.5
        looks=$((looks - 1))
    done
}

is_healthy() { grep -qx healthy "$state/marks" 2>/dev/null; }

# Whether a job of the boot runs. The jobs of the trial itself run until it ends, and others wait for them. A job that
# hangs must leave time for the blessing.
is_booting() {
    [ "$(uptime_in_seconds)" -lt $((within / 2)) ] &&
        systemctl list-jobs --no-legend --plain | grep -v ' boot-trial-' | grep -q ' running$'
}
