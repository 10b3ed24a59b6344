//! Hosts on which U-Boot does not find the boot menu, or that cannot try a system, are refused.

use crate::boot_checks::Pi;
use crate::trials;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_does_not_find_its_menu_or_cannot_try_a_system_is_refused() {
    let pi = Pi::new();
    // Byte 462 of the partition table has the flag `bootable` of partition 2.
    pi.run_inside("printf '\\000' | dd of=\"$0\" bs=1 seek=462 conv=notrunc 2>/dev/null");
    pi.assert_refused(
        &["--boot"],
        "error: target would not boot at all: partition 2, which has the boot menu, is not marked bootable\nhint: run `sudo \
         sfdisk --activate /dev/loop",
    );
    pi.run_inside("printf '\\200' | dd of=\"$0\" bs=1 seek=462 conv=notrunc 2>/dev/null");
    trials::fake_trial_status(&pi.fixture, "version=1\nmissing=no boot.scr\n");
    let switched = pi.fixture.deploy(&[]);
    switched
        .assert_stderr_contains("  note  target cannot try the new system: no boot.scr; run")
        .assert_code(0);
    pi.set_desired_system("newer", |_| ());
    pi.fixture.edit(|facts| facts["kernel"] = "linux-6.2".into());
    let refused = pi.fixture.deploy(&[]);
    refused
        .assert_stderr_contains("error: target cannot try the new system: no boot.scr\nhint: ")
        .assert_code(3);
}

/// A GPT marks a partition by an attribute.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_with_a_gpt_that_does_not_find_its_menu_is_refused() {
    let pi = Pi::new();
    let table = |attributes: &str| {
        format!("label: gpt\\nstart=2048, size=16384\\nstart=18432, size=40000{attributes}\\n")
    };
    pi.partition_again(&table(""));
    pi.assert_refused(
        &["--boot"],
        "error: target would not boot at all: finding the boot menu on partition 2: no partition is marked bootable\nhint: \
         run `sudo sfdisk --part-attrs /dev/loop",
    );
    pi.partition_again(&table(", attrs=LegacyBIOSBootable"));
    pi.fixture.deploy(&["--boot"]).assert_code(0);
}
