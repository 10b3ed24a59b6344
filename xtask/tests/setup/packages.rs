//! The packages that `setup` installs, by the real apt, on a machine that has a package which does not go with one of
//! them.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Outcome, Sandbox, sha256};
use crate::{arch, write_lists};

/// A machine that lacks git and an ssh client, and has the package `mine`, with an archive that has both.
struct Machine {
    sandbox: Sandbox,
}

impl Machine {
    /// In the archive, git has these `relations` to other packages.
    fn new(relations: &str) -> Self {
        let mut sandbox = Sandbox::with_fakes_only();
        let path = std::env::var_os("PATH").expect("PATH is set");
        for program in ["apt-get", "env"] {
            let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists());
            symlink(found.expect(program), sandbox.path("bin").join(program)).expect("linking a program");
        }
        sandbox.fake("sudo", "[ \"$1\" = -n ] && shift; exec \"$@\"");
        for program in ["debugfs", "e2fsck", "e2image", "ssh-keygen", "deploy", "activate", "dpkg"] {
            sandbox.fake(program, "exit 0");
        }
        sandbox.fake("nix", "echo 'nix (Nix) 2.30.0'");
        let config = sandbox.path("apt.conf");
        sandbox.env("APT_CONFIG", &config);
        let machine = Self { sandbox };
        machine.write_archive(relations);
        fs::write(config, machine.config()).expect("writing the settings of apt");
        machine
    }

    /// The settings of apt: it reads and writes only folders of the test.
    fn config(&self) -> String {
        let folder = self.sandbox.path("apt");
        for part in ["etc/sources.list.d", "state/lists/partial", "cache/archives/partial", "log"] {
            fs::create_dir_all(folder.join(part)).expect("making a folder");
        }
        let installed = format!(
            "Package: mine\nStatus: install ok installed\nVersion: 1\nArchitecture: {}\nMaintainer: me\n\
             Description: mine\n",
            arch().0
        );
        fs::write(folder.join("state/status"), installed).expect("writing what is installed");
        let source =
            format!("deb [trusted=yes] file:{} trixie main\n", self.sandbox.path("mirror").display());
        fs::write(folder.join("etc/sources.list"), source).expect("writing a source");
        let folder = folder.display();
        format!(
            "Dir::Etc \"{folder}/etc\"; Dir::State \"{folder}/state\"; Dir::State::status \"{folder}/state/status\";\n\
             Dir::Cache \"{folder}/cache\"; Dir::Log \"{folder}/log\"; APT::Sandbox::User \"\";\n\
             Dir::Bin::dpkg \"{}\";\n",
            self.sandbox.path("bin/dpkg").display()
        )
    }

    fn write_archive(&self, relations: &str) {
        let packages =
            [("git", relations), ("openssh-client", ""), ("qemu-user-static", ""), ("ca-certificates", "")];
        let entries = packages.map(|(name, relations)| {
            let file = format!("pool/{name}.deb");
            let deb = self.sandbox.path("mirror").join(&file);
            fs::create_dir_all(deb.parent().expect("a folder")).expect("making a folder");
            fs::write(&deb, name).expect("writing a package");
            format!(
                "Package: {name}\nVersion: 1\nArchitecture: {}\nFilename: {file}\nSize: {}\nSHA256: {}\n\
                 {relations}Description: of a test\n\n",
                arch().0,
                name.len(),
                sha256(name.as_bytes())
            )
        });
        write_lists(&self.sandbox, &entries.concat());
    }

    fn setup(&self) -> Outcome {
        self.sandbox.run(&["setup", "--yes"])
    }

    /// Whether apt gave dpkg the package `name`.
    fn is_unpacked(&self, name: &str) -> bool {
        let file = format!("/{name}.deb");
        self.sandbox.calls("dpkg").iter().flatten().any(|word| word.ends_with(&file))
    }
}

const REMOVED: &str = "git was not installed: apt would remove mine for it";

#[test]
#[ignore = "needs apt: run `cargo xtask test`"]
fn no_package_of_the_machine_is_removed_for_another() {
    for relations in ["Conflicts: mine\n", "Breaks: mine (<< 2)\n"] {
        let machine = Machine::new(relations);
        let outcome = machine.setup();
        outcome.assert_stderr_contains(REMOVED).assert_stderr_contains("`sudo apt-get install git`");
        assert!(!machine.is_unpacked("git") && machine.is_unpacked("openssh-client"), "{}", outcome.stderr);
    }
}

#[test]
#[ignore = "needs apt: run `cargo xtask test`"]
fn packages_that_go_with_those_of_the_machine_are_installed() {
    let machine = Machine::new("Breaks: mine (<< 1)\n");
    let outcome = machine.setup();
    assert!(machine.is_unpacked("git") && machine.is_unpacked("openssh-client"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains(REMOVED), "{}", outcome.stderr);
}
