//! The login keys in an image that is no host's of a flake.

use crate::card::Card;
use crate::flash::flash;
use crate::host_image::{CARD_MIB, system_image};
use crate::image::pack;
use crate::support::Sandbox;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn the_plan_and_the_result_have_the_login_keys_in_an_image() {
    let warning = "warning: nobody can log in to the host of this card: it has no login key\n";
    for (keys, ending, line, count) in [
        (format!("# mine\n{KEY} me@desk\n"), "img", "logins  1 key (ed25519 me@desk for admin)\n", Some(1)),
        ("# none\n".to_owned(), "img", "logins  none\n", Some(0)),
        (format!("{KEY} me@desk\n"), "img.zst", "logins  1 key (ed25519 me@desk for admin)\n", Some(1)),
        // The check keeps no file that does not look like one with keys.
        ("# none\n".to_owned(), "img.xz", "logins  unknown (the image is compressed, ", None),
    ] {
        let sandbox = Sandbox::new();
        let card = Card::new(CARD_MIB);
        let file = pack(&sandbox.path("home"), ending, &system_image("admin", &keys));
        let outcome = flash(&sandbox, &file, card.device.device(), "48MiB", &[]);
        outcome.assert_code(0).assert_stderr_contains(line);
        assert_eq!(outcome.stderr.contains(warning), count == Some(0), "{}", outcome.stderr);
        let outcome = flash(&sandbox, &file, card.device.device(), "48MiB", &["--json"]);
        let result = outcome.assert_code(0).json();
        assert_eq!(result["login_keys"].as_array().map(Vec::len), count, "{line}");
    }
}
