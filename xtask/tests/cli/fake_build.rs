//! Builds by the fake nix: their log and their output.

use tempfile::TempDir;

use crate::fake_nix::{Answers, FLAKE, IMAGE_DERIVATION, prints, system};

/// The arguments that build the image of the host `stinky`.
pub const SD_IMAGE: [&str; 4] = ["--flake", FLAKE, "sd-image", "stinky"];

/// The installable of the host's image.
pub fn installable() -> String {
    format!("{IMAGE_DERIVATION}^*")
}

/// What messages call it.
pub fn attribute() -> String {
    format!("{FLAKE}#packages.{}.stinky-sdImage", system())
}

/// One line of internal JSON, as a piece of shell script.
pub fn event(json: &str) -> String {
    format!("{} >&2\n", prints(&format!("@nix {json}")))
}

/// A small compressed image with one partition.
pub fn small_image() -> Vec<u8> {
    let mut image = vec![0; 5120];
    image[450] = 0x83;
    image[454] = 1;
    image[458] = 9;
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    zstd::bulk::compress(&image, 1).expect("compressing")
}

/// A build whose output has the files `names` in `sd-image/`.
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
        r#"{"action":"msg","level":1,"msg":"warning: Git tree '/f' is dirty"}"#,
    ];
    let built =
        serde_json::json!([{"drvPath": "/nix/store/a-i.drv", "outputs": {"dev": "/x", "out": out.path()}}]);
    let log = events.iter().map(|json| event(json)).collect::<String>();
    (Answers { build: log + &prints(&built.to_string()), ..Answers::default() }, out)
}
