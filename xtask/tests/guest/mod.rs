//! A host in QEMU: in the machine `virt`, with its console, ssh, and a watchdog, or on a Pi 3, which has no network.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

pub mod card;
mod console;
pub mod emulator;
pub mod fault;
mod qmp;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use card::{SYSTEM_1, SYSTEM_2, command, lab, run};
use console::Console;
use qmp::Qmp;

/// The time limit of each wait for a guest: a deadline of a trial and two boots, on a busy machine.
const WAIT_TIMEOUT: Duration = Duration::from_secs(600);

/// A guest that was saved while it ran: its memory and its card.
pub struct SavedGuest {
    /// The file with the state of the guest.
    state: PathBuf,
    pub card: PathBuf,
}

/// A running guest. Dropping this value ends the emulator and removes the card of the guest.
pub struct Guest {
    child: Child,
    console: Arc<Console>,
    qmp: Mutex<Qmp>,
    /// The port of 127.0.0.1 that leads to the sshd of the guest.
    port: u16,
    card: tempfile::TempPath,
    _socket: tempfile::TempDir,
}

impl Guest {
    /// Boots a copy of `card`.
    pub fn power_on(card: &Path) -> Self {
        Self::start(card, |card, port| emulator::virt(card, None, port))
    }

    /// Boots a copy of `card` on a Pi 3, and records all writes to it in the file `record`. The Pi has no network.
    pub fn power_on_pi_3(card: &Path, record: Option<&Path>) -> Self {
        Self::start(card, |card, _| emulator::pi_3(card, record))
    }

    /// Boots a copy of `card`, and waits until sshd answers.
    pub fn boot(card: &Path) -> Self {
        let guest = Self::power_on(card);
        guest.wait_for_ssh();
        guest
    }

    /// Continues a copy of the guest of `saved`.
    pub fn restore(saved: &SavedGuest) -> Self {
        Self::restore_with(saved, None)
    }

    /// Continues a copy of the guest of `saved`, and records all writes to its card in the file `record`.
    pub fn restore_recorded(saved: &SavedGuest, record: &Path) -> Self {
        Self::restore_with(saved, Some(record))
    }

    /// Continues a copy of the guest of `saved`, and records the writes to its card in the file `record`, if one is
    /// named.
    fn restore_with(saved: &SavedGuest, record: Option<&Path>) -> Self {
        let incoming = format!("exec:cat '{}'", saved.state.display());
        let guest = Self::start(&saved.card, |card, port| {
            let mut command = emulator::virt(card, record, port);
            command.args(["-incoming", &incoming]);
            command
        });
        guest.qmp.lock().unwrap().resume();
        // The clock of the guest has stopped with the guest.
        let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
        guest.run(&format!("date -s @{now}"));
        guest
    }

    /// Starts `emulator`, a command that gets a copy of `card` and a free port.
    fn start(card: &Path, emulator: impl FnOnce(&Path, u16) -> Command) -> Self {
        let copy = lab().new_file();
        run("cp", &["--sparse=always", card.to_str().unwrap(), copy.to_str().unwrap()]);
        let socket = tempfile::tempdir().unwrap();
        let qmp = socket.path().join("qmp");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = emulator(&copy, port)
            .args(["-display", "none", "-monitor", "none"])
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", qmp.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let console = Arc::new(Console::default());
        let output = child.stdout.take().unwrap();
        let console_of_thread = Arc::clone(&console);
        std::thread::spawn(move || console_of_thread.fill(BufReader::new(output)));
        Self { qmp: Mutex::new(Qmp::connect(&qmp)), child, console, port, card: copy, _socket: socket }
    }

    /// Saves the guest in the new folder `dir`, and ends it.
    pub fn save(mut self, dir: &Path) -> SavedGuest {
        fs::create_dir(dir).unwrap();
        let saved = SavedGuest { state: dir.join("state"), card: dir.join("card.img") };
        self.run("sync");
        self.qmp.lock().unwrap().save(&saved.state);
        self.end();
        run("cp", &["--sparse=always", self.card.to_str().unwrap(), saved.card.to_str().unwrap()]);
        saved
    }

    /// Syncs the guest, then ends it as a power cut would. Returns the path of a copy of its card, the file `name` of
    /// the lab.
    pub fn into_card(mut self, name: &str) -> PathBuf {
        let path = lab().path(name);
        self.run("sync");
        self.end();
        run("cp", &["--sparse=always", self.card.to_str().unwrap(), path.to_str().unwrap()]);
        path
    }

    /// Ends the guest. All its writes are then on its card.
    pub fn quit(mut self) {
        self.end();
    }

    /// Ends the emulator, and waits for its end. One that has crashed fails the test.
    fn end(&mut self) {
        self.qmp.lock().unwrap().quit();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "QEMU: {status}\n{}", self.excerpt());
    }

    /// The port of 127.0.0.1 that leads to the sshd of the guest.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs `script` as root by ssh, and returns its exit code and its output.
    pub fn try_run(&self, script: &str) -> (Option<i32>, String) {
        let script = format!("PATH=$(echo /nix/store/t*-boot-trial)/bin:$PATH; {script}");
        self.ssh("guest", &lab().known_hosts(), &lab().key(), &script)
    }

    /// Runs `script` as root by ssh with the private key `user_key`. `known_hosts` must have the host key as that of
    /// `name`. Returns the exit code and the output.
    pub fn ssh(
        &self,
        name: &str,
        known_hosts: &Path,
        user_key: &Path,
        script: &str,
    ) -> (Option<i32>, String) {
        let output = command("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR"])
            .args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6"])
            .args(["-o", "GlobalKnownHostsFile=none", "-o", "IdentitiesOnly=yes"])
            .args(["-o", &format!("HostKeyAlias={name}")])
            .args(["-o", &format!("UserKnownHostsFile={}", known_hosts.display())])
            .arg("-i")
            .arg(user_key)
            .args(["-p", &self.port.to_string(), "root@127.0.0.1", script])
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs `script` as root by ssh, asserts that it succeeds, and returns its output.
    #[track_caller]
    pub fn run(&self, script: &str) -> String {
        let (code, output) = self.try_run(script);
        assert_eq!(code, Some(0), "{script}: {output}\n{}", self.excerpt());
        output
    }

    /// The names and the values that `boot-trial status` prints.
    #[track_caller]
    pub fn status(&self) -> BTreeMap<String, String> {
        let output = self.run("boot-trial status");
        let pairs = output.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Installs the second system: a copy of the first one, changed by the script `change`, in which `$s` is its
    /// folder.
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

    /// Starts a reboot, and returns the number of lines that the console had before.
    pub fn begin_reboot(&self) -> usize {
        let from = self.console.len();
        let _ = self.try_run("systemctl --no-block reboot");
        from
    }

    /// Waits until U-Boot starts `system`, from line `from` of the console on. Returns the number of the next line.
    #[track_caller]
    pub fn wait_for_boot_of(&self, system: &str, from: usize) -> usize {
        self.wait_for_line(&format!("append: init={system}/init"), from)
    }

    /// Waits until the console prints `text`, from line `from` on. Returns the number of the next line.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str, from: usize) -> usize {
        self.console.wait_for(text, from, WAIT_TIMEOUT)
    }

    /// Line `number` of the console.
    pub fn line(&self, number: usize) -> String {
        self.console.line(number)
    }

    /// Waits until `command` succeeds. Each attempt costs the guest a second.
    #[track_caller]
    pub fn wait_until(&self, command: &str) {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        while self.try_run(command).0 != Some(0) {
            assert!(Instant::now() < deadline, "{command} does not succeed\n{}", self.excerpt());
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Waits until sshd sends its first line.
    #[track_caller]
    pub fn wait_for_ssh(&self) {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        while self.read_ssh_banner().is_err() {
            assert!(Instant::now() < deadline, "sshd does not answer\n{}", self.excerpt());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Reads the first bytes that sshd sends.
    fn read_ssh_banner(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.read_exact(&mut [0; 4])
    }

    /// The last lines of the console.
    fn excerpt(&self) -> String {
        self.console.excerpt()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // A guest that was saved has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
