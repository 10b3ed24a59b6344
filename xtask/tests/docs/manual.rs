//! The manual ways of the guide: an image and a card.

use std::fs;

use crate::scene::Scene;
use crate::support::Sandbox;
use crate::support::loops::Loop;

/// The bytes of the image.
const IMAGE: &[u8] = &[7; 1 << 20];

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_commands_without_this_tool_write_a_card() {
    let sandbox = Sandbox::new();
    sandbox.fake("sudo", "exec \"$@\"");
    let folder = sandbox.path("home");
    fs::create_dir_all(folder.join("result/sd-image")).unwrap();
    let packed = zstd::encode_all(IMAGE, 0).unwrap();
    fs::write(folder.join("result/sd-image/stinky.img.zst"), packed).unwrap();
    for block in crate::page::blocks().iter().filter(|block| block.scene == "card") {
        let card = Loop::new(4 << 20);
        let mut scene = Scene::new(&sandbox, &folder);
        scene.names.push(("/dev/sdX", card.device().to_owned()));
        scene.run_block(block);
        assert!(card.bytes().starts_with(IMAGE), "{}", block.place());
    }
}
