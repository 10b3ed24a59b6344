# boot-trial install SYSTEM: writes the boot menu, as the boot loader's installer of NixOS does. To be sourced.
#
# DEFAULT stays the blessed system. A system that was never blessed gets an entry of its own, which one boot tries.
#
# $menu_writer, nixpkgs' command that writes menus, writes to the disk in an order that does not survive a power cut. So
# it works in a copy of the folder, made of hard links, and this script publishes the result.

install_menu() {
    system=$(readlink -f "$1")
    if on_trial && [ "$system" != "$(booted)" ] && [ "$system" != "$(blessed)" ]; then
        die "$(booted) is on trial: bless it (boot-trial bless) or reboot before another system is installed"
    fi
    default=$(default_for "$system")
    next=$boot/.next
    rm -rf "$next"
    mkdir -p "$boot/extlinux" "$boot/nixos" "$next/menu"
    cp -al "$boot/nixos" "$next/menu/nixos"
    $menu_writer -c "$default" -d "$next/menu"
    [ "$default" = "$system" ] || stage_trial
    add_files "$next"/*/nixos/*
    cp "$next/menu/extlinux/extlinux.conf" "$menu.new"
    publish_menu "$menu.new"
    remove_files
    rm -rf "$next"
    keep_from_garbage blessed "$default"
    if [ "$default" = "$system" ]; then replace_pending; else arm "$system" "$by"; fi
}

# Prints the system that becomes DEFAULT when $1 is installed: the blessed one if $1 can and must be tried, else $1.
default_for() {
    old=$(blessed)
    if [ -z "$old" ] || [ ! -e "$old/init" ] || [ "$old" = "$1" ] || was_blessed "$1"; then
        echo "$1"
    elif reason=$(trial_obstacle); then
        echo "trial: $1 is installed without a trial: $reason" >&2
        echo "$1"
    else
        echo "$old"
    fi
}

# Adds the entry of the trial to the new menu.
stage_trial() {
    mkdir "$next/trial"
    cp -al "$next/menu/nixos" "$next/trial/nixos"
    $single_menu_writer -c "$system" -d "$next/trial"
    staged=$next/menu/extlinux/extlinux.conf
    body=$(body_of nixos-default "$next/trial/extlinux/extlinux.conf")
    add_entry "$trial_label" "NixOS - On trial" "$body" <"$staged" >"$staged.trial"
    mv "$staged.trial" "$staged"
}

# Links the files of the new menu into $boot/nixos, before that menu is published.
add_files() {
    for file; do
        [ ! -e "$file" ] || [ -e "$boot/nixos/${file##*/}" ] || cp -al "$file" "$boot/nixos/"
    done
}

# Removes the files that no entry of the new menu names.
remove_files() {
    for file in "$boot"/nixos/*; do
        name=${file##*/}
        [ -e "$next/menu/nixos/$name" ] || [ -e "$next/trial/nixos/$name" ] || [ ! -e "$file" ] || {
            chmod -R u+w "$file"
            rm -rf "$file"
        }
    done
}
