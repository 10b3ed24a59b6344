//! The warning about ssh host keys that are inside an image.

use crate::card::Card;
use crate::flash::flash;
use crate::host_image::{CARD_MIB, debugfs, image_with_keys, private_key};
use crate::identity::OF_PI;
use crate::image::pack;
use crate::support::Sandbox;

/// The tool also warns where the check of the image is cached. A key that the payload replaces on the card is not
/// shared, so the tool does not warn of that key.
#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn the_tool_warns_of_host_keys_inside_an_image() {
    let sandbox = Sandbox::new();
    let card = Card::new(CARD_MIB);
    let device = card.device.device();
    let [own, rsa] = ["ssh_host_ed25519_key", "ssh_host_rsa_key"];
    let warning =
        |keys: &str| format!("warning: the image has {keys}\nhint: build the image without a key: ");
    let file = pack(&sandbox.path("home"), "img.zst", &image_with_keys(&[own, rsa]));
    let both = warning(
        "ssh host keys inside: etc/ssh/ssh_host_ed25519_key on partition 1, etc/ssh/ssh_host_rsa_key on partition 1; all \
         its cards share these keys",
    );
    // The check of a file that has just changed is not cached.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let json = flash(&sandbox, &file, device, "48MiB", &["--json"]);
    json.assert_code(0)
        .assert_stderr_contains(r#""event":"warning","text":"the image has ssh host keys inside: "#);
    flash(&sandbox, &file, device, "48MiB", &[])
        .assert_code(0)
        .assert_stderr_contains("the image was checked before, and the file has not changed since\n")
        .assert_stderr_contains(&both);
    let rsa_only = warning(
        "an ssh host key inside: etc/ssh/ssh_host_rsa_key on partition 1; all its cards share that key",
    );
    flash(&sandbox, &file, device, "48MiB", OF_PI).assert_code(0).assert_stderr_contains(&rsa_only);
    let file = pack(&sandbox.path("home"), "img.gz", &image_with_keys(&[own]));
    let outcome = flash(&sandbox, &file, device, "48MiB", OF_PI);
    outcome.assert_code(0);
    assert!(!outcome.stderr.contains("inside"), "{}", outcome.stderr);
    assert_eq!(debugfs(device, "cat /etc/ssh/ssh_host_ed25519_key"), private_key(&sandbox, "pi"));
}
