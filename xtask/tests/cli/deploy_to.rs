//! `deploy --to` and `status --to`: the address on the command line, and hosts without a deploy-rs node.

use std::fs;

use crate::deploy_fixture::*;
use crate::support::Sandbox;

/// The JSON of the evaluated flake where the node of `stinky` is made of a configuration that names no address.
fn made_node_json() -> String {
    nodes_json("root")
        .replace(
            r#""node":{"hostname":"stinky.lan""#,
            r#""node":{"configuration":"nixosConfigurations.stinky","hostname":"""#,
        )
        .replace(r#""sshUser":"root""#, r#""sshUser":null"#)
        .replace(r#"["-p","2222"]"#, "[]")
        .replace(PINNED, r#"{"nodes":{"stinky":{"hostname":""}}}"#)
}

#[test]
fn a_host_without_a_node_gets_exactly_these_calls() {
    let fixture = Fixture::new(&probe_answer(NEW_PROFILE, NEW, ""), ACTIVATING, 0);
    fixture.write("nodes", &made_node_json());
    let known = probe_answer(OLD_PROFILE, OLD, "").replace("@end", "@sudo\nyes\n@end");
    fixture.write("before", &known);
    fixture.write("after", &known.replace(OLD_PROFILE, NEW_PROFILE).replace(OLD, NEW));
    let outcome = fixture.deploy(&["stinky", "--to", "pi@10.0.0.5", "--", "--debug-logs", "--", "-L"]);
    outcome.assert_stderr_contains("deploy stinky as pi@10.0.0.5\n").assert_stderr_contains(format!(
        "compared on stinky: /run/current-system with nixosConfigurations.stinky, and {PROFILE_LINK} with the profile made \
         of nixosConfigurations.stinky\n"
    ));
    outcome.assert_code(0).assert_stdout(format!("stinky runs {NEW}\n"));
    let pinned = fixture.sandbox.path("state/deploy/stinky");
    let node = format!(r#"{{"nodes":{{"stinky":{{"hostname":"10.0.0.5","tempPath":"{WORKDIR}"}}}}}}"#);
    assert_eq!(fs::read_to_string(pinned.join("deploy.json")).expect("the pinned node"), node);
    let ssh_opts = "-o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T";
    let node = format!(r#"path:{}#"stinky".system"#, pinned.display());
    let deploy =
        ["--skip-checks", "--ssh-opts", ssh_opts, &node, "--hostname", "10.0.0.5", "--ssh-user", "pi"];
    assert_eq!(fixture.sandbox.calls("deploy"), [[&deploy[..], &["--debug-logs", "--", "-L"]].concat()]);
    let nix = fixture.sandbox.calls("nix");
    let evaluated = nix.iter().find(|call| call.contains(&"eval".to_owned())).expect("an evaluation");
    assert_eq!(
        evaluated[5..],
        ["github:o/f#.".to_owned(), "--apply".into(), node_function_with_address(), "-L".into()]
    );
    let to = "ssh://pi@10.0.0.5".to_owned();
    assert!(nix.iter().any(|call| call.contains(&"copy".to_owned()) && call.contains(&to)), "{nix:?}");
}

#[test]
fn an_address_overrides_that_of_a_node_also_for_status() {
    let fixture = Fixture::new("", "", 0);
    fixture.write("before", &probe_answer(NEW_PROFILE, NEW, ""));
    for args in [
        &["deploy", "stinky", "--to", "root@10.0.0.5"][..],
        &["deploy", "stinky", "--to", "10.0.0.5", "--", "--ssh-user", "root"],
        &["status", "stinky", "--to", "root@10.0.0.5"],
    ] {
        fixture.sandbox.run(&[&["--flake", "github:o/f"], args].concat()).assert_code(0);
    }
    let calls = fixture.ssh_calls();
    assert!(
        !calls.is_empty() && calls.iter().all(|call| call.contains(&"root@10.0.0.5".to_owned())),
        "{calls:?}"
    );
}

#[test]
fn a_node_without_a_hostname_needs_an_address() {
    let fixture = Fixture::new("", "", 0);
    fixture.write("nodes", &nodes_json("root").replace("stinky.lan", ""));
    fixture.write("before", &probe_answer(NEW_PROFILE, NEW, ""));
    let error = "error: deploy.nodes.stinky has no `hostname`\n\
                 hint: pass --to [USER@]ADDRESS, or set `hostname` to the address of the host\n";
    fixture.deploy(&["stinky"]).assert_code(3).assert_stderr(error);
    fixture.deploy(&["stinky", "--to", "stinky.lan"]).assert_code(0);
}

#[test]
fn a_host_that_cannot_be_deployed_is_explained() {
    let without_node = |configured: &str, configurations: &str| {
        format!(
            r#"{{"names":[],"node":null,"system":null,"configured":{configured},"configurations":{configurations}}}"#
        )
    };
    let one = without_node(r#"["stinky"]"#, r#"["nixosConfigurations.stinky"]"#);
    let two = r#"["nixosConfigurations.aarch64-linux.stinky","nixosConfigurations.x86_64-linux.stinky"]"#;
    for (nodes, error) in [
        (
            one.as_str(),
            "github:o/f has nixosConfigurations.stinky, but no deploy node 'stinky', and no address of the host\n\
             hint: pass --to [USER@]ADDRESS, or add deploy.nodes.stinky to the flake\n",
        ),
        (
            &without_node(r#"["stinky","stinky"]"#, two),
            "github:o/f has 2 configurations of stinky: nixosConfigurations.aarch64-linux.stinky, \
             nixosConfigurations.x86_64-linux.stinky\n\
             hint: add deploy.nodes.stinky to the flake, with one of them\n",
        ),
        (
            &without_node(r#"["stinkey"]"#, "[]"),
            "github:o/f has no host 'stinky' to deploy (hosts: stinkey)\nhint: did you mean 'stinkey'?\n",
        ),
    ] {
        let fixture = Fixture::new("", "", 0);
        fixture.write("nodes", nodes);
        fixture.deploy(&["stinky"]).assert_code(2).assert_stdout("").assert_stderr(format!("error: {error}"));
        let status = fixture.sandbox.run(&["--json", "--flake", "github:o/f", "status", "stinky"]);
        let json = status.assert_code(2).json();
        let (message, hint) = error.trim_end().split_once("\nhint: ").expect("a hint");
        let found = &json["hosts"][0]["error"];
        assert_eq!((&found["message"], &found["hint"]), (&message.into(), &hint.into()));
        assert!(fixture.ssh_calls().is_empty());
    }
}

/// Nix 2.18 cannot evaluate all outputs at once, and the flake has no output `deploy`.
#[test]
fn nix_2_18_also_makes_a_node() {
    let fixture = Fixture::new("", "", 0);
    fixture.write("before", &probe_answer(NEW_PROFILE, NEW, ""));
    fixture.write("made", &made_node_json());
    let missing = "echo \"error: flake 'github:o/f' does not provide attribute 'x'\" >&2; exit 1";
    let made = fixture.path("made");
    let answers = format!("*'#. '*|*'#deploy '*) {missing};; *'#nixosConfigurations '*) cat {made};;");
    let version = r#"--version) echo "nix (Nix) 2.18.1";;"#;
    fixture.sandbox.fake("nix", &format!(r#"case "$*" in {version} {answers} esac"#));
    fixture.deploy(&["stinky", "--to", "root@10.0.0.5"]).assert_code(0);
    let calls = fixture.sandbox.calls("nix");
    let last = calls.iter().rfind(|call| call.contains(&"eval".to_owned())).expect("an evaluation");
    assert_eq!(last[5], "github:o/f#nixosConfigurations");
    assert_eq!(last[7], format!("it: {} {{ nixosConfigurations = it; }}", node_function_with_address()));
}

#[test]
fn an_address_must_be_valid_and_is_for_one_host() {
    let several = |count: usize| {
        format!(
            "error: --to is the address of one host, and {count} hosts are named\nhint: run the command once for each host\n"
        )
    };
    let invalid = |value: &str, requirement: &str| {
        format!("error: invalid value '{value}' for '--to <[USER@]ADDRESS>': must {requirement}\n")
    };
    let no_address = "be a hostname or an IP address, optionally after USER@; for another address, add a name to ~/.ssh/config";
    for (args, error) in [
        (&["deploy", "a", "b", "--to", "10.0.0.5"][..], several(2)),
        (&["status", "a", "b", "c", "--to", "10.0.0.5"], several(3)),
        (
            &["deploy", "--all", "--to", "10.0.0.5"],
            "error: the argument '--all' cannot be used with '--to <[USER@]ADDRESS>'\n".to_owned(),
        ),
        (
            &["status", "--to", "10.0.0.5"],
            "error: the following required arguments were not provided:\n  <HOST>...\n".to_owned(),
        ),
        (
            &["deploy", "a", "--to", "x", "--", "--hostname=y"],
            "error: --to and --hostname name two addresses of the host\nhint: pass only --to\n".to_owned(),
        ),
        (&["deploy", "a", "--to", "-oProxyCommand=x"], "error: unexpected argument '-o' found".to_owned()),
        (&["deploy", "a", "--to=-oProxyCommand=x"], invalid("-oProxyCommand=x", no_address)),
        (&["status", "a", "--to", "root@"], invalid("root@", no_address)),
        (
            &["deploy", "a", "--to", "pi:2222"],
            invalid("pi:2222", "have no port; add a name with this port to ~/.ssh/config"),
        ),
    ] {
        let outcome = Sandbox::with_fakes_only().run(args);
        outcome.assert_code(2).assert_stdout("");
        assert!(outcome.stderr.starts_with(&error), "{args:?}: {}", outcome.stderr);
    }
}
