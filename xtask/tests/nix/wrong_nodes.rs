//! Deploy nodes with options of a wrong type or size.

use crate::fixture::{Fixture, builder};
use crate::support::Outcome;

/// Runs a dry run of a deploy to `pi`, with the options `node` of its node, `profile` of its profile and `all_nodes`
/// of all nodes. In `node`, PROFILE stands for the profile.
fn deploy_with_options(node: &str, profile: &str, all_nodes: &str) -> Outcome {
    let path = builder("profile", "echo >$out");
    let node = node.replace("PROFILE", &format!("profiles.system = {{ path = {path}; {profile} }};"));
    let fixture = Fixture::plain(&format!(
        "{{ outputs = {{ self }}: {{ deploy = {{ {all_nodes} nodes.pi = {{ {node} }}; }}; }}; }}"
    ));
    fixture.run(&["deploy", "pi", "--dry-run"])
}

/// The options of [`deploy_with_options`], one of which has a wrong type, and the words of the error.
const WRONG_TYPES: &[(&str, &str, &str, &str)] = &[
    ("hostname = 5; PROFILE", "", "", "deploy.nodes.pi.hostname is an integer, not a string"),
    ("sshOpts = \"-p 22\"; PROFILE", "", "", "deploy.nodes.pi.sshOpts is a string, not a list of strings"),
    (
        "sshOpts = [ 22 ]; PROFILE",
        "",
        "",
        "deploy.nodes.pi.sshOpts is a list with something else in it, not a list of strings",
    ),
    ("profiles = [ ];", "", "", "deploy.nodes.pi.profiles is a list, not an attribute set"),
    ("profiles.system = 7;", "", "", "deploy.nodes.pi.profiles.system is an integer, not an attribute set"),
    ("profiles.system = { };", "", "", "deploy.nodes.pi.profiles.system.path is missing, not a package"),
    ("profiles.system.path = null;", "", "", "deploy.nodes.pi.profiles.system.path is null, not a package"),
    ("profiles = null;", "", "", "deploy.nodes.pi.profiles is null, not an attribute set"),
    ("PROFILE", "", "nodes.f = null; sshOpts = null;", "deploy.sshOpts is null, not a list of strings"),
    ("PROFILE", "user = true;", "", "deploy.nodes.pi.profiles.system.user is a boolean, not a string"),
    ("PROFILE", "", "sshUser = x: x;", "deploy.sshUser is a function, not a string"),
    ("confirmTimeout = -1; PROFILE", "", "", "deploy.nodes.pi.confirmTimeout is an integer, not a number of"),
    ("PROFILE", "", "fastConnection = \"yes\";", "deploy.fastConnection is a string, not true or false"),
];

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_option_of_a_wrong_type_is_named_with_its_host() {
    for &(node, profile, all_nodes, expected) in WRONG_TYPES {
        let option = expected.split(" is ").next().expect("an option");
        let hint = format!("\nhint: set `{option}` to ");
        deploy_with_options(node, profile, all_nodes)
            .assert_stderr_contains(expected)
            .assert_stderr_contains(&hint)
            .assert_code(3);
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_refusal_of_an_option_of_two_megabytes_names_the_option() {
    let long = r#"(builtins.concatStringsSep "" (builtins.genList (_: "12345678") 262144))"#;
    for (option, value) in
        [("hostname", long.to_owned()), ("sshUser", long.to_owned()), ("sshOpts", format!("[ {long} ]"))]
    {
        let name = if option == "hostname" { "" } else { "hostname = \"pi\";" };
        deploy_with_options(&format!("{name} {option} = {value}; PROFILE"), "user = \"root\";", "")
            .assert_stderr_contains(format!("`{option}` of deploy.nodes.pi has 2097152 bytes, and at most "))
            .assert_code(3);
    }
}
