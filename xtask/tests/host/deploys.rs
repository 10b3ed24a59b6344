//! `deploy --reboot` to a guest over real ssh: the guest boots the deployed system on trial.

use crate::guest::card::SYSTEM_1;
use crate::workstation::{BUSYBOX, Workstation};

#[test]
#[ignore = "needs QEMU, Debian's packages, Nix, deploy-rs: run `cargo xtask test`"]
fn a_good_deployed_system_is_tried_and_blessed() {
    let workstation = Workstation::new();
    workstation.set_desired_system("new", "");
    let done = workstation.deploy(&["--reboot", "--health", "systemctl is-active ssh.service"]);
    assert_eq!((&done["verdict"], &done["error"]), (&"done".into(), &serde_json::Value::Null), "{done:#}");
    let status = workstation.guest.status();
    let system = done["after"]["trial"]["blessed"].as_str().unwrap();
    assert!(system.ends_with("-nixos-system-demo-new"), "{system}");
    let values = ["booted", "blessed", "last-system", "last-outcome"].map(|name| status[name].as_str());
    assert_eq!(values, [system, system, system, "blessed"], "{status:?}");
    let table = workstation.run(&["status", "demo"]);
    assert!(table.assert_code(0).stdout.contains("  blessed  "), "{}", table.stdout);
}

#[test]
#[ignore = "needs QEMU, Debian's packages, Nix, deploy-rs: run `cargo xtask test`"]
fn a_deployed_system_that_panics_is_rolled_back_across_the_reboot() {
    let workstation = Workstation::new();
    workstation.set_desired_system(
        "bad",
        &format!("printf '#!{BUSYBOX} sh\\necho c >/proc/sysrq-trigger\\n' >$s/init"),
    );
    let result = workstation.deploy(&["--reboot"]);
    let found = (&result["verdict"], &result["error"]["code"]);
    assert_eq!(found, (&"rolled_back_across_reboot".into(), &10.into()), "{result:#}");
    let status = workstation.guest.status();
    let values = ["booted", "blessed", "pending", "last-outcome", "last-reason", "last-marks"];
    let values = values.map(|name| status[name].as_str());
    assert_eq!(values, [SYSTEM_1, SYSTEM_1, "", "rolled-back", "", ""], "{status:?}");
    let table = workstation.run(&["status", "demo"]);
    table
        .assert_stderr_contains("demo rolled back across a reboot: it tried /nix/store/")
        .assert_stderr_contains("the host recorded no reason");
    assert!(table.assert_code(0).stdout.contains("  rolled back  "), "{}", table.stdout);
}
