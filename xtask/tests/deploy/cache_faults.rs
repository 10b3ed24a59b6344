//! Binary caches that fail: what the cache does not give is copied directly, with a word.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cache_server::Answer;
use crate::cached_fleet::{Fleet, fallbacks, fixture_name};
use crate::machine;
use crate::support::xtask::SignalTo;

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_does_not_trust_the_key_refuses_and_gets_a_direct_copy() {
    let fleet = Fleet::new(2, |_| Answer::Serve);
    // Another key of the same name: the signature is there, and wrong.
    let name = fleet.key.split(':').next().expect("a name");
    fleet.trust(1, &format!("{name}:{}=", "A".repeat(43)));
    let outcome = fleet.deploy(&[]);
    outcome
        .assert_code(0)
        .assert_stderr_contains("host1 does not fetch its system from http://")
        .assert_stderr_contains("\n1 host fetched from the cache, and 1 got a direct copy: host1\n")
        .assert_stderr_contains("hint: let host1 trust the cache key, which `cargo xtask");
    fleet.assert_run(&fixture_name("first"));
}

/// A path without a signature: the cache had it before the project had a key.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn what_a_cache_has_without_a_signature_is_refused() {
    let fleet = Fleet::new(1, |_| Answer::Serve);
    fleet.deploy(&[]).assert_code(0);
    fleet.set_profiles(&fixture_name("unsigned"));
    let profile = format!("{}#deploy.nodes.host0.profiles.system.path", fleet.fixture.flake());
    let features = ["--extra-experimental-features", "nix-command flakes"];
    let run = |words: &[&str]| machine::run("nix", &[&features[..], words].concat());
    run(&["build", "--no-link", &profile]);
    run(&["copy", "--to", &fleet.server.folder_url(), &profile]);
    let refused = fleet.deploy(&["--json"]).assert_code(0).json();
    assert_eq!(fallbacks(&refused), ["unsigned"], "{refused}");
    assert!(refused["hosts"][0]["copied"]["directly"]["paths"].as_u64() > Some(0), "{refused}");
    fleet.assert_run(&fixture_name("unsigned"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn what_a_cache_lacks_is_copied_directly() {
    let fleet = Fleet::new(1, |request| {
        // The package is there, the profile is not.
        if request.contains("/nar/") && GETS.fetch_add(1, Ordering::SeqCst) > 0 {
            Answer::NotFound
        } else {
            Answer::Serve
        }
    });
    let result = fleet.deploy(&["--json"]).assert_code(0).json();
    assert_eq!(fallbacks(&result), ["incomplete"], "{result}");
    let copied = &result["hosts"][0]["copied"];
    let pushed = &result["cache"]["pushed"]["paths"];
    assert!(copied["directly"]["paths"].as_u64() < pushed.as_u64(), "{result}");
    fleet.assert_run(&fixture_name("first"));
}

/// How often a file was asked for in [`what_a_cache_lacks_is_copied_directly`].
static GETS: AtomicUsize = AtomicUsize::new(0);

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_cache_that_is_gone_is_named_once_for_all_hosts() {
    let fleet = Fleet::new(2, |_| Answer::Serve);
    let nobody = "http://127.0.0.1:1";
    let outcome = fleet.deploy_with(&["--via-cache", nobody]);
    let note = format!("the cache {nobody} cannot be used, so the systems are copied directly: ");
    outcome.assert_code(0).assert_stderr_contains(&note);
    assert_eq!(outcome.stderr.matches("copied directly").count(), 1, "{}", outcome.stderr);
    fleet.assert_run(&fixture_name("first"));
    // The hosts find out that a cache is gone to which this machine can push.
    fleet.set_profiles(&fixture_name("second"));
    let folder = fleet.server.folder_url();
    let result = fleet.deploy_with(&["--via-cache", nobody, "--push-to", &folder, "--json"]);
    let result = result.assert_code(0).json();
    assert_eq!(result["cache"]["fault"]["reason"], "gone", "{result}");
    fleet.assert_run(&fixture_name("second"));
}

/// A cache that accepts connections and never answers.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_cache_that_never_answers_is_gone() {
    let fleet = Fleet::new(1, |_| Answer::Hang);
    let outcome = fleet.deploy_with(&["--via-cache", &fleet.url()]);
    outcome.assert_code(0).assert_stderr_contains("cannot be used, so the systems are copied directly: ");
    assert!(fleet.server.count("") <= 2, "asked {} times", fleet.server.count(""));
    fleet.assert_run(&fixture_name("first"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_does_not_reach_the_cache_is_copied_to_directly_and_the_others_are_not() {
    let fleet = Fleet::new(2, |_| Answer::Serve);
    fleet.machines[1].run_inside("ip route del 10.0.0.0/8");
    let result = fleet.deploy(&["--json"]).assert_code(0).json();
    assert_eq!(fallbacks(&result), ["none", "unreachable"], "{result}");
    assert!(result["cache"]["fault"].is_null(), "{result}");
    fleet.assert_run(&fixture_name("first"));
}

/// The first host has the folder of the cache, the second a cache without the system, the third no such folder.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_the_folder_of_the_cache_is_named_with_the_remedy() {
    let fleet = Fleet::new(3, |_| Answer::Serve);
    // A host sees the folder of its machine at /mnt, and has a /tmp of its own.
    let folder = fleet.machines[0].path("cache").display().to_string();
    let url = format!("file://{folder}");
    let parent = folder.rsplit_once('/').expect("a path").0;
    fleet.machines[0].run_inside(&format!("mkdir -p {parent} && ln -s /mnt/cache {folder}"));
    fleet.machines[1]
        .run_inside(&format!("mkdir -p {folder} && echo StoreDir: /nix/store >{folder}/nix-cache-info"));
    let outcome = fleet.deploy_with(&["--via-cache", &url]);
    outcome
        .assert_code(0)
        .assert_stderr_contains(format!("copied directly: this host has no binary cache in {folder}\n"))
        .assert_stderr_contains(format!(
            "copied directly: the binary cache that this host has in {folder} lacks /nix/"
        ))
        .assert_stderr_contains("hint: mount the folder of the cache on host2 at the same path, or");
    fleet.machines[2].run_inside(&format!("test ! -e {folder}"));
    fleet.assert_run(&fixture_name("first"));
    fleet.set_profiles(&fixture_name("second"));
    let result = fleet.deploy_with(&["--via-cache", &url, "--json"]).assert_code(0).json();
    assert_eq!(fallbacks(&result), ["none", "incomplete", "unreachable"], "{result}");
    assert!(result["cache"]["fault"].is_null(), "{result}");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn ctrl_c_during_the_push_activates_nothing() {
    let fleet =
        Fleet::new(2, |request| if request.starts_with("PUT /nar") { Answer::Hang } else { Answer::Serve });
    let url = fleet.url();
    let flake = fleet.fixture.flake();
    let args = ["--flake", &flake, "deploy", "host0", "host1", "--via-cache", &url];
    let run = fleet.fixture.sandbox.xtask(&args).stop_timeout(Duration::from_secs(10));
    let outcome = run.interrupt_once(|| fleet.server.count("PUT /nar") > 0, SignalTo::Group);
    outcome.assert_code(130);
    for machine in &fleet.machines {
        machine.run_inside("test ! -e /nix/var/nix/profiles/system");
    }
    assert!(!outcome.stderr.contains("copied directly"), "{}", outcome.stderr);
}
