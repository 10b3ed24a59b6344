//! Binary caches by https, whose certificates each side checks, and by s3.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::cache_server::Answer;
use crate::cached_fleet::{Fleet, fallbacks, fixture_name};
use crate::machine;

/// A server of TLS before that of the cache, with an authority of its own.
struct TlsServer {
    port: u16,
    /// The file with the certificate of the authority.
    authority: PathBuf,
    child: Child,
}

impl TlsServer {
    /// Serves `to`, a port of this machine, as `address`. Its files are in `folder`.
    fn start(folder: &Path, address: &str, to: u16) -> Self {
        fs::create_dir(folder).expect("making a folder");
        let file = |name: &str| folder.join(name).display().to_string();
        let openssl = |words: &[&str], files: &[(&str, &str)]| {
            let files = files.iter().flat_map(|(option, name)| [(*option).to_owned(), file(name)]);
            let words = words.iter().map(ToString::to_string).chain(files).collect::<Vec<_>>();
            machine::run("openssl", &words.iter().map(String::as_str).collect::<Vec<_>>());
        };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        openssl(
            &[&["req", "-x509", "-subj", "/CN=authority", "-days", "2"], &key[..]].concat(),
            &[("-keyout", "ca.key"), ("-out", "ca.pem")],
        );
        openssl(
            &[&["req", "-subj", "/CN=cache"], &key[..]].concat(),
            &[("-keyout", "key"), ("-out", "request")],
        );
        fs::write(folder.join("names"), format!("subjectAltName=IP:{address}\n")).expect("writing names");
        openssl(
            &["x509", "-req", "-CAcreateserial", "-days", "2"],
            &[
                ("-in", "request"),
                ("-CA", "ca.pem"),
                ("-CAkey", "ca.key"),
                ("-extfile", "names"),
                ("-out", "cert"),
            ],
        );
        let port = TcpListener::bind("0.0.0.0:0").and_then(|free| free.local_addr()).expect("a port").port();
        let listen = format!(
            "OPENSSL-LISTEN:{port},reuseaddr,fork,verify=0,cert={},key={}",
            file("cert"),
            file("key")
        );
        let child = spawn("socat", &[listen, format!("TCP:127.0.0.1:{to}")]);
        Self { port, authority: folder.join("ca.pem"), child }
    }
}

#[expect(clippy::disallowed_methods, reason = "the suite starts a server itself")]
fn spawn(program: &str, args: &[String]) -> Child {
    Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect(program)
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        // A server that has ended is gone too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn each_side_checks_the_certificate_of_a_cache_by_https() {
    let mut fleet = Fleet::new(2, |_| Answer::Serve);
    let address = fleet.workstation(0);
    let tls = TlsServer::start(&fleet.fixture.sandbox.path("tls"), &address, fleet.server.port);
    let url = format!("https://{address}:{}", tls.port);
    // Nobody knows the authority: this machine cannot push.
    let result = fleet.deploy_with(&["--via-cache", &url]);
    result
        .assert_code(0)
        .assert_stderr_contains(format!("warning: the cache {url} cannot be used, so the systems are copied"))
        .assert_stderr_contains(
            "hint: add the certificate of the cache's authority to the file that `ssl-cert-file`",
        );
    fleet.assert_run(&fixture_name("first"));
    // This machine and the first host know it.
    let authority = tls.authority.clone();
    fleet.fixture.sandbox.env("NIX_SSL_CERT_FILE", &authority);
    let text = fs::read_to_string(&authority).expect("a certificate");
    let machine = &fleet.machines[0];
    fs::write(machine.path("etc/authority.pem"), text).expect("writing a certificate");
    let conf = machine.path("etc/nix.conf");
    let settings = fs::read_to_string(&conf).expect("the settings of Nix");
    fs::write(&conf, format!("{settings}ssl-cert-file = /mnt/etc/authority.pem\n")).expect("writing them");
    fleet.set_profiles(&fixture_name("second"));
    let outcome = fleet.deploy_with(&["--via-cache", &url, "--json"]);
    let result = outcome.assert_code(0).json();
    assert_eq!(fallbacks(&result), ["none", "unreachable"], "{result}");
    assert!(result["cache"]["pushed"]["paths"].as_u64() > Some(0), "{result}");
    assert!(fleet.server.count("PUT /nar/") > 0);
    outcome.assert_stderr_contains("`security.pki.certificateFiles` of host1");
    fleet.assert_run(&fixture_name("second"));
}

/// What the tool does is what the Nix of this machine can: some are built without s3.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_bucket_takes_the_push_where_nix_has_s3() {
    let mut fleet = Fleet::new(1, |_| Answer::Serve);
    let bucket = format!("s3://pis?endpoint=127.0.0.1:{}&scheme=http&region=eu-west-1", fleet.server.port);
    fleet
        .fixture
        .sandbox
        .env("AWS_ACCESS_KEY_ID", Path::new("access"))
        .env("AWS_SECRET_ACCESS_KEY", Path::new("s3cr3t-of-a-test"));
    let asked = ["--extra-experimental-features", "nix-command", "store", "info", "--store", &bucket];
    let (_, answer) = machine::code_and_stderr("nix", &asked);
    let has_s3 = !answer.contains("don't know how to open Nix store");
    let web = format!("{}/pis", fleet.url());
    let log = fleet.fixture.sandbox.path("log");
    let log_option = log.display().to_string();
    let words = ["--via-cache", &web, "--push-to", &bucket, "--json", "--log-file", &log_option];
    let outcome = fleet.deploy_with(&words);
    let result = outcome.assert_code(0).json();
    let is_pushed = fleet.server.count("PUT /pis/nar/") > 0;
    assert_eq!(is_pushed, has_s3, "{answer}: {result}");
    if has_s3 {
        assert_eq!(fallbacks(&result), ["none"], "{result}");
    } else {
        assert_eq!(fallbacks(&result), ["gone"], "{result}");
        outcome.assert_stderr_contains(
            "the Nix of this machine has no such caches, as that of Debian has no s3",
        );
    }
    fleet.assert_run(&fixture_name("first"));
    let log = fs::read_to_string(log).expect("the log");
    assert!(log.contains("s3://pis?endpoint=") && !log.contains("s3cr3t"), "{log}");
    assert!(!outcome.stderr.contains("s3cr3t") && !outcome.stdout.contains("s3cr3t"));
}
