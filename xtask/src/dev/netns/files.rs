//! The files of a host under /mnt: keys, the configurations of sshd and Nix, and a home.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::base::process::Launcher;
use crate::base::program_file;

/// The password `secret`, hashed by crypt(3).
const HASHED_PASSWORD: &str =
    "$6$xtask$IiSxD5/bdq7fkNwSo/y4kSNGsHqq/nVmim.yMe6Ot9sBrzxDoAW2nvn/627KKvJFCYP67JPeF8qsQQNfJJEsT/";

/// The script of the first process of a host.
const INIT: &str = include_str!("fixture/init.sh");

/// The name and the content of a file in `hosts/raspberry-pi/trial`.
macro_rules! trial_file {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../hosts/raspberry-pi/trial/", $name)))
    };
}

/// The files by which a host tries new systems, as on a Pi.
const TRIAL_FILES: &[(&str, &str)] = &[
    trial_file!("boot.cmd"),
    trial_file!("boot-script.sh"),
    trial_file!("fat.sh"),
    trial_file!("flag.sh"),
    trial_file!("install.sh"),
    trial_file!("menu.sh"),
    trial_file!("trial.sh"),
    trial_file!("trial-flag.sh"),
    trial_file!("wait.sh"),
];

/// The programs of a host with trials. `fsfreeze` and `sync` do nothing: no test cuts the power of such a host.
const TRIAL_PROGRAMS: &[(&str, &str)] = &[
    ("boot-trial", include_str!("fixture/boot-trial.sh")),
    ("fsfreeze", "#!/bin/sh\n"),
    ("menu-writer", include_str!("fixture/menu-writer.sh")),
    ("sync", "#!/bin/sh\n"),
    ("uboot", include_str!("fixture/uboot.sh")),
];

/// The text of `/etc/shadow`, where SECRET stands for the hashed password. Only root logs in, and `pi` on hosts with
/// sudo.
const SHADOW: &str = "root:*:20000:0:99999:7:::\nsshd:*:20000:0:99999:7:::\npi:SECRET:20000:0:99999:7:::\n";

/// The configuration of Nix on a host.
const NIX_CONF: &str = "build-users-group =\ntrusted-users = root pi\nsubstituters =\nsandbox = false\n\
                   experimental-features = nix-command flakes\n";

/// The fake `systemctl`, the only fake program of a host without trials: no service manager runs there. Its `reboot`
/// ends all connections; see init.sh.
const SYSTEMCTL: &str = "#!/bin/sh\ncase \"$*\" in\n  *reboot*) pkill -f /lib/trial.sh; pkill sshd ;;\n  list-jobs*) ;;\n  \
                         is-system-running*) echo running ;;\n  \
                         *) cat /mnt/failed-units ;;\nesac\n";

/// Makes the keys and writes the files of a host in `dir`, which the host sees as /mnt.
pub fn write_all(launcher: &Launcher, dir: &Path) -> Result<()> {
    for name in ["host_key", "client_key"] {
        let file = dir.join(name).display().to_string();
        launcher.read("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &file])?;
    }
    for name in ["home", "etc", "bin"] {
        let folder = dir.join(name);
        fs::create_dir(&folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let path = launcher.env("PATH").unwrap_or_default();
    let passwd = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    for (name, text, mode) in [
        ("sshd_config", sshd_config(&path.to_string_lossy()).as_str(), 0o644),
        ("etc/nix.conf", NIX_CONF, 0o644),
        ("shadow", &SHADOW.replace("SECRET", HASHED_PASSWORD), 0o600),
        ("passwd", &format!("{passwd}pi:x:4711:4711::/mnt/home:/bin/sh\n"), 0o644),
        ("boot-id", "", 0o644),
        ("hosts", "127.0.0.1 localhost target\n", 0o644),
        ("failed-units", "", 0o644),
    ] {
        write(&dir.join(name), text, mode)?;
    }
    program_file::write(&dir.join("bin/systemctl"), SYSTEMCTL, 0o755)?;
    program_file::write(&dir.join("init"), INIT, 0o755)
}

/// Writes the files by which a host tries new systems, in its folder `dir`. The host blesses its first
/// system; the deadline of a trial is 600 s.
pub fn add_trials(launcher: &Launcher, dir: &Path) -> Result<()> {
    let trial = dir.join("trial");
    for folder in ["checks", "firmware", "lib"] {
        fs::create_dir_all(trial.join(folder)).context("making the folders of trials")?;
    }
    for (name, text) in TRIAL_FILES {
        write(&trial.join("lib").join(name), text, 0o644)?;
    }
    let make = include_str!("fixture/make-trial.sh");
    launcher.in_dir(trial.join("lib")).read("sh", &["-c", make])?;
    for (name, text) in TRIAL_PROGRAMS {
        program_file::write(&dir.join("bin").join(name), text, 0o755)?;
    }
    write(&trial.join("within"), "600", 0o644)
}

/// Lets the user `pi`, with the password `secret`, become root by the sudo rule `rule`.
pub fn allow_sudo(dir: &Path, rule: &str) -> Result<()> {
    let text =
        format!("Defaults !env_reset, !secure_path, !lecture\nroot ALL=(ALL) NOPASSWD: ALL\npi {rule}\n");
    write(&dir.join("sudoers"), &text, 0o440)
}

/// Writes `text` to `file` with the permissions `mode`.
fn write(file: &Path, text: &str, mode: u32) -> Result<()> {
    let written =
        fs::write(file, text).and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(mode)));
    written.with_context(|| format!("writing {}", file.display()))
}

/// The configuration of sshd. The `PATH` of logins is the folder of the host's own programs, then `path`.
fn sshd_config(path: &str) -> String {
    format!(
        "Port 22\nPort 2222\nHostKey /mnt/host_key\nAuthorizedKeysFile /mnt/client_key.pub\nStrictModes no\nUsePAM no\n\
         PidFile none\nPermitRootLogin yes\n\
         SetEnv PATH=/mnt/bin:{path} HOME=/mnt/home NIX_CONF_DIR=/mnt/etc NIX_USER_CONF_FILES=/dev/null\n"
    )
}
