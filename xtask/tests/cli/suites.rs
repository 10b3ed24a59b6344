//! `test`: the suites that run, and the result of a suite that cannot run.

use crate::support::{Outcome, Sandbox};

/// The script of a cargo whose suites have three tests, two of them ignored, and which passes all of them.
pub const CARGO: &str = "case \"$*\" in
 *' --lib fuzz '*--list*) printf 'a::fuzz: test\nb::tests::fuzz: test\n';;
 *--list*--ignored*) printf 'b: test\nc: test\n';;
 *--list*) printf 'a: test\nb: test\nc: test\n';;
esac";

/// A sandbox whose cargo is the script `cargo`.
pub fn sandbox_with_cargo(cargo: &str) -> Sandbox {
    let sandbox = Sandbox::with_fakes_only();
    sandbox.fake("cargo", cargo);
    sandbox
}

#[test]
fn a_named_suite_that_cannot_run_fails() {
    let sandbox = sandbox_with_cargo(CARGO);
    let run = sandbox.xtask(&["test", "evaluation"]).env_remove("XTASK_NIXPKGS").env_remove("XTASK_INPUTS");
    let outcome = run.run();
    let Outcome { stdout, stderr, .. } = outcome.assert_code(1);
    let table = stdout.trim().lines().collect::<Vec<_>>();
    assert_eq!(table[0], "SUITE       RUN           WHY NOT ALL OF IT");
    assert!(table[1].starts_with("evaluation  1 of 3 tests  "), "{stdout}");
    let why = "needs source trees, named by XTASK_NIXPKGS and XTASK_INPUTS: set the variables to folders with the sources";
    assert!(table[1].contains(why), "{stdout}");
    assert!(
        stderr.contains("error: the suite 'evaluation' was not run whole: ") && stderr.contains(why),
        "{stderr}"
    );
    // The test without requirements runs. Nothing is installed, because no program would meet the requirement.
    let calls = sandbox.calls("cargo");
    assert_eq!(calls[0].join(" "), "test --workspace --no-fail-fast --test evaluation");
    assert!(!stderr.contains("setup: "), "{stderr}");
}

#[test]
fn a_suite_that_needs_nothing_passes_or_fails_as_cargo_does() {
    let outcome = sandbox_with_cargo(CARGO).run(&["test", "cli"]);
    outcome.assert_code(0).assert_stdout("\nSUITE  RUN  WHY NOT ALL OF IT\ncli    yes  -\n");
    sandbox_with_cargo("exit 101")
        .run(&["test", "cli"])
        .assert_stderr_contains("failed with exit code 101")
        .assert_code(1);
}

/// In a user namespace without root, as an ordinary user.
#[test]
#[ignore = "needs user namespaces: run `cargo xtask test`"]
fn tests_that_need_root_are_left_out_and_named() {
    let list =
        "case \"$*\" in *--list*) printf 'a: test\\nb::as_root::c: test\\nd::as_root::e: test\\n';; esac";
    let unshare = ["/usr/bin/unshare", "--user"];
    let sandbox = sandbox_with_cargo(list);
    let outcome = sandbox.xtask(&["test", "cli"]).wrapped_in(&unshare).run();
    let why = "2 tests need root: run this command as root";
    outcome
        .assert_stdout(format!("\nSUITE  RUN           WHY NOT ALL OF IT\ncli    1 of 3 tests  {why}\n"))
        .assert_stderr_contains(format!("error: the suite 'cli' was not run whole: {why}\n"))
        .assert_code(1);
    let run = &sandbox.calls("cargo")[0].join(" ");
    let expected = "test --workspace --no-fail-fast --test cli -- --include-ignored --skip as_root::";
    assert_eq!(run, expected);
    // Where no suite is named, the table alone says so.
    let sandbox = sandbox_with_cargo(list);
    let outcome = sandbox.xtask(&["--json", "test"]).wrapped_in(&unshare).run();
    let suites = outcome.assert_code(0).json()["suites"].clone();
    let cli = suites.as_array().unwrap().iter().find(|suite| suite["suite"] == "cli").unwrap();
    assert_eq!((&cli["run"]["partly"]["run"], cli["why"].as_str()), (&1.into(), Some(why)));
    // With --whole it fails, but not for the sources of the suite evaluation.
    let outcome = sandbox.xtask(&["test", "--whole"]).wrapped_in(&unshare).run();
    outcome.assert_code(1).assert_stderr_contains(format!("the suite 'cli' was not run whole: {why}\n"));
    assert!(!outcome.stderr.contains("'evaluation'"), "{}", outcome.stderr);
    sandbox.run(&["test", "cli", "--whole"]).assert_code(2);
}

#[test]
fn fuzz_divides_the_minutes_among_the_parsers_and_fails_as_cargo_does() {
    let sandbox = sandbox_with_cargo(&format!("{CARGO}\necho \"seconds: $XTASK_FUZZ_SECONDS\""));
    let outcome = sandbox.run(&["test", "fuzz", "--minutes", "3"]);
    let threads = std::thread::available_parallelism().expect("a number of threads").get();
    // Each of the two parsers gets half of the 180 s, times the number of threads.
    let seconds = outcome.assert_code(0).stdout.trim();
    assert_eq!(seconds, format!("seconds: {}", 90 * threads));
    outcome.assert_stderr_contains(format!("fuzz: 2 parsers, {} s for each\n", 90 * threads));
    let run = sandbox.calls("cargo").pop().expect("a run of cargo").join(" ");
    assert_eq!(
        run,
        format!(
            "test --workspace --lib fuzz -- --include-ignored --skip a_fuzz_run --test-threads={threads}"
        )
    );
    let failing_cargo = format!("{CARGO}\ncase \"$*\" in *--list*) ;; *) exit 101;; esac");
    sandbox_with_cargo(&failing_cargo).run(&["test", "fuzz"]).assert_code(1);
}

#[test]
fn the_option_minutes_is_positive_and_applies_only_to_fuzz() {
    sandbox_with_cargo(CARGO)
        .run(&["test", "cli", "--minutes", "1"])
        .assert_stderr_contains("--minutes applies only to the suite fuzz")
        .assert_code(2);
    sandbox_with_cargo(CARGO).run(&["test", "fuzz", "--minutes", "0"]).assert_code(2);
}

#[test]
fn the_option_cuts_applies_only_to_boot_cuts() {
    sandbox_with_cargo(CARGO)
        .run(&["test", "trial", "--cuts", "100"])
        .assert_stderr_contains("--cuts applies only to the suite boot-cuts")
        .assert_code(2);
}
