//! Questions to the user.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, Result};

/// Whether there is somebody to ask: both stdin and stderr are a terminal.
pub fn on_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// A question on the terminal. The text goes to stderr; stdout belongs to the result.
pub struct Prompt<'a>(pub &'a str);

impl Prompt<'_> {
    /// Asks once and returns the line without its end; an empty string at the end of the input.
    pub fn ask(&self) -> Result<String> {
        let mut stderr = std::io::stderr();
        write!(stderr, "{} ", self.0).and_then(|()| stderr.flush()).context("asking on the terminal")?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("reading the answer from the terminal")?;
        if !line.ends_with('\n') {
            // The end of the input (Ctrl-D) leaves the cursor behind the question.
            let _ = writeln!(stderr);
        }
        Ok(line.trim().to_owned())
    }

    /// Whether the answer is `y` or `yes`.
    pub fn confirm(&self) -> Result<bool> {
        Ok(matches!(self.ask()?.to_lowercase().as_str(), "y" | "yes"))
    }
}
