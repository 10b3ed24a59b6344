#!/bin/sh
# boot-script.sh FILE: writes the U-Boot script FILE as the legacy image that U-Boot runs (boot.scr).
#
# The format is that of mkimage: a header of 64 bytes with big-endian numbers and two CRC-32, then the length of the
# script, a zero, and the text. The header has no time, so that the same script gives the same bytes.
#
# On PATH: gzip, tail, od, wc, cat of any kind.
set -eu

# be32 NUMBER: prints NUMBER as four bytes, the highest first.
be32() {
    for bits in 24 16 8 0; do
        # shellcheck disable=SC2059 # The format is the byte.
        printf "\\$(printf %03o $(($1 >> bits & 255)))"
    done
}

# Prints the CRC-32 of stdin, which gzip writes near the end of its output.
crc32() {
    gzip -1 | tail -c 8 | od -A n -N 4 -t u1 | {
        read -r a b c d
        echo $((a | b << 8 | c << 16 | d << 24))
    }
}

# body FILE: prints all that follows the header: the length of the script FILE, a zero, and its text.
body() {
    be32 "$(wc -c <"$1")"
    be32 0
    cat "$1"
}

# header CRC: prints the header. CRC is the CRC-32 of the header with a CRC of 0. The header names the system Linux,
# arm64, a script, no compression, and the name of the image, which takes 32 bytes.
header() {
    be32 $((0x27051956))
    be32 "$1"
    be32 0
    be32 "$size"
    be32 0
    be32 0
    be32 "$crc"
    printf '\005\026\006\000trial'
    for _ in 1 2 3; do printf '\0\0\0\0\0\0\0\0\0'; done
}

size=$(body "$1" | wc -c)
crc=$(body "$1" | crc32)
header "$(header 0 | crc32)"
body "$1"
