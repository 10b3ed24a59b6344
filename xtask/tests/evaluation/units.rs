//! systemd verifies the units of the evaluated host, those of its initrd and of the system itself: they have no cycle
//! and no unknown directive. The systemd, and the units that come with it, are Debian's.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

/// A unit of the configuration, or a drop-in of the configuration for a unit of a package.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unit {
    enable: bool,
    aliases: Vec<String>,
    wanted_by: Vec<String>,
    required_by: Vec<String>,
    upheld_by: Vec<String>,
    override_strategy: String,
    text: String,
}

/// The units of packages that cannot be built here, for which the configuration has drop-ins.
const NOT_BUILT: &[&str] = &[
    "dbus-broker.service",
    "lastlog2-import.service",
    "nix-daemon.service",
    "nix-daemon.socket",
    "systemd-importd.service",
    "systemd-makefs@.service",
    "systemd-mkswap@.service",
    "systemd-oomd.service",
    "systemd-timesyncd.service",
    "systemd-update-utmp.service",
];

/// The units that a generator makes, and only in a virtual machine.
const GENERATED: &[&str] = &["sshd-vsock.socket", "sshd-vsock@.service"];

/// The script that runs `systemd-analyze verify` in the root `$0` of Debian. `$1` is the folder that it sees as /tmp;
/// the units are in the folder `$2` there, and `$3` is a target.
const VERIFY: &str = r#"
set -e
mount --bind "$1" "$0/tmp"
exec chroot "$0" /bin/sh -c '
    cd "/tmp/$0"
    mkdir /tmp/mounts
    SYSTEMD_FSTAB=/tmp/fstab SYSTEMD_PROC_CMDLINE= /usr/lib/systemd/system-generators/systemd-fstab-generator \
        /tmp/mounts /tmp/mounts /tmp/mounts
    export SYSTEMD_UNIT_PATH=/tmp/$0:/tmp/mounts:/usr/lib/systemd/system
    for unit in *; do
        case $unit in *@.*) continue ;; esac
        # A masked unit is a link.
        [ ! -f "$unit" ] || set -- "$@" "/tmp/$0/$unit"
    done
    systemd-analyze verify --man=no --recursive-errors=yes "$@" 2>&1 || :' "$2" "$3"
"#;

/// A folder with the units of a host.
struct Units {
    dir: tempfile::TempDir,
    /// `initrd` or `system`.
    stage: &'static str,
    /// The units that stand for units of [`NOT_BUILT`].
    stand_ins: Vec<String>,
}

impl Units {
    /// The units of `stage` in the evaluated `facts`, written to a new folder.
    fn of_stage(facts: &Value, stage: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut units = Self { dir, stage, stand_ins: Vec::new() };
        fs::create_dir(units.folder()).unwrap();
        let mut fstab = "";
        // The mounts of the initrd are units of the configuration already.
        if stage == "system" {
            fstab = facts["units"]["fstab"].as_str().unwrap();
            units.write_trial_units();
        }
        fs::write(units.dir.path().join("fstab"), fstab).unwrap();
        let mut evaluated = BTreeMap::<String, Unit>::deserialize(&facts["units"][stage]).unwrap();
        evaluated.retain(|name, _| !GENERATED.contains(&name.as_str()));
        for (name, unit) in &evaluated {
            units.write(name, unit);
        }
        for (name, unit) in &evaluated {
            units.link(name, unit);
        }
        units
    }

    /// The folder with the units.
    fn folder(&self) -> PathBuf {
        self.dir.path().join(self.stage)
    }

    /// The path of the unit or the link `name`.
    fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes the units of the package with the trial. The build of that package only fills in programs.
    fn write_trial_units(&self) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hosts/raspberry-pi/trial/units");
        for unit in fs::read_dir(folder).unwrap() {
            let unit = unit.unwrap();
            let text = fs::read_to_string(unit.path()).unwrap();
            let text = text.replace("@boot-trial@", "/bin/true").replace("@dd@", "/bin/true");
            fs::write(self.path(unit.file_name().to_str().unwrap()), text).unwrap();
        }
    }

    /// Writes a unit, or a drop-in where a package has the unit, as nixpkgs does.
    fn write(&mut self, name: &str, unit: &Unit) {
        if !unit.enable {
            return symlink("/dev/null", self.path(name)).unwrap();
        }
        let template = name.split_once('@').map(|(start, _)| format!("{start}@.{}", kind_of(name)));
        let is_packaged = [Some(name), template.as_deref()].into_iter().flatten().any(|name| self.has(name));
        let is_drop_in = match unit.override_strategy.as_str() {
            "asDropin" => true,
            _ => is_packaged || NOT_BUILT.contains(&name),
        };
        if !is_drop_in {
            return fs::write(self.path(name), &unit.text).unwrap();
        }
        if !is_packaged {
            self.write_stand_in(name);
        }
        fs::create_dir_all(self.path(&format!("{name}.d"))).unwrap();
        fs::write(self.path(&format!("{name}.d/overrides.conf")), &unit.text).unwrap();
    }

    /// Whether a package of the host has the unit: that of the trial, whose units are written already, or one of
    /// Debian's packages, which stand for the others. The sshd of Debian is not that of the host.
    fn has(&self, name: &str) -> bool {
        let is_of_debian = || debian_root().join("usr/lib/systemd/system").join(name).exists();
        self.path(name).exists() || !name.starts_with("ssh") && is_of_debian()
    }

    /// Writes a unit that stands for the unit `name` of a package.
    fn write_stand_in(&mut self, name: &str) {
        let text = match kind_of(name) {
            "socket" => "[Socket]\nListenStream=/run/stand-in\n",
            _ => "[Service]\nExecStart=/bin/true\n",
        };
        fs::write(self.path(name), text).unwrap();
        self.stand_ins.push(name.to_owned());
    }

    /// Makes the links by which other units start the unit, and its aliases.
    fn link(&self, name: &str, unit: &Unit) {
        let links =
            [(&unit.wanted_by, "wants"), (&unit.required_by, "requires"), (&unit.upheld_by, "upholds")];
        for (targets, kind) in links {
            for target in targets {
                fs::create_dir_all(self.path(&format!("{target}.{kind}"))).unwrap();
                let _ = symlink(format!("../{name}"), self.path(&format!("{target}.{kind}/{name}")));
            }
        }
        for alias in &unit.aliases {
            let _ = symlink(name, self.path(alias));
        }
    }

    /// The complaints of systemd, without those about programs, which are not built.
    #[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
    fn complaints(&self) -> Vec<String> {
        let target = if self.stage == "initrd" { "initrd.target" } else { "multi-user.target" };
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", VERIFY])
            .args([debian_root().as_path(), self.dir.path()])
            .args([self.stage, target])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let is_complaint = |line: &&str| !line.ends_with("is not executable: No such file or directory");
        text.lines().filter(is_complaint).map(str::to_owned).collect()
    }
}

/// The kind of a unit, such as `service`.
fn kind_of(name: &str) -> &str {
    name.rsplit('.').next().unwrap()
}

/// The root folder of Debian.
fn debian_root() -> PathBuf {
    Path::new(&std::env::var_os("XTASK_GUEST").expect("XTASK_GUEST has to name the parts of a guest"))
        .join("root")
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn systemd_accepts_all_units_of_the_host() {
    for (stage, at_least) in [("initrd", 10), ("system", 80)] {
        let units = Units::of_stage(super::evaluate(), stage);
        let entries = fs::read_dir(units.folder()).unwrap().count();
        assert!(entries >= at_least, "{stage}: {entries} units, folders of units and links");
        let expected: &[&str] = if stage == "system" { NOT_BUILT } else { &[] };
        assert_eq!(units.stand_ins, expected, "{stage}");
        assert_eq!(units.complaints(), [""; 0], "{stage}");
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn systemd_names_a_cycle_and_an_unknown_directive() {
    let units = Units::of_stage(super::evaluate(), "system");
    let text = fs::read_to_string(units.path("boot-trial-begin.service")).unwrap();
    let text = text.replace("[Unit]\n", "[Unit]\nAfter=multi-user.target\nAftr=multi-user.target\n");
    fs::write(units.path("boot-trial-begin.service"), text).unwrap();
    let complaints = units.complaints().join("\n");
    assert!(complaints.contains("Found ordering cycle on"), "{complaints}");
    assert!(complaints.contains("Unknown key 'Aftr' in section [Unit]"), "{complaints}");
}
