#!@shell@/bin/sh
# Runs Debian's program of the name of this script, by Debian's loader and libraries.
here=${0%/bin/*}
name=${0##*/}
exec "$here/lib/ld-linux-aarch64.so.1" --argv0 "$name" --library-path "$here/lib" "$here/libexec/$name" "$@"
