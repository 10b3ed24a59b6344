//! Units and scripts of the evaluated host for a guest with Debian: their texts are those of the evaluation, and their
//! programs are links to Debian's.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use xtask::base::program_file;

/// The packages whose programs are replaced by Debian's.
const PACKAGES_OF_DEBIAN: &[&str] = &[
    "bash",
    "coreutils",
    "e2fsprogs",
    "findutils",
    "glibc-locales",
    "gnugrep",
    "gnused",
    "systemd",
    "tzdata",
    "util-linux",
];

/// A folder with the paths for /nix/store of the guest.
pub struct Ported {
    dir: tempfile::TempDir,
    /// The derivations whose outputs are in the folder.
    ported: BTreeSet<String>,
}

impl Ported {
    /// Makes the outputs of the derivations in `facts`, which are those of [`super::evaluate`].
    pub fn new(facts: &Value) -> Self {
        let mut ported = Self { dir: tempfile::tempdir().unwrap(), ported: BTreeSet::new() };
        for drv in facts["boot"]["derivations"].as_array().unwrap() {
            ported.port(drv.as_str().unwrap());
        }
        ported
    }

    /// The shell command that unpacks the files in the current folder.
    pub fn unpack_command(&self) -> String {
        let packed =
            stdout_of("sh", &["-c", "tar -C \"$0\" -cz . | base64 -w 0", self.dir.path().to_str().unwrap()]);
        format!("echo {packed} | base64 -d | /nix/store/b*-busybox/bin/busybox tar -xz")
    }

    /// Makes the output of a derivation, and those of the derivations that its script names.
    fn port(&mut self, drv: &str) {
        if !self.ported.insert(drv.to_owned()) {
            return;
        }
        let shown =
            stdout_of("nix", &["--extra-experimental-features", "nix-command", "derivation", "show", drv]);
        let shown = &serde_json::from_str::<Value>(&shown).unwrap()[drv];
        let mut outs =
            shown["outputs"].as_object().unwrap().values().map(|out| out["path"].as_str().unwrap());
        let name = shown["name"].as_str().unwrap();
        if PACKAGES_OF_DEBIAN
            .iter()
            .any(|package| name == *package || name.starts_with(&format!("{package}-")))
        {
            return outs.for_each(|out| self.link_programs(out));
        }
        let out = outs.next_back().unwrap();
        let text = script(&shown["env"]);
        self.write(&format!("{out}{}", shown["env"]["destination"].as_str().unwrap_or_default()), &text);
        for source in shown["inputSrcs"].as_array().unwrap().iter().filter_map(Value::as_str) {
            if text.contains(source) {
                self.write(source, &fs::read_to_string(source).unwrap());
            }
        }
        // The guest needs only the inputs that the script names; the others were for its build.
        for input in shown["inputDrvs"].as_object().unwrap().keys() {
            // The name follows a hash of 32 characters and a dash.
            let name = &input["/nix/store/".len() + 33..input.len() - ".drv".len()];
            if text.contains(&format!("-{name}")) {
                self.port(input);
            }
        }
    }

    /// The path of `store_path` in the folder, whose parents are created.
    fn path(&self, store_path: &str) -> PathBuf {
        let path = self.dir.path().join(store_path.strip_prefix("/nix/store/").unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// Writes `text` to an executable file.
    fn write(&self, store_path: &str, text: &str) {
        let path = self.path(store_path);
        program_file::write(&path, text, 0o755).unwrap();
    }

    /// Makes the folders of a package links to those of Debian.
    fn link_programs(&self, out: &str) {
        for folder in ["bin", "sbin", "lib", "share"] {
            symlink(format!("/usr/{folder}"), self.path(&format!("{out}/{folder}"))).unwrap();
        }
    }
}

/// The script that a derivation makes: its text, or the file that it copies.
fn script(env: &Value) -> String {
    if let Some(text) = env["text"].as_str() {
        return text.to_owned();
    }
    let build = env["buildCommand"].as_str().unwrap();
    let source =
        build.trim().strip_prefix("cp ").and_then(|rest| rest.split_once(" $out\npatchShebangs $out"));
    let source = source.unwrap_or_else(|| panic!("no copy of a script: {build}")).0;
    fs::read_to_string(source).unwrap().replacen("#!/usr/bin/env bash", "#!/usr/bin/bash", 1)
}

/// Runs `program`, asserts that it succeeds, and returns its stdout.
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn stdout_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A shell script that writes the units `names` of the evaluated system to the folder `$u`, with the links that start
/// them.
pub fn write_units(facts: &Value, names: &[&str]) -> String {
    let write = |name: &&str| {
        let unit = &facts["units"]["system"][name];
        let text = unit["text"].as_str().unwrap();
        let file = format!("cat >\"$u/\"'{name}' <<'END_OF_UNIT'\n{text}\nEND_OF_UNIT\n");
        let targets = unit["wantedBy"].as_array().unwrap().iter().map(|target| target.as_str().unwrap());
        let links = targets
            .map(|target| format!("mkdir -p $u/{target}.wants; ln -s '../{name}' $u/{target}.wants/\n"));
        [file].into_iter().chain(links).collect::<String>()
    };
    names.iter().map(write).collect()
}
