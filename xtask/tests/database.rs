//! A real Nix uses the store of an image as its own: the store is complete and undamaged, and a garbage collection
//! keeps the system.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A system with a library, and a path that nothing needs. The shell of this machine builds them, without a sandbox.
const CLOSURE: &str = r#"
let
  make = name: script: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
    args = [ "-c" script ];
  };
  library = make "library" "mkdir $out && echo shared >$out/data";
in
{
  system = make "demo-system" ''
    mkdir -p $out/bin
    printf '#!/bin/sh\necho %s\n' ${library}/data >$out/init
    chmod +x $out/init
    ln -s ${library} $out/library
    ln -s ../init $out/bin/start
  '';
  unused = make "unused" "echo nothing needs this >$out";
}
"#;

/// The environment of every program: a fixed time and language, and neither the `NIX_REMOTE` nor the
/// `NIXPKGS_ALLOW_UNFREE` of the caller.
const ENV: &[(&str, &str)] =
    &[("LC_ALL", "C"), ("SOURCE_DATE_EPOCH", "1"), ("NIX_REMOTE", ""), ("NIXPKGS_ALLOW_UNFREE", "")];

/// Runs `program` and returns its stdout. An exit code other than 0 fails the test.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn stdout_of(program: &str, args: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = Command::new(program);
    let output = command.args(args).envs(ENV.iter().copied()).envs(env.iter().copied()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}:\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// The lines of `text`, sorted.
fn sorted_lines(text: &str) -> Vec<String> {
    let mut lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
    lines.sort();
    lines
}

/// An image made by the scripts of the hosts, and the content of its `NIXOS_SD`.
struct Image {
    dir: tempfile::TempDir,
    /// The store path of the system.
    system: String,
    /// The store path that nothing needs.
    unused: String,
    /// The store paths that the system needs, itself among them.
    needed: Vec<String>,
}

impl Image {
    /// Makes an image whose database has the store paths `registered`.
    fn make(registered: Registered) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let build = |name: &str| {
            // A sandbox would hide the shell of this machine, and without a sandbox builds get no users of their own.
            let settings =
                ["substitute", "sandbox", "auto-allocate-uids"].map(|name| ["--option", name, "false"]);
            let args = [&["--no-out-link"], settings.as_flattened(), &["-E", CLOSURE, "-A", name]].concat();
            stdout_of("nix-build", &args, &[]).trim().to_owned()
        };
        let system = build("system");
        let unused = build("unused");
        let needed = sorted_lines(&stdout_of("nix-store", &["--query", "--requisites", &system], &[]));
        let image = Self { dir, system, unused, needed };
        image.assemble(registered);
        image.extract_root();
        image
    }

    /// The path of `name` in the folder of the image.
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The path of `name` as text.
    fn path_text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// All store paths of the image, sorted.
    fn all_paths(&self) -> Vec<String> {
        let mut all = self.needed.clone();
        all.push(self.unused.clone());
        all.sort();
        all
    }

    /// Runs the scripts that make the image.
    fn assemble(&self, registered: Registered) {
        let all = self.all_paths();
        let dump = || {
            let args = ["--dump-db"].into_iter().chain(all.iter().map(String::as_str)).collect::<Vec<_>>();
            stdout_of("nix-store", &args, &[])
        };
        let registration = if registered == Registered::All { dump() } else { String::new() };
        fs::write(self.path("registration"), registration).unwrap();
        fs::write(self.path("paths"), all.join("\n")).unwrap();
        fs::create_dir_all(self.path("root/nix")).unwrap();
        fs::create_dir(self.path("firmware")).unwrap();
        fs::write(self.path("firmware/config.txt"), "arm_64bit=1\n").unwrap();
        let files = ["root/nix", "registration", "paths", "firmware", "x.img.zst", "home"];
        let [root, registration, paths, firmware, out, home] = files.map(|name| self.path_text(name));
        let env = [
            ("ROOT_TREE", root.as_str()),
            ("TOPLEVEL", &self.system),
            ("REGISTRATION", &registration),
            ("STORE_PATHS", &paths),
            ("FIRMWARE_TREE", &firmware),
            ("FIRMWARE_MIB", "40"),
            ("HEADROOM_MIB", "8"),
            ("ROOT_UUID", "44444444-4444-4444-8888-888888888888"),
            ("OUT", &out),
            ("HOME", &home),
        ];
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hosts/raspberry-pi/sd-image");
        for script in ["prepare.sh", "assembler/assemble.sh"] {
            stdout_of("sh", &[scripts.join(script).to_str().unwrap()], &env);
        }
    }

    /// Copies the content of `NIXOS_SD` from the image to the folder `nix`.
    fn extract_root(&self) {
        let compressed = self.path_text("x.img.zst");
        let disk = self.path_text("x.img");
        stdout_of("zstd", &["-q", "-d", "-o", &disk, &compressed], &[]);
        fs::create_dir(self.path("nix")).unwrap();
        let request = format!("rdump / {}", self.path_text("nix"));
        // NIXOS_SD is behind the 8 MiB of the partition table and the 40 MiB of FIRMWARE.
        stdout_of("debugfs", &["-R", &request, &format!("{disk}?offset={}", 48 << 20)], &[]);
    }

    /// Runs `script` where the folder `nix` is mounted at /nix, as on the host, and returns its stdout.
    #[track_caller]
    fn run_on_host(&self, script: &str) -> String {
        let script = format!("set -e; mount --bind \"$0\" /nix; {script}");
        let args = ["--user", "--map-root-user", "--mount", "sh", "-c", &script];
        stdout_of(
            "unshare",
            &[&args[..], &[&self.path_text("nix")]].concat(),
            &[("HOME", &self.path_text("home"))],
        )
    }

    /// The store paths that are in the folder `nix`, sorted.
    fn stored_paths(&self) -> Vec<String> {
        let names = self.path("nix/store").read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap()).filter(|name| !name.starts_with('.'));
        let mut paths = names.map(|name| format!("/nix/store/{name}")).collect::<Vec<_>>();
        paths.sort();
        paths
    }
}

/// Which store paths are registered in the database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Registered {
    All,
    None,
}

#[test]
#[ignore = "needs Nix, the tools of the assembler and mount namespaces: run `cargo xtask test`"]
fn the_store_is_complete_undamaged_and_registered_at_a_fixed_time() {
    let image = Image::make(Registered::All);
    let database = image.path_text("nix/var/nix/db/db.sqlite");
    let known = stdout_of("sqlite3", &[&database, "SELECT path FROM ValidPaths"], &[]);
    assert_eq!(sorted_lines(&known), image.all_paths());
    assert_eq!(image.stored_paths(), image.all_paths());
    let times = stdout_of("sqlite3", &[&database, "SELECT DISTINCT registrationTime FROM ValidPaths"], &[]);
    assert_eq!(times, "1\n");
    image.run_on_host("nix-store --verify --check-contents 2>&1");
    let profile = image.run_on_host("nix-store --query --requisites /nix/var/nix/profiles/system");
    assert_eq!(sorted_lines(&profile), image.needed);
}

#[test]
#[ignore = "needs Nix, the tools of the assembler and mount namespaces: run `cargo xtask test`"]
fn damage_to_a_store_path_is_found() {
    let image = Image::make(Registered::All);
    let init = image.path("nix").join(image.system.trim_start_matches("/nix/")).join("init");
    fs::remove_file(&init).unwrap();
    let output = image.run_on_host("! nix-store --verify --check-contents 2>&1");
    assert!(output.contains(&format!("path '{}' was modified!", image.system)), "{output}");
}

#[test]
#[ignore = "needs Nix, the tools of the assembler and mount namespaces: run `cargo xtask test`"]
fn a_garbage_collection_keeps_the_system() {
    let image = Image::make(Registered::All);
    image.run_on_host("nix-store --gc 2>&1");
    assert_eq!(image.stored_paths(), image.needed);
    image.run_on_host("nix-store --verify --check-contents 2>&1");
    let script = format!("sh {}/bin/start", image.system);
    assert!(image.run_on_host(&script).ends_with("-library/data\n"));
}

#[test]
#[ignore = "needs Nix, the tools of the assembler and mount namespaces: run `cargo xtask test`"]
fn without_a_database_a_garbage_collection_deletes_the_system() {
    let image = Image::make(Registered::None);
    image.run_on_host("nix-store --gc 2>&1");
    assert_eq!(image.stored_paths(), [""; 0]);
}

/// The function `keep_from_garbage` of the trial scripts keeps the blessed system and the system on trial.
#[test]
#[ignore = "needs Nix, the tools of the assembler and mount namespaces: run `cargo xtask test`"]
fn a_garbage_collection_keeps_the_system_on_trial_until_another_replaces_it() {
    let image = Image::make(Registered::All);
    let trial = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hosts/raspberry-pi/trial/trial.sh");
    let keep = format!(
        "eval \"$(sed -n '/^keep_from_garbage()/,/^}}/p' {})\"; gcroots=/nix/var/nix/gcroots; keep_from_garbage trial",
        trial.display()
    );
    image.run_on_host(&format!("{keep} {}; nix-store --gc 2>&1", image.unused));
    assert_eq!(image.stored_paths(), image.all_paths());
    image.run_on_host(&format!("{keep} {}; nix-store --gc 2>&1", image.system));
    assert_eq!(image.stored_paths(), image.needed);
}
