//! `doctor` with real remote builders: an sshd in a namespace, and ports that accept connections and never answer.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::machine::{self, Machine};
use crate::support::{Outcome, Sandbox};

/// The line of a machines file for the builder `host`, with the key of the client and the host key.
fn machines_line(scheme: &str, host: &Machine) -> String {
    let public = fs::read_to_string(host.path("host_key.pub")).expect("reading the host key");
    let encoded = machine::run("base64", &["-w0", &host.path("host_key.pub").display().to_string()]);
    assert!(public.starts_with("ssh-ed25519 "), "{public}");
    let key = host.path("client_key");
    format!("{scheme}root@{} aarch64-linux {} 2 1 - - {encoded}", host.address, key.display())
}

/// Runs `doctor` where the machines file of Nix has `lines`.
fn run_doctor(sandbox: &mut Sandbox, lines: &[String]) -> Outcome {
    let machines = sandbox.path("machines");
    fs::write(&machines, lines.join("\n")).expect("writing the machines");
    let nix_config = std::env::var("NIX_CONFIG").unwrap_or_default();
    sandbox.env("NIX_CONFIG", format!("{nix_config}\nbuilders = @{}\nmax-jobs = 0", machines.display()));
    sandbox.run(&["doctor"])
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn builders_are_asked_with_their_keys() {
    let host = Machine::start();
    for scheme in ["ssh://", "ssh-ng://", ""] {
        let mut sandbox = Sandbox::new();
        let outcome = run_doctor(&mut sandbox, &[machines_line(scheme, &host)]);
        let name = if scheme.is_empty() { "ssh://" } else { scheme };
        // Where this machine lacks something else, the exit code is 3 and the first column is wider.
        assert!(outcome.stdout.contains("ok  aarch64-linux ") || outcome.code == 3, "{outcome:?}");
        let address = format!("  {name}root@{}  answers\n", host.address);
        assert!(outcome.stdout.contains(&address), "{outcome:?}");
    }
}

/// Accepts the connections to `ports` and never answers. Returns the counter of the most connections at once.
fn accept_without_answers(ports: &[TcpListener]) -> Arc<AtomicUsize> {
    let open = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    for port in ports {
        let port = port.try_clone().expect("duplicating a socket");
        let open = open.clone();
        let most = most.clone();
        std::thread::spawn(move || {
            for mut stream in port.incoming().flatten() {
                most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _ = stream.read_to_end(&mut Vec::new());
                open.fetch_sub(1, Ordering::SeqCst);
            }
        });
    }
    most
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn builders_that_refuse_or_never_answer_are_named() {
    let host = Machine::start();
    let good = machines_line("ssh-ng://", &host);
    let (words_before_key, _) = good.rsplit_once(' ').expect("a line of words");
    let other_host_key = format!("{words_before_key} c3NoLWVkMjU1MTkgQUFBQQ==");
    let no_key = format!("ssh://root@{} aarch64-linux /no/such/key", host.address);
    let mut sandbox = Sandbox::new();
    let outcome = run_doctor(&mut sandbox, &[no_key, other_host_key]);
    outcome.assert_code(3);
    for words in ["by a remote builder, and none can be used\n", "refuses the login: "] {
        assert!(outcome.stdout.contains(words), "{words}: {outcome:?}");
    }
    assert_eq!(outcome.stdout.matches("refuses the login: ").count(), 2, "{outcome:?}");
    // Three ports that accept a connection and never answer.
    let ports = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("listening"));
    let most_at_once = accept_without_answers(&ports);
    let config = sandbox.path("ssh_config");
    let config_block = |(number, port): (usize, &TcpListener)| {
        let port = port.local_addr().expect("an address").port();
        format!("Host mute{number}\n  HostName 127.0.0.1\n  Port {port}\n")
    };
    let text = ports.iter().enumerate().map(config_block).collect::<String>();
    fs::write(&config, text).expect("writing a configuration of ssh");
    sandbox.env("NIX_SSHOPTS", format!("-F {}", config.display()));
    let lines = (0..3).map(|number| format!("ssh://mute{number} aarch64-linux")).collect::<Vec<_>>();
    let outcome = run_doctor(&mut sandbox, &lines);
    assert_eq!(most_at_once.load(Ordering::Relaxed), 3, "connections at once");
    outcome.assert_code(3);
    for number in 0..3 {
        let words = format!("MISSING  ssh://mute{number} ");
        assert!(outcome.stdout.contains(&words), "{outcome:?}");
    }
    assert_eq!(outcome.stdout.matches("does not answer").count(), 3, "{outcome:?}");
    let (code, _) = machine::code_and_stderr("pgrep", &["-f", &format!("-F {}", config.display())]);
    assert_eq!(code, 1, "an ssh process is left");
}

/// A flake whose image is for the system of this machine, and holds the name of the machine that built it.
fn sandbox_with_image() -> Sandbox {
    let sandbox = Sandbox::new();
    let salt = sandbox.path("flake").display().to_string();
    let system = format!("{}-linux", std::env::consts::ARCH);
    let script = format!("read name </proc/sys/kernel/hostname; echo $name {salt} >$out");
    let flake = format!(
        r#"{{ outputs = {{ self }}: {{ packages.{system}.pi-sdImage = derivation {{
  name = "a.img"; system = "{system}"; builder = "/bin/sh"; args = [ "-c" "{script}" ]; }}; }}; }}"#
    );
    fs::write(sandbox.path("flake/flake.nix"), flake).expect("writing a flake");
    sandbox
}

/// Runs `sd-image pi` with `builders`, lines of a machines file.
fn sd_image_with_builders(sandbox: &Sandbox, builders: &[&str], more: &[&str]) -> Outcome {
    let flake = sandbox.path("flake").display().to_string();
    let builders = builders.iter().flat_map(|line| ["--builder", line]).collect::<Vec<_>>();
    sandbox.run(&[&["--flake", &flake, "sd-image", "pi"], &builders[..], more].concat())
}

/// The text of the image of `sandbox`, which was built: the name of the machine and a salt.
fn built_text(sandbox: &Sandbox) -> String {
    let flake =
        format!("{}#packages.{}-linux.pi-sdImage", sandbox.path("flake").display(), std::env::consts::ARCH);
    let features = ["--extra-experimental-features", "nix-command flakes"];
    let path =
        machine::run("nix", &[&features[..], &["eval", "--raw", &format!("{flake}.outPath")]].concat());
    fs::read_to_string(path).expect("reading the image")
}

/// A machine that builds for the system of this one, with that system and its line in a machines file.
fn builder_for_this_system() -> (Machine, String, String) {
    let host = Machine::start();
    let system = format!("{}-linux", std::env::consts::ARCH);
    let line = machines_line("ssh-ng://", &host).replace("aarch64-linux", &system);
    (host, system, line)
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_image_is_built_on_the_machine_of_the_command_line() {
    let (host, system, line) = builder_for_this_system();
    let sandbox = sandbox_with_image();
    let planned = sd_image_with_builders(&sandbox, &[&line], &["--plan"]);
    let expected = format!("build   1 derivation: 1 for {system} by a remote builder\n");
    assert!(planned.assert_code(0).stdout.starts_with(&expected), "{planned:?}");
    let built = sd_image_with_builders(&sandbox, &[&line], &[]);
    built.assert_stderr_contains(format!("building a.img on ssh-ng://root@{}", host.address));
    assert!(built_text(&sandbox).starts_with("target "), "{}", built_text(&sandbox));
}

/// Nix would build it here, and say nothing.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_builder_whose_line_lacks_a_feature_does_not_count_for_what_needs_it() {
    let (host, system, line) = builder_for_this_system();
    let sandbox = sandbox_with_image();
    let flake = sandbox.path("flake/flake.nix");
    let text = fs::read_to_string(&flake).expect("the flake");
    let needing = text.replace("name = ", r#"requiredSystemFeatures = [ "big-parallel" ]; name = "#);
    fs::write(&flake, needing).expect("writing the flake");
    let mut words = line.split(' ').collect::<Vec<_>>();
    assert_eq!(words[5], "-", "{line}");
    let planned = sd_image_with_builders(&sandbox, &[&line], &["--plan"]);
    assert!(planned.assert_code(0).stdout.starts_with(&format!("build   1 derivation: 1 for {system}\n")));
    planned.assert_stderr_contains(format!(
        "warning: no remote builder for {system} takes builds that need big-parallel"
    ));
    words[5] = "big-parallel";
    let line = words.join(" ");
    let built = sd_image_with_builders(&sandbox, &[&line], &[]);
    built.assert_stderr_contains(format!("building a.img on ssh-ng://root@{}", host.address));
    assert!(built_text(&sandbox).starts_with("target "), "{}", built_text(&sandbox));
}

/// A port that takes connections and never answers: ssh alone would wait for minutes.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_builder_that_does_not_answer_is_named_and_the_build_does_without_it() {
    let port = TcpListener::bind("127.0.0.1:0").expect("listening");
    accept_without_answers(std::slice::from_ref(&port));
    let mut sandbox = sandbox_with_image();
    let config = sandbox.path("ssh_config");
    let number = port.local_addr().expect("an address").port();
    fs::write(&config, format!("Host mute\n  HostName 127.0.0.1\n  Port {number}\n")).expect("writing");
    sandbox.env("NIX_SSHOPTS", format!("-F {}", config.display()));
    let system = format!("{}-linux", std::env::consts::ARCH);
    let mute = format!("ssh-ng://mute {system}");
    let planned = sd_image_with_builders(&sandbox, &[&mute], &["--plan"]);
    let without = "without the remote builder ssh-ng://mute, which does not answer within 5 s\n";
    assert!(planned.assert_code(0).stdout.contains(&format!("\n{without}")), "{planned:?}");
    // A builder that was named for this run, and builds for another system, is no builder of it.
    let other = sd_image_with_builders(&sandbox, &["ssh-ng://mute riscv32-linux"], &["--plan"]);
    other.assert_code(0).assert_stderr_contains(format!(
        "warning: the remote builder `ssh-ng://mute` builds for riscv32-linux, and nothing of this: {system} is needed\n\
         warning: the remote builder `ssh-ng://mute` does not answer within 5 s\n"
    ));
    let built = sd_image_with_builders(&sandbox, &[&mute], &[]);
    built.assert_stderr_contains(format!("warning: this build does {without}"));
    assert!(!built_text(&sandbox).is_empty());
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn without_a_builder_that_answers_another_system_is_refused() {
    let sandbox = sandbox_with_image();
    let flake = fs::read_to_string(sandbox.path("flake/flake.nix")).expect("reading the flake");
    let foreign = flake.replace(
        "; builder",
        "; needs = derivation { name = \"part\"; system = \"s390x-linux\"; builder = \"/bin/sh\"; }; builder",
    );
    fs::write(sandbox.path("flake/flake.nix"), foreign).expect("writing the flake");
    let refused = sd_image_with_builders(&sandbox, &["ssh-ng://127.0.0.1:1 s390x-linux"], &[]);
    refused.assert_code(3).assert_stderr_contains(
        "error: nothing builds for s390x-linux: the remote builder ssh-ng://127.0.0.1:1 does not answer: ",
    );
}
