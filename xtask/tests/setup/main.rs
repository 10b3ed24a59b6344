//! What `setup` and `test` install from Debian's packages: real apt with archives of the tests; for the Nix of a suite
//! real dpkg and patchelf, though that Nix knows no more than its version.

mod packages;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use support::xtask::{SignalTo, Xtask};
use support::{Outcome, Sandbox};

/// An archive with the package `nix-bin`, and the machine that installs it.
struct Archive {
    sandbox: Sandbox,
}

impl Archive {
    /// An archive in a folder, without a package yet.
    fn new() -> Self {
        let sandbox = Sandbox::new();
        // The suite itself is not run.
        sandbox.fake("cargo", "exit 0");
        let archive = Self { sandbox };
        let folder = archive.sandbox.path("mirror").display().to_string();
        archive.set_source(&format!("file:{folder}"), "Trusted: yes\n");
        archive
    }

    /// Sets the machine's source of packages, and whether apt trusts it.
    fn set_source(&self, uri: &str, trust: &str) {
        let folder = self.sandbox.path("apt/sources.list.d");
        fs::create_dir_all(&folder).expect("making a folder");
        let text = format!("Types: deb\nURIs: {uri}\nSuites: stable\nComponents: main\n{trust}");
        fs::write(folder.join("debian.sources"), text).expect("writing a source");
    }

    /// Puts a Nix of `version` into the archive, which ends with `code`.
    fn set_package(&self, version: &str, code: i32) {
        let tree = self.make_tree(version, code);
        let deb = self.deb();
        fs::create_dir_all(deb.parent().expect("a folder")).expect("making a folder");
        run("dpkg-deb", &["--build", "--root-owner-group", &tree, &deb.display().to_string()]);
        let size = fs::metadata(&deb).expect("the package").len();
        let packages = format!(
            "Package: nix-bin\nVersion: {version}\nArchitecture: {}\nFilename: pool/nix-bin.deb\nSize: {size}\n\
             SHA256: {}\nDescription: of a test\n",
            arch().0,
            support::sha256(&fs::read(&deb).expect("the package"))
        );
        write_lists(&self.sandbox, &packages);
    }

    /// Makes the files of the package, and returns their folder.
    fn make_tree(&self, version: &str, code: i32) -> String {
        let tree = self.sandbox.path("tree");
        let _ = fs::remove_dir_all(&tree);
        let (arch, triplet, loader) = arch();
        let libraries = tree.join("usr/lib").join(triplet);
        for folder in [&tree.join("DEBIAN"), &tree.join("usr/bin"), &libraries] {
            fs::create_dir_all(folder).expect("making a folder");
        }
        let control = format!(
            "Package: nix-bin\nVersion: {version}\nArchitecture: {arch}\nMaintainer: a test\nDescription: of a test\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).expect("writing the control file");
        for library in ["libc.so.6", loader] {
            let source = format!("/lib/{triplet}/{library}");
            fs::copy(&source, libraries.join(library)).expect("copying a library");
        }
        let source = self.sandbox.path("nix.c");
        let text = format!(
            "#include <stdio.h>\nint main(void) {{ puts(\"nix (Nix) {version}\"); return {code}; }}\n"
        );
        fs::write(&source, text).expect("writing a program");
        let program = tree.join("usr/bin/nix");
        run("cc", &["-o", &program.display().to_string(), &source.display().to_string()]);
        tree.display().to_string()
    }

    /// The file of the package.
    fn deb(&self) -> PathBuf {
        self.sandbox.path("mirror/pool/nix-bin.deb")
    }

    /// A run of the suite `suite`, for which the folder of the machine with the sources of apt is that of the test.
    fn xtask(&self, suite: &str) -> Xtask {
        let apt = self.sandbox.path("apt").display().to_string();
        let script = "mount --bind \"$0\" /etc/apt && exec \"$@\"";
        let wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, &apt];
        self.sandbox.xtask(&["test", suite]).wrapped_in(&wrapper).env_remove("http_proxy")
    }

    fn run(&self) -> Outcome {
        self.xtask("nix-trixie").run()
    }

    /// The folder of the installed Nix.
    fn prefix(&self) -> PathBuf {
        self.sandbox.path("state/tools/nix-trixie")
    }

    /// Asserts that the Nix of `version` is installed and runs, and that no other folder of it is left.
    #[track_caller]
    fn assert_installed(&self, version: &str) {
        let nix = self.prefix().join("bin/nix");
        assert_eq!(run(&nix.display().to_string(), &[]), format!("nix (Nix) {version}\n"));
        for ending in ["new", "old"] {
            assert!(!self.prefix().with_extension(ending).exists(), "{ending}");
        }
    }
}

/// Writes the lists of the suites trixie and sid in the archive of `sandbox`.
fn write_lists(sandbox: &Sandbox, packages: &str) {
    let arch = arch().0;
    for suite in ["trixie", "sid"] {
        let folder = sandbox.path("mirror/dists").join(suite);
        let file = format!("main/binary-{arch}/Packages");
        fs::create_dir_all(folder.join(&file).parent().expect("a folder")).expect("making a folder");
        fs::write(folder.join(&file), packages).expect("writing a list");
        let sum = support::sha256(packages.as_bytes());
        let release = format!(
            "Suite: {suite}\nCodename: {suite}\nComponents: main\nArchitectures: {arch}\n\
             Date: Mon, 01 Jan 2024 00:00:00 UTC\nSHA256:\n {sum} {} {file}\n",
            packages.len()
        );
        fs::write(folder.join("Release"), release).expect("writing a release");
    }
}

/// The name of this machine's architecture in Debian, that of its folder of libraries, and its loader.
fn arch() -> (&'static str, &'static str, &'static str) {
    match std::env::consts::ARCH {
        "x86_64" => ("amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
        "aarch64" => ("arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
        other => panic!("no packages for {other}"),
    }
}

/// Runs a program and returns its stdout; panics if it fails.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a test sets things up without the tool")]
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect(program);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "needs apt, patchelf and Nix: run `cargo xtask test`"]
fn the_newest_nix_is_installed_once() {
    let archive = Archive::new();
    archive.set_package("2.30.1", 0);
    let outcome = archive.run();
    outcome.assert_code(0).assert_stderr_contains("the suite runs with Nix 2.30.1 in ");
    archive.assert_installed("2.30.1");
    let conf = fs::read_to_string(archive.prefix().join("etc/nix.conf")).expect("the settings");
    assert!(conf.contains("sandbox = true\n"), "{conf}");
    // The package is not there any more: nothing is fetched.
    fs::rename(archive.deb(), archive.sandbox.path("kept.deb")).expect("hiding the package");
    let again = archive.run();
    again.assert_code(0).assert_stderr_contains("the suite runs with Nix 2.30.1 in ");
    assert!(!again.stderr.contains("download") && !again.stderr.contains("warning"), "{}", again.stderr);
    // What was removed by hand is installed again.
    fs::remove_file(archive.prefix().join("bin/nix")).expect("removing the program");
    fs::rename(archive.sandbox.path("kept.deb"), archive.deb()).expect("showing the package");
    archive.run().assert_code(0);
    archive.assert_installed("2.30.1");
    archive.set_package("2.31.0", 0);
    archive.run().assert_code(0).assert_stderr_contains("the suite runs with Nix 2.31.0 in ");
    archive.assert_installed("2.31.0");
}

#[test]
#[ignore = "needs apt, patchelf and Nix: run `cargo xtask test`"]
fn what_the_mirror_has_not_signed_is_not_installed() {
    let archive = Archive::new();
    archive.set_package("2.30.1", 0);
    let folder = archive.sandbox.path("mirror").display().to_string();
    archive.set_source(&format!("file:{folder}"), "");
    let outcome = archive.run();
    outcome.assert_code(1).assert_stderr_contains("is not signed");
    assert!(outcome.stdout.contains("nix-trixie  NO "), "{}", outcome.stdout);
    assert!(!archive.prefix().exists());
    // A file that does not have the hash of the signed list.
    archive.set_source(&format!("file:{folder}"), "Trusted: yes\n");
    let mut bytes = fs::read(archive.deb()).expect("the package");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(archive.deb(), bytes).expect("changing the package");
    archive.run().assert_code(1).assert_stderr_contains("Hash Sum mismatch");
    assert!(!archive.prefix().exists());
}

/// The Nix that is there runs the suite, with a warning.
#[test]
#[ignore = "needs apt, patchelf and Nix: run `cargo xtask test`"]
fn a_nix_that_does_not_run_replaces_none() {
    let archive = Archive::new();
    archive.set_package("2.31.0", 1);
    archive.run().assert_code(1).assert_stderr_contains("running the new Nix");
    assert!(!archive.prefix().exists());
    archive.set_package("2.30.1", 0);
    archive.run().assert_code(0);
    archive.set_package("2.31.0", 1);
    let outcome = archive.run();
    outcome
        .assert_code(0)
        .assert_stderr_contains("warning: running the new Nix: ")
        .assert_stderr_contains("the suite runs with Nix 2.30.1 in ");
    assert!(archive.prefix().join("bin/nix").exists());
    archive.set_package("2.32.0", 0);
    archive.run().assert_code(0);
    archive.assert_installed("2.32.0");
}

/// No other suite of the mirror is tried, and no suite of the repository runs.
#[test]
#[ignore = "needs apt, patchelf and Nix: run `cargo xtask test`"]
fn ctrl_c_ends_the_installation() {
    let archive = Archive::new();
    archive.set_package("2.30.1", 0);
    // A mirror that takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("listening");
    silent.set_nonblocking(true).expect("setting the socket");
    let port = silent.local_addr().expect("an address").port();
    archive.set_source(&format!("http://127.0.0.1:{port}"), "Trusted: yes\n");
    let connections = std::cell::RefCell::new(Vec::new());
    let is_asked = || {
        connections.borrow_mut().extend(silent.accept());
        !connections.borrow().is_empty()
    };
    let outcome = archive.xtask("nix-forky").interrupt_once(is_asked, SignalTo::Group);
    outcome.assert_code(130);
    assert!(!outcome.stderr.contains("sid"), "{}", outcome.stderr);
    assert!(archive.sandbox.calls("cargo").is_empty());
    // The next run begins anew.
    let folder = archive.sandbox.path("mirror").display().to_string();
    archive.set_source(&format!("file:{folder}"), "Trusted: yes\n");
    archive.run().assert_code(0);
    archive.assert_installed("2.30.1");
}
