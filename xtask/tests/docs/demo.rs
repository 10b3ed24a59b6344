//! The demo: its flake, its image and its virtual card.

use std::fs;
use std::path::PathBuf;

use crate::scene::Scene;
use crate::support::Sandbox;
use crate::support::loops::Loop;

/// A folder with the demo, whose state is there too, and the path of the demo's image.
pub fn folder_with_demo(sandbox: &mut Sandbox) -> (PathBuf, String) {
    let folder = sandbox.path("home/cluster");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("flake.nix"), "{ outputs = _: { }; }").unwrap();
    // Nix must not copy the keys of hosts into its store.
    fs::write(folder.join(".gitignore"), "/.xtask/\n").unwrap();
    sandbox.env("XTASK_STATE", folder.join(".xtask"));
    let outcome = Scene::new(sandbox, &folder).run("git init -q; git add .; cargo xtask demo", false);
    let mut words = outcome.assert_code(0).stderr.split_whitespace();
    let image = words.find(|word| word.starts_with("/nix/store/") && word.ends_with(".img.zst"));
    (folder, image.expect("the path of the image").to_owned())
}

#[test]
#[ignore = "needs root, loop devices, Nix and AArch64 emulation: run `cargo xtask test`"]
fn the_commands_on_the_demo_print_what_the_pages_show() {
    let mut sandbox = Sandbox::new();
    let (folder, image) = folder_with_demo(&mut sandbox);
    let card = Loop::over(&folder.join(".xtask/demo/card.img"), &[]);
    let mut scene = Scene::new(&sandbox, &folder);
    scene.run(&format!("cp {image} ."), false).assert_code(0);
    scene.names.push(("/dev/loop0", card.device().to_owned()));
    scene.run_all("demo");
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn a_boot_prints_what_the_page_shows() {
    let mut sandbox = Sandbox::new();
    let (folder, image) = folder_with_demo(&mut sandbox);
    sandbox.env("XTASK_UBOOT", folder.join(".xtask/demo/flake/inputs/emulator/u-boot.bin"));
    let scene = Scene::new(&sandbox, &folder);
    let confirmation = "--allow-virtual --yes --expect-size 1GiB";
    let flash = format!("cargo xtask flash --image {image} ./pi.img --identity-of pi {confirmation}");
    scene.run(&format!("truncate -s 1G pi.img; {flash}"), false).assert_code(0);
    scene.run_all("boot");
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn an_image_is_flashed_to_a_file_and_booted() {
    let mut sandbox = Sandbox::new();
    let (folder, _) = folder_with_demo(&mut sandbox);
    sandbox.env("XTASK_UBOOT", folder.join(".xtask/demo/flake/inputs/emulator/u-boot.bin"));
    sandbox.env("XTASK_FLAKE", "path:.xtask/demo/flake");
    let mut scene = Scene::new(&sandbox, &folder);
    let confirmation = "--allow-virtual --yes --expect-size 1GiB";
    for (name, here) in [("stinky", "demo"), ("-s 8G", "-s 1G"), ("--allow-virtual", confirmation)] {
        scene.names.push((name, here.to_owned()));
    }
    scene.run_all("boot-card");
}
