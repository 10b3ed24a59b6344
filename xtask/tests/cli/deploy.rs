//! `deploy`: the calls of nix, ssh and deploy-rs, and the result for each of their answers.

use std::fs;

use crate::deploy_fixture::*;

#[test]
fn a_successful_deploy_makes_exactly_these_calls() {
    let fixture = Fixture::new(&probe_answer(NEW_PROFILE, NEW, ""), ACTIVATING, 0);
    let outcome = fixture.deploy(&["stinky", "--", "--debug-logs", "--", "-L"]);
    let stderr = format!(
        "     build  nothing to do\ndeploy stinky as root@stinky.lan\n  from  {OLD}\n  to    {NEW}\n\
         \x20     copy  nothing to do\n\
         compared on stinky: /run/current-system with nixosConfigurations.stinky, and {PROFILE_LINK} with \
         deploy.nodes.stinky\n"
    );
    outcome.assert_code(0).assert_stdout(format!("stinky runs {NEW}\n")).assert_stderr(stderr);
    assert_eq!(fixture.sandbox.calls("nix"), expected_nix_calls());
    let pinned = fixture.sandbox.path("state/deploy/stinky");
    let node = PINNED.replace("}}}", &format!(r#","tempPath":"{WORKDIR}"}}}}}}"#));
    assert_eq!(fs::read_to_string(pinned.join("deploy.json")).expect("the pinned node"), node);
    let ssh_opts = "-p 2222 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T";
    let node = format!(r#"path:{}#"stinky".system"#, pinned.display());
    let deploy = ["--skip-checks", "--ssh-opts", ssh_opts, &node, "--debug-logs", "--", "-L"];
    assert_eq!(fixture.sandbox.calls("deploy"), [deploy]);
    assert_ssh_calls(&fixture);
}

/// The calls of nix for a deploy with `-L`.
fn expected_nix_calls() -> Vec<Vec<String>> {
    let function = node_function();
    let eval = ["eval", "--json", "--show-trace", "github:o/f#.", "--apply", &function, "-L"];
    let profile = format!("{NEW_PROFILE}.drv^*");
    let format = ["--log-format", "internal-json"];
    let build = [&["build", "--json", "--no-link"], &format[..], &[&profile, "-L"]].concat();
    let flags = ["--substitute-on-destination", "--no-check-sigs", NEW_PROFILE];
    let copy = [&["copy"], &format[..], &["--to", "ssh://root@stinky.lan"], &flags].concat();
    vec![
        with_features(&["config", "show", "--json"]),
        vec!["--version".to_owned()],
        with_features(&["flake", "metadata", "--json", "--no-write-lock-file", "github:o/f"]),
        with_features(&eval),
        with_features(&["build", "--dry-run", &profile, "-L"]),
        with_features(&build),
        with_features(&copy),
    ]
}

/// Asserts that the last probe of a deploy uses a fresh connection, and the calls before it the shared connection,
/// which a call of its own has opened.
fn assert_ssh_calls(fixture: &Fixture) {
    let socket = fixture.path("state/ssh/stinky");
    let path = format!("ControlPath={socket}");
    let fresh = ["ControlMaster=no", "ControlPath=none"];
    let shared = ["ControlMaster=no", path.as_str()];
    let host = "root@stinky.lan";
    let expected = [
        ssh_args(shared, host, &first_probe_command()),
        ssh_args(shared, host, &probe_command()),
        ssh_args(shared, host, &make_workdir_command("")),
        ssh_args(fresh, host, &last_probe_command()),
    ];
    assert_eq!(fixture.ssh_calls(), expected);
    let master = master_args(&socket, host);
    assert!(fixture.sandbox.calls("ssh").contains(&master), "{master:?}");
}

#[test]
fn a_rollback_is_reported_although_deploy_rs_succeeded() {
    let fixture = Fixture::new(&probe_answer(OLD_PROFILE, OLD, ""), ACTIVATING, 0);
    let outcome = fixture.deploy(&["--json", "stinky"]);
    outcome.assert_stderr_contains(format!(
        "stinky rolled back to {OLD}: {NEW} was not kept, although deploy-rs reported success"
    ));
    let json = outcome.assert_code(10).json()["hosts"][0].take();
    assert_eq!(json["verdict"], "rolled_back");
    assert_eq!((&json["desired"]["system"], &json["after"]["system"]), (&NEW.into(), &OLD.into()));
    assert_eq!(json["deploy_rs_exit_code"], 0);
}

#[test]
fn a_host_that_runs_the_new_system_is_done_although_deploy_rs_failed() {
    let outcome = Fixture::new(&probe_answer(NEW_PROFILE, NEW, ""), ACTIVATING, 1).deploy(&["stinky"]);
    outcome.assert_code(0).assert_stdout(format!("stinky runs {NEW}\n"));
    outcome.assert_stderr_contains("deploy-rs exited with 1, but stinky runs the new system");
}

#[test]
fn each_state_after_a_deploy_has_its_exit_code() {
    let unit = "octoprint.service loaded failed failed OctoPrint";
    for (after, stderr, deploy_rs_code, expected_code, error) in [
        (probe_answer(NEW_PROFILE, NEW, unit), ACTIVATING, 0, 11, "but units have failed: octoprint.service"),
        (
            probe_answer(OLD_PROFILE, OLD, ""),
            "build failed",
            1,
            1,
            "deploy-rs exited with 1 before the activation: stinky runs",
        ),
        (probe_answer(NEW_PROFILE, OLD, ""), ACTIVATING, 1, 10, "does not run what was deployed: it runs"),
        ("@current".to_owned(), ACTIVATING, 0, 14, "the answer of stinky is incomplete"),
    ] {
        Fixture::new(&after, stderr, deploy_rs_code)
            .deploy(&["stinky"])
            .assert_stderr_contains(error)
            .assert_code(expected_code);
    }
}

#[test]
fn a_host_that_is_current_is_not_deployed_to() {
    let fixture = Fixture::new("", "", 0);
    fixture.write("before", &probe_answer(NEW_PROFILE, NEW, ""));
    fixture.deploy(&["stinky"]).assert_code(0).assert_stdout(format!("stinky already runs {NEW}\n"));
    assert_eq!((fixture.sandbox.calls("deploy").len(), fixture.ssh_calls().len()), (0, 1));
}

/// The folder is new: neither files of earlier deploys nor files of other users are in it.
#[test]
fn deploy_rs_gets_a_temporary_folder_of_its_own_which_is_removed_afterwards() {
    let fixture = Fixture::new(&probe_answer(OLD_PROFILE, OLD, ""), ACTIVATING, 1);
    fixture.write("nodes", &nodes_json("pi"));
    fixture.write("before", &probe_answer(OLD_PROFILE, OLD, "").replace("@end", "@sudo\nyes\n@end"));
    fixture.deploy(&["stinky"]).assert_code(10);
    let path = format!("ControlPath={}", fixture.path("state/ssh/stinky"));
    let make = make_workdir_command("sudo -u root ");
    assert_eq!(fixture.ssh_calls()[2], ssh_args(["ControlMaster=no", &path], "pi@stinky.lan", &make));
    // The deploy was not confirmed: the folder is removed with its content, once no activation is running.
    let remove = format!("sudo -u root rm -rf -- {WORKDIR}");
    assert_eq!(
        fixture.ssh_calls()[4],
        ssh_args(["ControlMaster=no", "ControlPath=none"], "pi@stinky.lan", &remove)
    );
}

#[test]
fn a_host_with_a_running_activation_is_refused() {
    let fixture = Fixture::new("", "", 0);
    let busy = probe_answer(OLD_PROFILE, OLD, "").replace("@activation\n", "@activation\n7\n");
    fixture.write("before", &busy);
    fixture.deploy(&["stinky"]).assert_stderr_contains("an activation is running on stinky").assert_code(3);
    assert_eq!((fixture.sandbox.calls("deploy").len(), fixture.ssh_calls().len()), (0, 1));
}

#[test]
fn a_host_that_changes_during_the_deploy_is_refused() {
    let fixture = Fixture::new("", "", 0);
    let other = "/nix/store/44444444444444444444444444444444-other";
    fixture.write("other", &probe_answer(other, other, ""));
    let probed = fixture.path("probed");
    let other = fixture.path("other");
    let before = fixture.path("before");
    let answers = format!("if [ -e {probed} ]; then cat {other}; else touch {probed}; cat {before}; fi");
    fixture.fake_ssh(&answers, "");
    let outcome = fixture.deploy(&["stinky"]);
    outcome
        .assert_stderr_contains(format!("stinky changed during this deploy: it ran {OLD} and now runs"))
        .assert_code(3);
    assert_eq!(fixture.sandbox.calls("deploy").len(), 0);
}

#[test]
fn each_ssh_error_has_its_exit_code() {
    for (stderr, expected, error) in [
        ("ssh: connect to host stinky.lan port 22: No route to host", 12, "stinky cannot be reached"),
        ("Host key verification failed.", 13, "the host key of stinky is not known here"),
        (
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
            13,
            "\nhint: if its card was flashed again",
        ),
        ("root@stinky.lan: Permission denied (publickey).", 6, "refuses the login"),
    ] {
        let fixture = Fixture::new("", "", 0);
        fixture.sandbox.fake("ssh", &format!("echo '{stderr}' >>/dev/stdin; exit 255"));
        fixture.deploy(&["stinky"]).assert_stderr_contains(error).assert_code(expected);
        assert_eq!(fixture.sandbox.calls("deploy").len(), 0, "{stderr}");
    }
}

#[test]
fn invalid_nodes_and_flags_are_refused_before_the_host_is_queried() {
    let none = r#"{"names":["other","stinky"],"node":null}"#;
    let bare = nodes_json("root").replace(r#"["system"]"#, r#"["home"]"#);
    let nowhere = nodes_json("root").replace("stinky.lan", "");
    for (nodes, args, code, error) in [
        (
            none,
            ["stinkey", "-d"],
            2,
            "has no deploy node 'stinkey' (nodes: other, stinky)\nhint: did you mean 'stinky'?",
        ),
        (bare.as_str(), ["stinky", "-d"], 3, "needs a profile 'system' that can be verified"),
        (nowhere.as_str(), ["stinky", "-d"], 3, "deploy.nodes.stinky has no `hostname`"),
        ("{}", ["stinky", "--boot"], 2, "--boot cannot be passed to deploy-rs"),
    ] {
        let fixture = Fixture::new("", "", 0);
        fixture.write("nodes", nodes);
        fixture.deploy(&[args[0], "--", args[1]]).assert_stderr_contains(error).assert_code(code);
        assert_eq!((fixture.sandbox.calls("deploy").len(), fixture.ssh_calls().len()), (0, 0));
    }
}

#[test]
fn a_flake_without_deploy_nodes_is_a_usage_error() {
    let fixture = Fixture::new("", "", 0);
    let missing = "error: flake 'github:o/f' does not provide attribute 'deploy'";
    let version = r#"[ "$*" = --version ] && echo "nix (Nix) 2.26.3" && exit"#;
    fixture.sandbox.fake("nix", &format!(r#"{version}; echo "{missing}" >&2; exit 1"#));
    let outcome = fixture.deploy(&["stinky"]);
    outcome.assert_code(2).assert_stdout("");
    assert_eq!(
        outcome.stderr,
        "error: github:o/f has no host to deploy: it has neither a deploy node nor a NixOS configuration\nhint: add \
         deploy.nodes.HOST or nixosConfigurations.HOST to the flake\n"
    );
}

/// Nix 2.18 cannot evaluate all outputs at once.
#[test]
fn nix_2_18_evaluates_one_output_at_a_time() {
    let fixture = Fixture::new(&probe_answer(NEW_PROFILE, NEW, ""), ACTIVATING, 0);
    let nodes = nodes_json("root");
    let (node, _) = nodes.split_once(r#","system""#).expect("the system comes last");
    fixture.write("node", &format!("{node},\"system\":null}}"));
    fixture.write("system", &format!(r#"{{"names":[],"node":null,"system":"{NEW}"}}"#));
    let missing = "echo \"error: flake 'github:o/f' does not provide attribute '.'\" >&2; exit 1";
    let node = fixture.path("node");
    let system = fixture.path("system");
    let each = format!("*'#deploy '*) cat {node};; *'#nixosConfigurations '*) cat {system};;");
    let answers = format!("*'#. '*) {missing};; {each} *' build '*) echo '[{{}}]';;");
    fixture
        .sandbox
        .fake("nix", &format!(r#"case "$*" in --version) echo "nix (Nix) 2.18.1";; {answers} esac"#));
    fixture.deploy(&["stinky"]).assert_code(0).assert_stdout(format!("stinky runs {NEW}\n"));
    let function = node_function();
    let evals = fixture.sandbox.calls("nix").into_iter().filter(|call| call.contains(&"eval".to_owned()));
    let evals = evals.map(|call| (call[5].clone(), call[7].clone())).collect::<Vec<_>>();
    let alone = "it: {read} { deploy.nodes.\"stinky\" = { }; nixosConfigurations = it; }";
    let expected = [
        ("github:o/f#.", "{read}"),
        ("github:o/f#deploy", "it: {read} { deploy = it; }"),
        ("github:o/f#nixosConfigurations", alone),
    ];
    assert_eq!(
        evals,
        expected.map(|(installable, apply)| (installable.to_owned(), apply.replace("{read}", &function)))
    );
}

#[test]
fn a_missing_deploy_rs_is_refused() {
    let fixture = Fixture::new("", "", 0);
    fs::remove_file(fixture.sandbox.path("bin").join("deploy")).expect("removing the fake");
    let outcome = fixture.deploy(&["stinky"]);
    outcome
        .assert_stderr_contains("error: no deploy-rs (`deploy`) on PATH\nhint: run `cargo xtask setup`\n")
        .assert_code(3);
}

#[test]
fn history_explains_that_a_host_has_no_receipt() {
    let fixture = Fixture::new(&probe_answer(NEW_PROFILE, NEW, ""), ACTIVATING, 0);
    let text = |host: &str, others: &str| {
        format!(
            "{host} was not looked up in the flake: reading the names in github:o/f\n\
             no history of {host}: no flash and no deploy of it was made from github:o/f yet{others}\n\
             next: cargo xtask --flake github:o/f up {host}\n  writes its card and deploys to it\n"
        )
    };
    let history = |host: &str| fixture.sandbox.run(&["--flake", "github:o/f", "history", host]).stderr;
    assert_eq!(history("stinky"), text("stinky", ""));
    fixture.deploy(&["stinky"]).assert_code(0);
    assert_eq!(history("stinky"), "");
    assert_eq!(history("x"), text("x", " (hosts with receipts: stinky)"));
}

#[test]
fn a_user_or_sudo_of_the_flake_that_runs_other_programs_is_refused() {
    for (field, value, why) in [
        ("user", "root; reboot;", "which is no user name"),
        ("sudo", "sudo reboot -u", "which could run another program"),
        ("sudo", "sudo -n; reboot; sudo -u", "which is no list of plain words"),
    ] {
        let fixture = Fixture::new("", "", 0);
        let normal = if field == "user" { "root" } else { "sudo -u" };
        let nodes = nodes_json("pi")
            .replace("\"sudo\":null", "\"sudo\":\"sudo -u\"")
            .replace("\"profilePath\":null", "\"profilePath\":\"/p\"")
            .replace(&format!("\"{field}\":\"{normal}\""), &format!("\"{field}\":\"{value}\""));
        assert!(nodes.contains(value));
        fixture.write("nodes", &nodes);
        let outcome = fixture.deploy(&["stinky", "--dry-run"]);
        let words = format!("deploy.nodes.stinky.{field} is \"{value}\", {why}");
        outcome.assert_stderr_contains(&words).assert_code(3);
        assert!(fixture.ssh_calls().is_empty(), "{value}");
    }
}
