//! The commands that flash a host: to loop devices, with the image of a fake Nix, as no machine of the suites builds a
//! real nixpkgs.

use std::fs;

use serde_json::{Value, json};

use crate::card::Card;
use crate::fake_flake::{FLAKE, FakeFlake};
use crate::host_image::{host_image, listing};
use crate::image::pack;
use crate::new_host_fixture::KEY;
use crate::page::{self, Block};
use crate::scene::Scene;

/// The hosts of the pages.
const HOSTS: &[&str] = &["stinky", "smelly"];
/// The size of the cards in MiB, which no other test of this suite has: a command that lists cards lists these alone.
const SIZE_MIB: usize = 53;
/// The password of the Wi-Fi.
const PASSWORD: &str = "eight or more";
/// The readers of the pages.
const READERS: &[&str] = &["/dev/mmcblk0", "/dev/sdX", "/dev/sdb", "/dev/sdc", "/dev/loop0"];

/// Whether the command `line` builds or flashes.
fn is_of_card(line: &str) -> bool {
    ["sd-image", "flash"].iter().any(|command| line.starts_with(&format!("cargo xtask {command} ")))
}

/// The hosts of the pages: their administrator, and Wi-Fi with the networks of the card.
fn layout() -> Value {
    let anna = json!({
        "name": "anna", "is_normal": true, "is_admin": true, "keys": null, "has_password": false,
        "files": ["/nix/persist/etc/ssh/authorized_keys.d/anna"]
    });
    json!({
        "hostKeys": ["/nix/persist/etc/ssh/ssh_host_ed25519_key"],
        "mounts": [
            { "at": "/", "device": "none", "type": "tmpfs" },
            { "at": "/nix", "device": "/dev/disk/by-label/NIXOS_SD", "type": "ext4" }
        ],
        "moved": [{ "path": "/var/lib/iwd", "source": "/nix/persist/var/lib/iwd" }],
        "wifi": { "daemon": "iwd" },
        "logins": { "is_enabled": true, "has_other_way": false, "users": [anna] }
    })
}

/// The answers to the questions of `command`, beside the names of the devices.
fn answers(command: &str) -> Vec<(&'static str, &'static str)> {
    let names_card = ["/dev/", "--image", "--to"].iter().any(|word| command.contains(word));
    let of_list = (!names_card && command.contains(" flash ")).then_some(("Type ", "1"));
    let of_wifi = [("Password of the Wi-Fi network", PASSWORD), ("The same again:", PASSWORD)];
    of_list.into_iter().chain(of_wifi.into_iter().filter(|_| command.contains("--wifi"))).collect()
}

/// Runs the `command` of `block`, and types what it asks for. A loop device is no card without `--allow-virtual`.
#[track_caller]
fn run(block: &Block, command: &str, bytes: &[u8]) {
    let mut flake = FakeFlake::with_layout(HOSTS, bytes, &layout());
    flake.sandbox.env("XTASK_FLAKE", FLAKE);
    let home = flake.sandbox.path("home");
    pack(&home, "img.zst", bytes);
    fs::create_dir(home.join(".ssh")).expect("making a folder");
    fs::write(home.join(".ssh/id_ed25519.pub"), format!("{KEY}\n")).expect("writing a key");
    let size = format!("{SIZE_MIB}MiB");
    let mut scene = Scene::new(&flake.sandbox, &home);
    scene.answers = answers(command);
    let is_picked = scene.answers.first().is_some_and(|(_, answer)| *answer == "1");
    let named = READERS.iter().filter(|reader| command.contains(**reader));
    let unnamed = HOSTS.iter().filter(|host| is_picked && command.contains(**host));
    let cards = named.chain(unnamed).map(|name| (*name, Card::new(SIZE_MIB))).collect::<Vec<_>>();
    let readers = cards.iter().filter(|(name, _)| name.starts_with('/'));
    scene.names.extend(readers.map(|(reader, card)| (*reader, card.device.device().to_owned())));
    scene.names.push(("--image FILE", "--image nixos-sd-image.img.zst".to_owned()));
    scene.names.push(("640MiB", size.clone()));
    let of_flash =
        [" --allow-virtual".to_owned(), format!(" --expect-size {size}")].into_iter().filter(|option| {
            let name = option.split(' ').nth(1).expect("an option");
            command.contains(" flash ") && !command.contains(name)
        });
    let more = of_flash.collect::<String>();
    scene.run_block(&Block { text: format!("{command}{more}\n"), ..block.clone() });
    for (name, card) in &cards {
        if command.contains("--dry-run") {
            card.assert_unchanged();
            continue;
        }
        // A host key and the label of the host may be on the card beside the image.
        assert!(card.device.bytes().starts_with(&bytes[..512]), "{}: {name}", block.place());
        if command.contains("--wifi") {
            let networks = listing(card.device.device(), "/persist/var/lib/iwd");
            assert!(matches!(&networks[..], [file] if file.contains(" 100600 0:0 ")), "{networks:?}");
        }
    }
}

#[test]
#[ignore = "needs root, loop devices, e2fsprogs: run `cargo xtask test`"]
fn the_commands_for_cards_write_them() {
    let bytes = host_image(4096);
    let mut count = 0;
    for block in page::blocks().iter().filter(|block| block.scene.starts_with("flash")) {
        for line in block.text.lines().filter(|line| is_of_card(line)) {
            let command = line.split_once("  #").map_or(line, |(command, _)| command).trim_end();
            run(block, command, &bytes);
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}

/// What only a shell is needed for.
#[test]
fn the_commands_for_a_shell_succeed() {
    let sandbox = crate::support::Sandbox::new();
    fs::create_dir_all(sandbox.path("home/.local/share")).expect("making a folder");
    let scene = Scene::new(&sandbox, &sandbox.path("home"));
    for block in page::blocks().iter().filter(|block| block.scene == "workstation") {
        scene.run_block(block);
    }
    let script = fs::read_to_string(sandbox.path("home/.local/share/cargo-xtask.bash")).expect("a script");
    assert!(script.contains("complete ") && script.contains("cargo"), "{script}");
}
