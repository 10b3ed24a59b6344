//! A workstation that deploys to a guest over real ssh: Nix evaluates, builds and copies, and deploy-rs activates.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use xtask::base::program_file;

use crate::guest::Guest;
use crate::guest::card::{Lab, SYSTEM_1, command, folder_in_variable, lab, programs_variable, run, saved};
use crate::support::{Outcome, Sandbox};

/// The files of the flake.
const FLAKE_FILES: &[(&str, &str)] =
    &[("flake.nix", include_str!("flake/flake.nix")), ("copy.sh", include_str!("flake/copy.sh"))];

/// The busybox of the guest.
pub const BUSYBOX: &str = "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-busybox/bin/busybox";

/// A guest, and the flake of its workstation with the host `demo`.
pub struct Workstation {
    pub sandbox: Sandbox,
    pub guest: Guest,
}

impl Workstation {
    /// Continues the saved guest, and writes the flake.
    pub fn new() -> Self {
        let guest = Guest::restore(saved());
        let sandbox = Sandbox::new();
        let flake = sandbox.path("flake");
        for (name, text) in FLAKE_FILES {
            fs::write(flake.join(name), text).unwrap();
        }
        for folder in ["busybox", "programs", "system"] {
            fs::create_dir(flake.join(folder)).unwrap();
        }
        fs::copy(folder_in_variable(programs_variable()).join("bin/busybox"), flake.join("busybox/busybox"))
            .unwrap();
        copy_activate(&flake.join("programs"));
        let workstation = Self { sandbox, guest };
        workstation.configure_ssh();
        workstation.copy_system(&flake.join("system"));
        workstation
    }

    /// Copies the first system from the guest to `dir`.
    fn copy_system(&self, dir: &Path) {
        let archive = self.sandbox.path("system.tar");
        let output = fs::File::create(&archive).unwrap();
        let mut ssh = command(self.sandbox.path("bin/ssh").to_str().unwrap());
        ssh.args(["-p", &self.guest.port().to_string(), "root@127.0.0.1"]);
        let sent = ssh.arg(format!("{BUSYBOX} tar -cC {SYSTEM_1} .")).stdout(output).status().unwrap();
        assert!(sent.success());
        run("tar", &["-xf", archive.to_str().unwrap(), "-C", dir.to_str().unwrap()]);
    }

    /// Lets the tool, Nix and deploy-rs call an ssh that has a user's configuration.
    fn configure_ssh(&self) {
        let config = self.sandbox.path("ssh_config");
        let text = format!(
            "IdentityFile {}\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nHostKeyAlias guest\n\
             StrictHostKeyChecking yes\n",
            lab().key().display(),
            lab().known_hosts().display()
        );
        fs::write(&config, text).unwrap();
        self.sandbox.fake("ssh", &format!(r#"exec {} -F {} "$@""#, find_program("ssh"), config.display()));
    }

    /// Makes `name` the desired system: a copy of the first one, changed by the script `change`, in which `$s` is its
    /// folder.
    pub fn set_desired_system(&self, name: &str, change: &str) {
        let facts = json!({
            "platform": format!("{}-linux", std::env::consts::ARCH), "port": self.guest.port(),
            "name": name, "change": format!("echo {name} >$s/nixos-version\n{change}"),
        });
        fs::write(self.sandbox.path("flake/facts.json"), facts.to_string()).unwrap();
    }

    /// Runs the tool with `args` on the flake.
    pub fn run(&self, args: &[&str]) -> Outcome {
        let flake = self.sandbox.path("flake").display().to_string();
        self.sandbox.run(&[&["--flake", &flake], args].concat())
    }

    /// Runs `deploy demo ARGS --json`, and returns the result of the host.
    pub fn deploy(&self, args: &[&str]) -> Value {
        let outcome = self.run(&[&["--json", "deploy", "demo"], args].concat());
        outcome.json()["hosts"][0].take()
    }
}

/// The path of `program` on `PATH`.
fn find_program(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("{program} is not on PATH")).display().to_string()
}

/// Fills `dir` with the program `activate` of this machine, its loader and its libraries, and with an emulator where
/// the guest needs one.
fn copy_activate(dir: &Path) {
    let program = find_program("activate");
    for folder in ["bin", "lib"] {
        fs::create_dir(dir.join(folder)).unwrap();
    }
    let copy = |from: &Path, to: PathBuf| {
        fs::copy(from, &to).unwrap();
        fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    };
    copy(Path::new(&program), dir.join("activate"));
    if std::env::consts::ARCH != "aarch64" {
        copy(&Lab::parts().join("emulator/qemu-x86_64"), dir.join("emulator"));
    }
    let wrapper = dir.join("bin/activate");
    program_file::write(&wrapper, include_str!("flake/activate.sh"), 0o755).unwrap();
    let libraries = run("ldd", &[&program]);
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new) {
        copy(library, dir.join("lib").join(library.file_name().unwrap()));
    }
}
