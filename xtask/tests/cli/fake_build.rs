//! Builds of the fake nix: the log and the output.

use tempfile::TempDir;

use crate::fake_nix::{Answers, FLAKE, IMAGE_DERIVATION, print_script, system};

/// The arguments that build the image of the host `stinky`.
pub const SD_IMAGE_ARGS: &[&str] = &["--flake", FLAKE, "sd-image", "stinky"];

/// The installable of the image of the host `stinky`.
pub fn installable() -> String {
    format!("{IMAGE_DERIVATION}^*")
}

/// The name of the image of the host `stinky` in messages: its flake and attribute.
pub fn attribute() -> String {
    format!("{FLAKE}#packages.{}.stinky-sdImage", system())
}

/// The script that prints an event of internal JSON on stderr, as nix does.
pub fn event_script(json: &str) -> String {
    format!("{} >&2\n", print_script(&format!("@nix {json}")))
}

/// The bytes of a small compressed image with one partition.
pub fn small_image() -> Vec<u8> {
    let mut image = vec![0; 5120];
    image[450] = 0x83;
    image[454] = 1;
    image[458] = 9;
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    zstd::bulk::compress(&image, 1).expect("compressing")
}

/// Answers with a build whose output has the images `names` in `sd-image/`, and the folder of that output.
pub fn build_with_files(names: &[&str]) -> (Answers, TempDir) {
    let out = tempfile::tempdir().expect("making the output");
    let dir = out.path().join("sd-image");
    std::fs::create_dir(&dir).expect("making the output");
    for name in names {
        std::fs::write(dir.join(name), small_image()).expect("writing an image");
    }
    let events = [
        r#"{"action":"start","id":1,"type":104}"#,
        r#"{"action":"start","id":2,"type":105,"fields":["/nix/store/a-image.drv"]}"#,
        r#"{"action":"result","id":1,"type":105,"fields":[0,1,1,0]}"#,
        r#"{"action":"result","id":2,"type":101,"fields":["a line of the log"]}"#,
        r#"{"action":"msg","level":1,"msg":"warning: Git tree '/f' is odd"}"#,
    ];
    let built =
        serde_json::json!([{"drvPath": "/nix/store/a-i.drv", "outputs": {"dev": "/x", "out": out.path()}}]);
    let log = events.iter().map(|json| event_script(json)).collect::<String>();
    (Answers { build: log + &print_script(&built.to_string()), ..Answers::default() }, out)
}
