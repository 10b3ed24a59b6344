//! A host that backs its state up.

use serde_json::json;

use crate::{assert_derivation, evaluate};

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn a_host_backs_its_persisted_folder_up_without_the_host_key() {
    let facts = evaluate();
    let backup = &facts["backup"];
    assert_eq!((&backup["failed"], &backup["warnings"]), (&json!([]), &facts["system"]["warnings"]));
    let command = backup["command"].as_str().unwrap();
    for part in ["/bin/restic ", " backup ", "--host stinky", "--exclude-file=", "--files-from="] {
        assert!(command.contains(part), "{part}: {command}");
    }
    let environment = json!({
        "RESTIC_CACHE_DIR": "/var/cache/restic-backups-state",
        "RESTIC_PASSWORD_FILE": "/nix/persist/etc/restic/password",
        "RESTIC_REPOSITORY": "sftp:backup@nas.lan:/backups/pis",
    });
    assert_eq!(backup["environment"], environment);
    let timer = json!({ "OnCalendar": "daily", "Persistent": true, "RandomizedDelaySec": "1h" });
    assert_eq!(backup["timer"], timer);
    let excluded = json!([
        "/nix/persist/etc/ssh/ssh_host_*_key",
        "/nix/persist/var/cache/restic-backups-state",
        "/nix/persist/var/lib/octoprint/timelapse",
    ]);
    assert_eq!(backup["exclude"], excluded);
    let persisted = backup["persisted"].as_array().unwrap();
    assert!(persisted.contains(&json!("/var/cache/restic-backups-state root:root 0700")), "{persisted:?}");
    assert_derivation(&backup["toplevel"]);
    let message = "raspberryPi.backup: set either `repository` or `repositoryFile`";
    assert!(backup["failedWithBoth"].as_array().unwrap().contains(&json!(message)), "{backup}");
}
