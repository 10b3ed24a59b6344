//! `deploy`: the calls of nix, ssh and deploy-rs, and the results by their answers.

use std::fs;

use crate::deploy_scene::*;

#[test]
fn success() {
    let scene = Scene::new(&answer(PROFILE, NEW, ""), ACTIVATING, 0);
    let outcome = scene.run(&["stinky", "--", "--debug-logs", "--", "-L"]);
    outcome.assert_code(0).assert_stdout(format!("stinky runs {NEW}\n"));
    let story = format!(
        "     build  nothing to do\ndeploy stinky as root@stinky.lan\n  from  {OLD}\n  to    {NEW}\n\
         \x20     copy  nothing to do\n  | to stdout\n  | {ACTIVATING}\n\
         read on stinky: /run/current-system, against nixosConfigurations.stinky, and {LINK}, against \
         deploy.nodes.stinky\n"
    );
    assert_eq!(outcome.stderr, story);
    let work = |words: &[&str]| {
        let features = ["--extra-experimental-features", "nix-command flakes"];
        features.iter().chain(words).map(ToString::to_string).collect::<Vec<_>>()
    };
    let read = format!("({}) \"stinky\"", include_str!("../../src/deploy/desired/node.nix"));
    let eval = ["eval", "--json", "github:o/f#.", "--apply", &read, "-L"];
    let profile = format!("{PROFILE}.drv^*");
    let build = ["build", "--json", "--no-link", "--log-format", "internal-json", &profile, "-L"];
    let (format, to) = (["--log-format", "internal-json"], ["--to", "ssh://root@stinky.lan"]);
    let flags = ["--substitute-on-destination", "--no-check-sigs", PROFILE];
    let copy = [&["copy"][..], &format, &to, &flags].concat();
    let settings = work(&["config", "show", "--json"]);
    let asked = [settings, vec!["--version".to_owned()], work(&eval), work(&build), work(&copy)];
    assert_eq!(scene.sandbox.calls("nix"), asked);
    let patience = "-p 2222 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3";
    let pinned = scene.sandbox.path("state/deploy/stinky");
    let placed = FROZEN.replace("}}}", &format!(r#","tempPath":"{WORKDIR}"}}}}}}"#));
    assert_eq!(fs::read_to_string(pinned.join("deploy.json")).expect("the pinned node"), placed);
    let node = format!(r#"path:{}#"stinky".system"#, pinned.display());
    let deploy = ["--skip-checks", "--ssh-opts", patience, &node, "--debug-logs", "--", "-L"];
    assert_eq!(scene.sandbox.calls("deploy"), [deploy]);
    let path = format!("ControlPath={}", scene.file("state/ssh/stinky"));
    let (fresh, shared) = (["ControlMaster=no", "ControlPath=none"], ["ControlMaster=no", path.as_str()]);
    let host = "root@stinky.lan";
    let make = make_workdir("");
    let before = [ssh(fresh, host, &first_question()), ssh(shared, host, &probe()), ssh(shared, host, &make)];
    let asked = [&before[..], &[ssh(fresh, host, &last_question())]].concat();
    assert_eq!(scene.ssh_calls(), asked);
    let mut line = ssh(["ControlMaster=yes", &path], host, "cat");
    let alone = ["-o", "ControlPersist=no", "-o", "ClearAllForwardings=yes"].map(str::to_owned);
    line.splice(4..4, alone);
    assert!(scene.sandbox.calls("ssh").contains(&line), "{line:?}");
}

#[test]
fn rolled_back_although_deploy_rs_succeeded() {
    let scene = Scene::new(&answer(BEFORE, OLD, ""), ACTIVATING, 0);
    let outcome = scene.run(&["--json", "stinky"]);
    outcome.assert_stderr_contains(format!(
        "stinky rolled back to {OLD}: {NEW} was not kept, although deploy-rs reported success"
    ));
    let json: serde_json::Value = serde_json::from_str(&outcome.assert_code(10).stdout).expect("JSON");
    assert_eq!(json["verdict"], "rolled_back");
    assert_eq!((&json["meant"]["system"], &json["after"]["current"]), (&NEW.into(), &OLD.into()));
    assert_eq!(json["deploy_rs_exit_code"], 0);
}

#[test]
fn done_although_deploy_rs_failed() {
    let outcome = Scene::new(&answer(PROFILE, NEW, ""), ACTIVATING, 1).run(&["stinky"]);
    outcome.assert_code(0).assert_stdout(format!("stinky runs {NEW}\n"));
    outcome.assert_stderr_contains("deploy-rs exited with 1, but stinky runs the new system");
}

#[test]
fn other_ends() {
    let unit = "octoprint.service loaded failed failed OctoPrint";
    for (after, said, code, expected, words) in [
        (answer(PROFILE, NEW, unit), ACTIVATING, 0, 11, "but units have failed: octoprint.service"),
        (
            answer(BEFORE, OLD, ""),
            "build failed",
            1,
            1,
            "deploy-rs exited with 1 before the activation: stinky runs",
        ),
        (answer(PROFILE, OLD, ""), ACTIVATING, 1, 10, "does not run what was deployed: it runs"),
        ("@current".to_owned(), ACTIVATING, 0, 14, "the answer of stinky is incomplete"),
    ] {
        Scene::new(&after, said, code).run(&["stinky"]).assert_stderr_contains(words).assert_code(expected);
    }
}

#[test]
fn nothing_is_done_where_nothing_is_to_do() {
    let scene = Scene::new("", "", 0);
    scene.write("before", &answer(PROFILE, NEW, ""));
    scene.run(&["stinky"]).assert_code(0).assert_stdout(format!("stinky already runs {NEW}\n"));
    assert_eq!((scene.sandbox.calls("deploy").len(), scene.ssh_calls().len()), (0, 1));
}

/// What earlier deploys left in the shared folder, and what anybody may have put there, is of no interest.
#[test]
fn deploy_rs_works_in_a_folder_of_its_own() {
    let scene = Scene::new(&answer(BEFORE, OLD, ""), ACTIVATING, 1);
    scene.write("nodes", &nodes("pi"));
    scene.write("before", &answer(BEFORE, OLD, "").replace("@end", "@sudo\nyes\n@end"));
    scene.run(&["stinky"]).assert_code(10);
    let path = format!("ControlPath={}", scene.file("state/ssh/stinky"));
    let make = make_workdir("sudo -u root ");
    assert_eq!(scene.ssh_calls()[2], ssh(["ControlMaster=no", &path], "pi@stinky.lan", &make));
    // It was not confirmed: what is in it goes with it, once nothing is at work any more.
    let remove = format!("sudo -u root rm -rf -- {WORKDIR}");
    assert_eq!(scene.ssh_calls()[4], ssh(["ControlMaster=no", "ControlPath=none"], "pi@stinky.lan", &remove));
}

#[test]
fn another_deploy_is_not_disturbed() {
    let scene = Scene::new("", "", 0);
    let busy = answer(BEFORE, OLD, "").replace("@activation\n", "@activation\n7\n");
    scene.write("before", &busy);
    scene.run(&["stinky"]).assert_stderr_contains("an activation is running on stinky").assert_code(3);
    assert_eq!((scene.sandbox.calls("deploy").len(), scene.ssh_calls().len()), (0, 1));
}

#[test]
fn somebody_else_was_faster() {
    let scene = Scene::new("", "", 0);
    let other = "/nix/store/44444444444444444444444444444444-other";
    scene.write("other", &answer(other, other, ""));
    let (asked, other, before) = (scene.file("asked"), scene.file("other"), scene.file("before"));
    let answers = format!("if [ -e {asked} ]; then cat {other}; else touch {asked}; cat {before}; fi");
    scene.ssh(&answers, "");
    let outcome = scene.run(&["stinky"]);
    outcome
        .assert_stderr_contains(format!("stinky changed during this deploy: it ran {OLD} and now runs"))
        .assert_code(3);
    assert_eq!(scene.sandbox.calls("deploy").len(), 0);
}

#[test]
fn hosts_that_do_not_answer() {
    for (said, expected, words) in [
        ("ssh: connect to host stinky.lan port 22: No route to host", 12, "stinky cannot be reached"),
        ("Host key verification failed.", 13, "the host key of stinky is not known here"),
        (
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
            13,
            "\nhint: if its card was flashed again",
        ),
        ("root@stinky.lan: Permission denied (publickey).", 6, "refuses the login"),
    ] {
        let scene = Scene::new("", "", 0);
        scene.sandbox.fake("ssh", &format!("echo '{said}' >>/dev/stdin; exit 255"));
        scene.run(&["stinky"]).assert_stderr_contains(words).assert_code(expected);
        assert_eq!(scene.sandbox.calls("deploy").len(), 0, "{said}");
    }
}

#[test]
fn refusals_before_anything_is_asked_of_the_host() {
    let none = r#"{"names":["other","stinky"],"node":null}"#;
    let bare = nodes("root").replace(r#"["system"]"#, r#"["home"]"#);
    let nowhere = nodes("root").replace("stinky.lan", "");
    for (nodes, args, code, words) in [
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
        let scene = Scene::new("", "", 0);
        scene.write("nodes", nodes);
        scene.run(&[args[0], "--", args[1]]).assert_stderr_contains(words).assert_code(code);
        assert_eq!((scene.sandbox.calls("deploy").len(), scene.ssh_calls().len()), (0, 0));
    }
}

#[test]
fn a_flake_without_deploy_nodes() {
    let scene = Scene::new("", "", 0);
    let missing = "error: flake 'github:o/f' does not provide attribute 'deploy'";
    let version = r#"[ "$*" = --version ] && echo "nix (Nix) 2.26.3" && exit"#;
    scene.sandbox.fake("nix", &format!(r#"{version}; echo "{missing}" >&2; exit 1"#));
    let outcome = scene.run(&["stinky"]);
    outcome.assert_code(2).assert_stdout("");
    assert_eq!(
        outcome.stderr,
        "error: github:o/f has no deploy nodes\nhint: add deploy.nodes.stinky to the flake\n"
    );
}

/// Nix 2.18 does not give out all outputs at once.
#[test]
fn one_output_after_the_other() {
    let scene = Scene::new(&answer(PROFILE, NEW, ""), ACTIVATING, 0);
    let nodes = nodes("root");
    let (node, _) = nodes.split_once(r#","system""#).expect("the system comes last");
    scene.write("node", &format!("{node},\"system\":null}}"));
    scene.write("system", &format!(r#"{{"names":[],"node":null,"system":"{NEW}"}}"#));
    let missing = "echo \"error: flake 'github:o/f' does not provide attribute '.'\" >&2; exit 1";
    let (node, system) = (scene.file("node"), scene.file("system"));
    let each = format!("*'#deploy '*) cat {node};; *'#nixosConfigurations '*) cat {system};;");
    let answers = format!("*'#. '*) {missing};; {each} *' build '*) echo '[{{}}]';;");
    scene
        .sandbox
        .fake("nix", &format!(r#"case "$*" in --version) echo "nix (Nix) 2.18.1";; {answers} esac"#));
    scene.run(&["stinky"]).assert_code(0).assert_stdout(format!("stinky runs {NEW}\n"));
    let read = format!("({}) \"stinky\"", include_str!("../../src/deploy/desired/node.nix"));
    let asked = scene.sandbox.calls("nix").into_iter().filter(|call| call.contains(&"eval".to_owned()));
    let asked = asked.map(|call| (call[4].clone(), call[6].clone())).collect::<Vec<_>>();
    let alone = "it: {read} { deploy.nodes.\"stinky\" = { }; nixosConfigurations = it; }";
    let expected = [
        ("github:o/f#.", "{read}"),
        ("github:o/f#deploy", "it: {read} { deploy = it; }"),
        ("github:o/f#nixosConfigurations", alone),
    ];
    assert_eq!(asked, expected.map(|(at, apply)| (at.to_owned(), apply.replace("{read}", &read))));
}

#[test]
fn without_deploy_rs() {
    let scene = Scene::new("", "", 0);
    fs::remove_file(scene.sandbox.path("bin").join("deploy")).expect("removing the fake");
    let outcome = scene.run(&["stinky"]);
    outcome
        .assert_stderr_contains("error: no deploy-rs (`deploy`) on PATH\nhint: run `cargo xtask setup`\n")
        .assert_code(3);
}

#[test]
fn the_history_of_a_host_without_one() {
    let scene = Scene::new(&answer(PROFILE, NEW, ""), ACTIVATING, 0);
    let yet = |host: &str, others: &str| {
        format!(
            "there is no receipt of {host}: it was not flashed or deployed to from this checkout yet{others}\n"
        )
    };
    assert_eq!(scene.sandbox.run(&["history", "stinky"]).stderr, yet("stinky", ""));
    scene.run(&["stinky"]).assert_code(0);
    assert_eq!(scene.sandbox.run(&["history", "stinky"]).stderr, "");
    assert_eq!(scene.sandbox.run(&["history", "x"]).stderr, yet("x", " (receipts: stinky)"));
}

#[test]
fn what_a_flake_puts_before_commands_runs_nothing_else() {
    for (field, value) in
        [("user", "root; reboot;"), ("sudo", "sudo reboot -u"), ("sudo", "sudo -n; reboot; sudo -u")]
    {
        let scene = Scene::new("", "", 0);
        let text = nodes("pi").replace("\"sudo\":null", "\"sudo\":\"sudo -u\"");
        let text = text.replace("\"profilePath\":null", "\"profilePath\":\"/p\"");
        let is = if field == "user" { "root" } else { "sudo -u" };
        let text = text.replace(&format!("\"{field}\":\"{is}\""), &format!("\"{field}\":\"{value}\""));
        assert!(text.contains(value));
        scene.write("nodes", &text);
        let outcome = scene.run(&["stinky", "--dry-run"]);
        outcome.assert_stderr_contains("deploy.nodes.stinky would run its commands by").assert_code(3);
        assert!(scene.ssh_calls().is_empty(), "{value}");
    }
}
