//! A host in QEMU's machine `virt`, with its console, ssh, and a watchdog.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

pub mod card;
mod qmp;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::json;

use card::{Lab, SYSTEM_1, SYSTEM_2, command, lab, run};
use qmp::Qmp;

/// How long to wait for a guest: a deadline of a trial and two boots, where the machine is busy.
const LIMIT: Duration = Duration::from_secs(600);

/// A guest that was saved while it ran: its memory and its card.
pub struct Saved {
    state: PathBuf,
    pub card: PathBuf,
}

/// A running guest. Dropping it ends the emulator and removes its card.
pub struct Guest {
    child: Child,
    console: Arc<Console>,
    qmp: Mutex<Qmp>,
    port: u16,
    card: tempfile::TempPath,
    _socket: tempfile::TempDir,
}

/// The lines of a console.
#[derive(Default)]
struct Console {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Guest {
    /// Boots a copy of `card`.
    pub fn power_on(card: &Path) -> Self {
        Self::start(card, None, &[])
    }

    /// Boots a copy of `card`, and waits until sshd answers.
    pub fn boot(card: &Path) -> Self {
        let guest = Self::power_on(card);
        guest.wait_for_ssh();
        guest
    }

    /// Continues a copy of the guest of `saved`.
    pub fn restore(saved: &Saved) -> Self {
        Self::restore_with(saved, None)
    }

    /// Continues a copy of the guest of `saved`, and records all writes to its card in the file `record`.
    pub fn restore_recorded(saved: &Saved, record: &Path) -> Self {
        Self::restore_with(saved, Some(record))
    }

    fn restore_with(saved: &Saved, record: Option<&Path>) -> Self {
        let incoming = format!("exec:cat '{}'", saved.state.display());
        let guest = Self::start(&saved.card, record, &["-incoming", &incoming]);
        guest.qmp.lock().unwrap().resume();
        // Its clock has stopped with it.
        let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
        guest.run(&format!("date -s @{now}"));
        guest
    }

    fn start(card: &Path, record: Option<&Path>, more: &[&str]) -> Self {
        let copy = tempfile::NamedTempFile::new_in(lab().path("")).unwrap().into_temp_path();
        run("cp", &["--sparse=always", card.to_str().unwrap(), copy.to_str().unwrap()]);
        let socket = tempfile::tempdir().unwrap();
        let qmp = socket.path().join("qmp");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = command("qemu-system-aarch64")
            .args(["-M", "virt,gic-version=3", "-cpu", "max,pauth=off,sve=off", "-smp", "1", "-m", "512M"])
            // With a small cache of translated code a reboot does not wait for the invalidation of all of it.
            .args(["-accel", "tcg,tb-size=48"])
            .arg("-bios")
            .arg(Lab::parts().join("emulator/u-boot.bin"))
            .arg("-drive")
            .arg(drive(&copy, record))
            .args(["-device", "virtio-blk-pci,drive=card"])
            .arg("-netdev")
            .arg(format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22"))
            .args(["-device", "virtio-net-pci,netdev=net,romfile="])
            .args(["-device", "i6300esb", "-action", "watchdog=reset"])
            .args(["-serial", "stdio", "-display", "none", "-monitor", "none"])
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", qmp.display()))
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let console = Arc::new(Console::default());
        let (output, filled) = (child.stdout.take().unwrap(), Arc::clone(&console));
        std::thread::spawn(move || filled.fill(BufReader::new(output)));
        Self { qmp: Mutex::new(Qmp::connect(&qmp)), child, console, port, card: copy, _socket: socket }
    }

    /// Saves the guest, and ends it.
    pub fn save(self, dir: &Path) -> Saved {
        fs::create_dir(dir).unwrap();
        let saved = Saved { state: dir.join("state"), card: dir.join("card.img") };
        self.run("sync");
        self.qmp.lock().unwrap().save(&saved.state);
        self.qmp.lock().unwrap().execute("quit", &json!({}));
        run("cp", &["--sparse=always", self.card.to_str().unwrap(), saved.card.to_str().unwrap()]);
        saved
    }

    /// Ends the guest, whose writes are on its card then.
    pub fn quit(mut self) {
        self.qmp.lock().unwrap().execute("quit", &json!({}));
        self.child.wait().unwrap();
    }

    /// Runs `script` as root by ssh, and returns its exit code and its output.
    pub fn try_run(&self, script: &str) -> (Option<i32>, String) {
        let script = format!("PATH=$(echo /nix/store/t*-boot-trial)/bin:$PATH; {script}");
        self.ssh("guest", &lab().known_hosts(), &lab().key(), &script)
    }

    /// Runs `script` as root by ssh with the private key `user`; `known_hosts` must have the host key, as that of `name`.
    /// Returns the exit code and the output.
    pub fn ssh(&self, name: &str, known_hosts: &Path, user: &Path, script: &str) -> (Option<i32>, String) {
        let output = command("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR"])
            .args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6"])
            .args(["-o", "GlobalKnownHostsFile=none", "-o", "IdentitiesOnly=yes"])
            .args(["-o", &format!("HostKeyAlias={name}")])
            .args(["-o", &format!("UserKnownHostsFile={}", known_hosts.display())])
            .arg("-i")
            .arg(user)
            .args(["-p", &self.port.to_string(), "root@127.0.0.1", script])
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The output of `script`, which must succeed.
    #[track_caller]
    pub fn run(&self, script: &str) -> String {
        let (code, output) = self.try_run(script);
        assert_eq!(code, Some(0), "{script}: {output}\n{}", self.excerpt());
        output
    }

    /// What `boot-trial status` prints.
    #[track_caller]
    pub fn status(&self) -> BTreeMap<String, String> {
        let output = self.run("boot-trial status");
        let pairs = output.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Installs the second system, a copy of the first that `change` makes another; `$s` is its folder.
    #[track_caller]
    pub fn install(&self, change: &str) {
        self.run(&format!(
            "set -e; s={SYSTEM_2}; cp -a {SYSTEM_1} $s; chmod -R u+w $s; echo 2 >$s/nixos-version; {change}
             ln -s $s /nix/var/nix/profiles/system-2-link; ln -sfn system-2-link /nix/var/nix/profiles/system
             boot-trial install $s"
        ));
    }

    /// Reboots into `system`, and waits until sshd answers.
    #[track_caller]
    pub fn reboot_into(&self, system: &str) {
        let from = self.begin_reboot();
        self.wait_for_boot_of(system, from);
        self.wait_for_ssh();
    }

    /// Lets the guest reboot, and returns the number of lines on its console before.
    pub fn begin_reboot(&self) -> usize {
        let from = self.console.lines.lock().unwrap().len();
        let _ = self.try_run("systemctl --no-block reboot");
        from
    }

    /// Waits until U-Boot starts `system`, which it has not before line `from`; returns the number of the next line.
    #[track_caller]
    pub fn wait_for_boot_of(&self, system: &str, from: usize) -> usize {
        self.wait_for_line(&format!("append: init={system}/init"), from)
    }

    /// Waits until the console has printed `text`, which it has not before line `from`; returns the number of the next line.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str, from: usize) -> usize {
        let end = Instant::now() + LIMIT;
        let mut lines = self.console.lines.lock().unwrap();
        loop {
            if let Some(at) = lines.iter().skip(from).position(|line| line.contains(text)) {
                return from + at + 1;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no \"{text}\" on the console\n{}", excerpt(&lines));
            lines = self.console.changed.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Line `number` of the console.
    pub fn line(&self, number: usize) -> String {
        self.console.lines.lock().unwrap()[number].clone()
    }

    /// Waits until `command` succeeds. Each attempt costs the guest a second.
    #[track_caller]
    pub fn wait_until(&self, command: &str) {
        let end = Instant::now() + LIMIT;
        while self.try_run(command).0 != Some(0) {
            assert!(Instant::now() < end, "{command} does not succeed\n{}", self.excerpt());
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Waits until sshd sends its first line.
    #[track_caller]
    pub fn wait_for_ssh(&self) {
        let end = Instant::now() + LIMIT;
        while self.ssh_banner().is_err() {
            assert!(Instant::now() < end, "sshd does not answer\n{}", self.excerpt());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn ssh_banner(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.read_exact(&mut [0; 4])
    }

    fn excerpt(&self) -> String {
        excerpt(&self.console.lines.lock().unwrap())
    }
}

/// The drive with the file `card`. Only a recorded one passes on what the guest flushes.
fn drive(card: &Path, record: Option<&Path>) -> String {
    let card = card.display();
    match record {
        None => format!("file={card},if=none,id=card,format=raw,cache=unsafe"),
        Some(record) => {
            fs::write(record, "").unwrap();
            format!(
                "driver=blklogwrites,if=none,id=card,cache=writeback,file.driver=raw,file.file.driver=file,\
                 file.file.filename={card},log.driver=file,log.filename={},log-sector-size=512",
                record.display()
            )
        }
    }
}

/// The last of `lines`.
fn excerpt(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(25)..].join("\n")
}

impl Console {
    fn fill(&self, mut output: impl std::io::BufRead) {
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.lines.lock().unwrap().push(text);
            self.changed.notify_all();
            line.clear();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It has ended where it was saved.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
