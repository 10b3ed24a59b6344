# Copies the folder $from to $out, and changes the copy by the script $change. $builder is a busybox.
set -eu
cp -R "$from" "$out"
chmod -R u+w "$out"
s=$out
eval "$change"
