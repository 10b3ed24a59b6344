//! Words that name neither a host of the flake nor a card.

use crate::fake_nix::{
    Answers, FLAKE, FakeNix, fail_script, names_json, no_image_json, print_script, system,
};
use crate::support::{Outcome, Sandbox};

fn run(nix: &FakeNix, words: &str) -> Outcome {
    nix.run(&["--flake", FLAKE].into_iter().chain(words.split(' ')).collect::<Vec<_>>())
}

/// The hosts that there are help more than the remedies for a host without a key or without a receipt.
#[test]
fn an_unknown_host_is_a_usage_error_that_names_the_hosts() {
    let nix = Answers::default().install_in(Sandbox::new());
    for words in [
        "restore stnky /dev/mmcblk77",
        "restore stnky --current",
        "identity show stnky",
        "identity remove stnky --yes",
        "identity backup file stnky --yes --recipient age1x",
    ] {
        run(&nix, words)
            .assert_stderr_contains("has no host 'stnky' (hosts: stinky)\nhint: did you mean 'stinky'?")
            .assert_code(2);
    }
    for (words, problem) in [
        ("restore stinky --current --yes --expect-size 4MiB", "stinky has no identity in "),
        ("identity show stinky", "stinky has no key in "),
        ("identity remove stinky --yes", "this project has no key of stinky"),
    ] {
        run(&nix, words).assert_stderr_contains(problem).assert_code(3);
    }
}

#[test]
fn the_key_of_a_future_host_is_not_followed_by_its_flash() {
    let nix = Answers::default().install_in(Sandbox::new());
    for _ in 0..2 {
        let made = run(&nix, "identity make ghost --yes");
        assert!(!made.assert_code(0).stderr.contains("next:"), "{made:?}");
    }
    run(&nix, "identity make stinky").assert_code(0).assert_stderr_contains(" flash stinky\n");
}

#[test]
fn the_name_of_an_absent_disk_is_no_second_host() {
    let nix = Answers::default().install_in(Sandbox::new());
    for words in [
        "flash stinky mmcblk77",
        "flash stinky mmcblk77 --yes --expect-serial 1",
        "flash stinky nvme77n1p2 --yes --expect-size 4MiB",
        "flash stnky sdzz --dry-run",
    ] {
        let device = words.split(' ').nth(2).unwrap_or_default();
        run(&nix, words)
            .assert_stderr_contains(format!(
                "error: there is no /dev/{device}\nhint: is the card plugged in? "
            ))
            .assert_code(3);
    }
    run(&nix, "flash stinky pi mmcblk77")
        .assert_stderr_contains(
            "a device is named among several hosts\nhint: name the card of each host by --to ",
        )
        .assert_code(2);
    let image = print_script(&no_image_json(false));
    run(&Answers { image, ..Answers::default() }.install(), "sd-image mmcblk77")
        .assert_stderr_contains("hint: if you mean the card /dev/mmcblk77, ")
        .assert_code(2);
    // A flake that cannot be read does not make a host of it.
    let broken =
        Answers { names: fail_script("error: attribute 'x' missing"), ..Answers::default() }.install();
    run(&broken, "flash stinky mmcblk77 --yes --expect-serial 1")
        .assert_stderr_contains("error: there is no /dev/mmcblk77\n")
        .assert_code(3);
    // A host may have such a name.
    let packages = ["stinky-sdImage", "sdzz-sdImage"];
    let names = print_script(&names_json(&[(&system(), &packages)], &[], &[]));
    let nix = Answers { names, ..Answers::default() }.install();
    let several = run(&nix, "flash stinky sdzz --yes --expect-serial 1");
    several.assert_stderr_contains("--expect-serial is for one card").assert_code(2);
}
