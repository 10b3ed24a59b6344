//! The arguments with which ssh is run.

use std::time::Duration;

use super::options::tests::{connection, pinned};
use super::ssh::Remote;
use crate::base::process::Launcher;

#[test]
fn the_options_of_the_tool_and_the_pinned_key_precede_those_of_the_node() {
    let launcher = Launcher::new("/");
    let fresh = "-o ControlMaster=no -o ControlPath=none -n -E /dev/stdin";
    let rest = "-p 2222 -o Compression=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T -- root@pi true";
    let pin = "-o UserKnownHostsFile=/s/known_hosts -o GlobalKnownHostsFile=/dev/null -o HostKeyAlias=stinky \
               -o StrictHostKeyChecking=yes";
    let batch = "-o BatchMode=yes";
    for (connection, interactive, expected) in [
        (connection(&["-p", "2222"]), false, format!("{fresh} {batch} {rest}")),
        (connection(&["-p", "2222"]), true, format!("{fresh} {rest}")),
        (pinned(&["-p", "2222"]), false, format!("{fresh} {batch} {pin} {rest}")),
    ] {
        let host = "stinky".into();
        let remote = Remote::new(&launcher, &host, &connection);
        let first = remote.first_options(interactive);
        assert_eq!(remote.arguments(first.clone(), "true").join(" "), expected);
        let soon = remote.with_connect_timeout(Duration::from_secs(4)).arguments(first, "true");
        let timeout = "-o ConnectTimeout=4 -o Compression=yes";
        assert_eq!(soon.join(" "), expected.replace("-o Compression=yes", timeout));
    }
}
