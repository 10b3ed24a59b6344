//! The commands that restore a host, with a real restic whose repository is a folder.

use std::fs;

use crate::card::Card;
use crate::fake_flake::{FLAKE, FakeFlake};
use crate::host_image::{debugfs, host_image};
use crate::page;
use crate::scene::Scene;
use crate::support::loops::Loop;

/// The size of the cards, which no other test of this suite has.
const SIZE_MIB: usize = 57;

#[test]
#[ignore = "needs root, loop devices, e2fsprogs and restic: run `cargo xtask test`"]
fn the_commands_restore_a_host_of_a_restic_repository() {
    let mut flake = FakeFlake::of_hosts(&["stinky"], &host_image(4096));
    let cache = flake.sandbox.path("cache");
    flake.sandbox.env("XTASK_FLAKE", FLAKE).env("RESTIC_CACHE_DIR", cache);
    let folder = flake.sandbox.path("home");
    let (card, size) = (Card::new(SIZE_MIB), format!("{SIZE_MIB}MiB"));
    let mut scene = Scene::new(&flake.sandbox, &folder);
    let dead = Card::new(SIZE_MIB);
    let flash =
        format!("cargo xtask flash stinky {} --allow-virtual --expect-size {size}", dead.device.device());
    scene.run(&flash, true).assert_code(0);
    let back_up = "mkdir -p state/etc; echo of the state >state/etc/mine; echo secret >restic-password\n\
                   export RESTIC_REPOSITORY=$PWD/repository RESTIC_PASSWORD_FILE=restic-password\n\
                   restic -q init; restic -q backup --host stinky $PWD/state";
    scene.run(back_up, false).assert_code(0);

    // The backup of a host has its /nix/persist.
    let state = format!("--state-path {}", folder.join("state").display());
    let confirmed = format!("{state} --allow-virtual --expect-size {size}");
    let repository = format!("restic:{}", folder.join("repository").display());
    scene.names = vec![
        ("restic:sftp:nas.lan:/backups/pis", repository.clone()),
        ("restic:…", format!("{repository} --password-file restic-password {state}")),
        ("--password-file restic-password\n", format!("--password-file restic-password {confirmed}\n")),
        ("/dev/sdb", card.device.device().to_owned()),
    ];
    let blocks = page::blocks_of("docs/restore.md").into_iter().filter(|block| block.scene == "restore");
    let blocks = blocks.map(|block| scene.run_block(&block)).count();
    assert_eq!(blocks, 2);
    let file = folder.join("card.img");
    assert_eq!(fs::metadata(&file).expect("a virtual card").len(), 16 << 30);
    let file = Loop::over(&file, &["--read-only"]);
    for restored in [card.device.device(), file.device()] {
        assert_eq!(debugfs(restored, "cat /persist/etc/mine"), "of the state\n", "{restored}");
    }
}
