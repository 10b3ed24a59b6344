//! The demo: its flake, its image and its virtual card.

use std::fs;
use std::path::PathBuf;

use crate::scene::Scene;
use crate::support::Sandbox;
use crate::support::loops::Loop;

/// A folder with the demo, whose state is there too.
fn folder_with_demo(sandbox: &mut Sandbox) -> PathBuf {
    let folder = sandbox.path("home/cluster");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("flake.nix"), "{ outputs = _: { }; }").unwrap();
    sandbox.env("XTASK_STATE", folder.join(".xtask"));
    Scene::new(sandbox, &folder).run("cargo xtask demo", false).assert_code(0);
    folder
}

#[test]
#[ignore = "needs root, loop devices, Nix and AArch64 emulation: run `cargo xtask test`"]
fn the_commands_on_the_demo_print_what_the_pages_show() {
    let mut sandbox = Sandbox::new();
    let folder = folder_with_demo(&mut sandbox);
    let card = Loop::over(&folder.join(".xtask/demo/card.img"), &[]);
    let mut scene = Scene::new(&sandbox, &folder);
    scene.names.push(("/dev/loop0", card.device().to_owned()));
    scene.run_all("demo");
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn a_boot_prints_what_the_page_shows() {
    let mut sandbox = Sandbox::new();
    let folder = folder_with_demo(&mut sandbox);
    sandbox.env("XTASK_UBOOT", folder.join(".xtask/demo/flake/inputs/emulator/u-boot.bin"));
    let scene = Scene::new(&sandbox, &folder);
    let flash = "truncate -s 1G pi.img; cargo xtask flash demo ./pi.img --flake path:.xtask/demo/flake \
                 --identity-of pi --allow-virtual --yes --expect-size 1GiB";
    scene.run(flash, false).assert_code(0);
    scene.run_all("boot");
}
