//! The script of the page about CI, on the image of the demo.

use std::fs;

use crate::demo::folder_with_demo;
use crate::page;
use crate::scene::Scene;
use crate::support::Sandbox;

/// The script with `expect` as the text on the console, which is awaited for `timeout`. The host is that of the demo,
/// which has no login.
fn script(expect: &str, timeout: &str) -> String {
    let block = page::blocks_of("docs/ci.md").into_iter().find(|block| block.scene == "ci");
    let script = block.expect("a script").text;
    let edits = [("host=stinky", "host=demo"), ("$host login:", expect), ("10m", timeout)];
    edits.iter().fold(script, |script, (text, here)| {
        assert!(script.contains(text), "{text}");
        script.replace(text, here)
    })
}

#[test]
#[ignore = "needs Nix, AArch64 emulation, QEMU and jq: run `cargo xtask test`"]
fn the_script_of_the_page_boots_an_image_and_fails_with_the_code_of_the_tool() {
    let mut sandbox = Sandbox::new();
    let (folder, _) = folder_with_demo(&mut sandbox);
    sandbox.env("XTASK_UBOOT", folder.join(".xtask/demo/flake/inputs/emulator/u-boot.bin"));
    sandbox.env("XTASK_FLAKE", "path:.xtask/demo/flake");
    for (expect, timeout, code, printed) in
        [("demo: up", "5m", 0, "up in virt after "), ("no such line", "15s", 4, "verification: /nix/store/")]
    {
        fs::write(folder.join("image.sh"), script(expect, timeout)).unwrap();
        let outcome = Scene::new(&sandbox, &folder).run("sh image.sh", false);
        assert!(outcome.assert_code(code).stderr.contains(printed), "{outcome:?}");
    }
}
