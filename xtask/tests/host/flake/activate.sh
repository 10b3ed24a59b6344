#!/bin/sh
# Runs the `activate` of deploy-rs of the workstation, with its own loader and libraries, and in an emulator where the
# workstation has another architecture than the host.
programs=$(dirname "$(dirname "$(readlink -f "$0")")")
emulator=$programs/emulator
[ -e "$emulator" ] || emulator=
exec $emulator "$programs"/lib/ld-* --library-path "$programs/lib" "$programs/activate" "$@"
