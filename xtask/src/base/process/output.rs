//! The output of children, and how they end.

/// The exit code and the output of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The exit code; 128 + N for a child that signal N ended, as in shells.
    pub code: i32,
    pub stdout: String,
    /// Empty where stderr was read line by line or was the terminal.
    pub stderr: String,
}

/// How the child of [`super::Launcher::exchange`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeEnd {
    /// As in [`Output`].
    pub code: i32,
    /// Whether the user asked this process to stop before the child ended.
    pub stopped: bool,
}

impl Output {
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

impl From<std::process::Output> for Output {
    fn from(raw: std::process::Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = raw.status.code().unwrap_or_else(|| 128 + raw.status.signal().unwrap_or(0));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code, stdout: text(&raw.stdout), stderr: text(&raw.stderr) }
    }
}
