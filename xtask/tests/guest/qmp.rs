//! Commands for a running QEMU, by its machine protocol (QMP).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A connection to a QEMU.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Qmp {
    /// Connects to the socket at `path`, which QEMU makes at its start.
    pub fn connect(path: &Path) -> Self {
        let deadline = Instant::now() + Duration::from_secs(20);
        let writer = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "connecting to {}: {error}", path.display()),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut qmp = Self { reader: BufReader::new(writer.try_clone().unwrap()), writer };
        qmp.read_message();
        qmp.execute("qmp_capabilities", &json!({}));
        qmp
    }

    /// Executes `command`, and returns its result.
    #[track_caller]
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Value {
        writeln!(self.writer, "{}", &json!({ "execute": command, "arguments": arguments })).unwrap();
        loop {
            let mut answer = self.read_message();
            assert!(answer.get("error").is_none(), "{command}: {answer}");
            // A message without a result is an event.
            if let Some(result) = answer.get_mut("return") {
                return result.take();
            }
        }
    }

    /// Asks QEMU to end. It may do so before it answers.
    pub fn quit(&mut self) {
        let _ = writeln!(self.writer, "{}", json!({ "execute": "quit" }));
    }

    /// Stops the guest, and writes its state to `file`.
    pub fn save(&mut self, file: &Path) {
        self.execute("stop", &json!({}));
        // QEMU limits the speed of a migration, also of one to a file.
        self.execute("migrate-set-parameters", &json!({ "max-bandwidth": 4_u64 << 30 }));
        self.execute("migrate", &json!({ "uri": format!("exec:cat > '{}'", file.display()) }));
        self.wait_for_status("query-migrate", |status| {
            assert_ne!(status, "failed", "saving the guest");
            status == "completed"
        });
    }

    /// Waits until the state of the guest is loaded, and continues the guest.
    pub fn resume(&mut self) {
        self.wait_for_status("query-status", |status| status != "inmigrate");
        self.execute("cont", &json!({}));
    }

    /// Repeats `query` until the status in its answer `is_done`.
    fn wait_for_status(&mut self, query: &str, is_done: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.execute(query, &json!({}));
            if is_done(answer["status"].as_str().unwrap_or_default()) {
                return;
            }
            assert!(Instant::now() < deadline, "{query}: {answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Reads one message of QEMU.
    fn read_message(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.reader.read_line(&mut line).unwrap(), 0, "QEMU has ended");
        serde_json::from_str(&line).unwrap()
    }
}
