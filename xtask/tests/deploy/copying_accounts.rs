//! Accounts and ssh options with which a copy may fail. The tool quotes what the host prints.

use crate::fixture::Fixture;
use crate::machine;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_output_of_an_account_without_a_login_is_quoted() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    let line = "root:x:0:0:root:/root:/usr/sbin/nologin";
    fixture.machine.run_inside(&format!(
        "sed 's,^root:.*,{line},' /etc/passwd >/tmp/new; cat /tmp/new >/etc/passwd; rm /tmp/new"
    ));
    fixture
        .deploy(&[])
        .assert_stderr_contains("error: target did not run the commands of this tool as root@10.")
        .assert_stderr_contains("(exit code 1); it printed:\n  | This account is currently not available.\n")
        .assert_stderr_contains("\nhint: log in as a user with a shell")
        .assert_code(14);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_output_of_a_forced_command_is_quoted() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    let rule = "echo 'ForceCommand echo only backups here' >>/mnt/sshd_config";
    fixture.machine.run_inside(&format!("{rule}; pkill -HUP -o sshd; sleep 1"));
    fixture
        .deploy(&[])
        .assert_stderr_contains("(exit code 0); it printed:\n  | only backups here\n")
        .assert_stderr_contains("(`ForceCommand`) sets a command")
        .assert_code(14);
    fixture.run(&["status"]).assert_stderr_contains("only backups here").assert_code(14);
    let silence = "sed -i 's/^ForceCommand .*/ForceCommand false/' /mnt/sshd_config";
    fixture.machine.run_inside(&format!("{silence}; pkill -HUP -o sshd; sleep 1"));
    fixture.deploy(&[]).assert_stderr_contains("(exit code 1); it printed nothing\n").assert_code(14);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_output_of_a_nix_store_that_fails_is_quoted() {
    let fixture = Fixture::new();
    fixture.set_profile("dying", ":");
    let store = machine::real_program("nix-store");
    for (failing_command, expected) in [
        ("echo 'cannot open libnixstore.so' >&2; exit 127", "\n  | cannot open libnixstore.so\n"),
        ("echo broken; exit 7", "\n  `nix-store --serve` on target exits with 7 and prints: broken\n"),
        ("kill -9 $$", "\n  `nix-store --serve` on target exits with 255 and prints: nothing"),
    ] {
        fixture.machine.replace_program(
            "nix-store",
            &format!("case $1 in --serve) {failing_command};; esac; exec {store} \"$@\""),
        );
        let outcome = fixture.deploy(&[]);
        outcome.assert_stderr_contains(expected).assert_code(1);
    }
    fixture.machine.replace_program("nix-store", "echo 'cannot open libnixstore.so' >&2; exit 127");
    fixture
        .deploy(&[])
        .assert_stderr_contains("`nix-store` does not run there: cannot open libnixstore.so\n")
        .assert_code(3);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_forced_terminal_does_not_hang_the_copy() {
    for options in [&["-tt"][..], &["-o", "RequestTTY=force"], &["-o RequestTTY=force", "-oConnectTimeout 9"]]
    {
        let mut fixture = Fixture::new();
        fixture.options = options.iter().map(ToString::to_string).collect();
        fixture.set_profile("terminal", ":");
        fixture.deploy(&[]).assert_code(0);
        fixture.assert_runs("terminal");
    }
}

/// deploy-rs and its Nix split options at each space.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_option_with_a_space_in_its_value_is_refused_before_the_build() {
    let mut fixture = Fixture::new();
    fixture.options = ["-tt", "-o", "SetEnv=A=\"b c\""].map(str::to_owned).to_vec();
    fixture.set_profile("spaced", ":");
    let outcome = fixture.deploy(&[]);
    outcome
        .assert_stderr_contains(
            "error: deploy-rs would split the ssh option `SetEnv=A=\"b c\"` of target at its spaces\nhint: put that option",
        )
        .assert_code(3);
    assert!(!outcome.stderr.contains("     build  "), "{}", outcome.stderr);
    fixture.run(&["status"]).assert_code(0);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_key_with_a_passphrase_is_named() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    let key = fixture.machine.path("client_key").display().to_string();
    machine::run("ssh-keygen", &["-q", "-p", "-P", "", "-N", "secret", "-f", &key]);
    fixture
        .deploy(&[])
        .assert_stderr_contains("refuses the login: ")
        .assert_stderr_contains(format!("\nhint: run `ssh-add {key}`: that key has a passphrase"))
        .assert_code(6);
}
