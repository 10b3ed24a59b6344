//! The Nix of `setup` takes the passwords and proxies of the user's settings, and no other settings.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use xtask::base::program_file;

use crate::fixture;
use crate::support::{Outcome, Sandbox};

/// The password in the user's settings.
const SECRET: &str = "topsecret";

/// A sandbox whose only Nix is that of `setup`: a wrapper that records its settings and runs the real Nix.
fn sandbox_with_private_nix() -> Sandbox {
    let sandbox = Sandbox::with_fakes_only();
    fs::create_dir_all(sandbox.path("tools/nix/bin")).expect("making a folder");
    fs::create_dir_all(sandbox.path("tools/nix/etc")).expect("making a folder");
    fs::write(sandbox.path("tools/nix/etc/nix.conf"), "sandbox = true\n").expect("writing settings");
    let log = sandbox.path("settings").display().to_string();
    let real = fixture::find_program("nix").display().to_string();
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$NIX_CONFIG\" >>{log}\nexec {real} \"$@\"\n");
    program_file::write(&sandbox.path("tools/nix/bin/nix"), script, 0o755).expect("writing a program");
    sandbox
}

/// Starts a web server that answers each request with 404 and records it. Returns its address and the record.
fn start_server() -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listening");
    let address = listener.local_addr().expect("an address").to_string();
    let requests = Arc::new(Mutex::new(String::new()));
    let record = requests.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap_or(0);
            record.lock().expect("the requests").push_str(&String::from_utf8_lossy(&buffer[..count]));
            let _ =
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, requests)
}

/// Runs `hosts` on a flake with the input `url`, with `http_proxy` set to `proxy`.
fn run_hosts(sandbox: &Sandbox, url: &str, proxy: &str) -> Outcome {
    let flake = sandbox.path("flake");
    let text = format!("{{ inputs.a = {{ url = \"{url}\"; flake = false; }}; outputs = _: {{ }}; }}");
    fs::write(flake.join("flake.nix"), text).expect("writing the flake");
    let run = sandbox.xtask(&["--flake", &flake.display().to_string(), "hosts"]);
    let names = ["NIX_CONFIG", "NIX_CONF_DIR", "NIX_USER_CONF_FILES", "NIX_BIN_DIR", "XDG_CONFIG_HOME"];
    let run = names.iter().fold(run, |run, name| run.env_remove(name));
    run.env("XDG_CONFIG_DIRS", sandbox.path("xdg")).env("http_proxy", proxy).run()
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn passwords_and_proxies_of_the_user_are_taken() {
    let sandbox = sandbox_with_private_nix();
    let folder = sandbox.path("home/.config/nix");
    fs::create_dir_all(&folder).expect("making a folder");
    let netrc = folder.join("netrc").display().to_string();
    fs::write(&netrc, format!("machine 127.0.0.1 login me password {SECRET}\n")).expect("writing a netrc");
    let settings =
        format!("netrc-file = {netrc}\nsandbox = false\nextra-sandbox-paths = /\n!include tokens.conf\n");
    fs::write(folder.join("nix.conf"), settings).expect("writing settings");
    fs::write(folder.join("tokens.conf"), format!("access-tokens = github.com={SECRET}\n")).expect("tokens");
    let (address, requests) = start_server();
    let outcome = run_hosts(&sandbox, &format!("http://{address}/a.tar.gz"), "");
    outcome.assert_code(1).assert_stderr_contains("\n  while fetching the input 'a', 'http://127.0.0.1:");
    outcome.assert_stderr_contains("\nhint: check the address; for a private repository");
    let found = requests.lock().expect("the requests").clone();
    assert!(found.contains("Authorization: Basic bWU6dG9wc2VjcmV0"), "{found}");
    let through_proxy = run_hosts(&sandbox, "http://pi.invalid/b.tar.gz", &format!("http://{address}"));
    let found = requests.lock().expect("the requests").clone();
    assert!(found.contains("GET http://pi.invalid/b.tar.gz "), "{found} {through_proxy:?}");
    let with_password_in_url = run_hosts(&sandbox, &format!("http://me:{SECRET}@{address}/c.tar.gz"), "");
    for outcome in [outcome, through_proxy, with_password_in_url] {
        assert!(!format!("{outcome:?}").contains(SECRET), "{outcome:?}");
    }
    let settings = fs::read_to_string(sandbox.path("settings")).expect("the settings");
    assert!(settings.contains(&format!("access-tokens = github.com={SECRET}\n")), "{settings}");
    assert!(!settings.contains("sandbox = false") && !settings.contains("sandbox-paths = /"), "{settings}");
}
