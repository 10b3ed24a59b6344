//! Questions before keys are replaced or removed, and for passphrases.

use anyhow::Result;

use crate::bail;
use crate::base::{HostName, descriptor};
use crate::cli::identity::PassphraseFd;
use crate::identity::backup::SecretString;
use crate::ui::{self, Prompt};

/// The maximum size of a passphrase, in bytes.
const MAX_PASSPHRASE: u64 = 4096;

/// Asks the user to type the name of `host`, after the lines of `notice`, unless `yes`.
///
/// # Errors
/// `Refused` for another answer, and where nobody can be asked.
pub fn confirm_host(host: &HostName, notice: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    require_terminal(notice)?;
    let question = format!("Type the name of the host ({host}) to go on:");
    let prompt = Prompt { notice, question: &question, unanswered: "stopped; nothing was changed" };
    if prompt.ask_before_loss()? == host.as_str() {
        return Ok(());
    }
    bail!(Refused, "not confirmed; nothing was changed")
}

/// Asks `question`, after the lines of `notice`, unless `yes`. Returns whether the answer is yes.
///
/// # Errors
/// `Refused` where nobody can be asked.
pub fn confirm(notice: &str, question: &str, yes: bool) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    require_terminal(notice)?;
    let question = format!("{question} (y/N)");
    Prompt { notice, question: &question, unanswered: "stopped; nothing was changed" }.confirm()
}

/// Refuses what the user should agree to where nobody can be asked.
fn require_terminal(notice: &str) -> Result<()> {
    if ui::can_ask() {
        return Ok(());
    }
    bail!(Refused, "{}", notice.trim_end(); hint: "pass --yes if this is intended")
}

/// Reads a passphrase from the descriptor, or asks for it; `subject` is what it is for. Asks twice if `is_new`.
///
/// # Errors
/// `Refused` where nobody can be asked, and where the two answers differ.
pub fn passphrase(source: &PassphraseFd, subject: &str, is_new: bool) -> Result<SecretString> {
    if let Some(number) = source.passphrase_fd {
        return read_passphrase(number);
    }
    if !ui::can_ask() {
        bail!(
            Refused, "the passphrase of {subject} is needed, and nobody can be asked without a terminal";
            hint: "pass it by --passphrase-fd N, or use --recipient and --age-identity"
        );
    }
    let question = format!("Passphrase of {subject}:");
    let prompt = Prompt { notice: "", question: &question, unanswered: "stopped; nothing was changed" };
    let answer = if is_new {
        prompt.ask_new_secret("passphrase", |answer| Ok(answer.to_owned()))?
    } else {
        prompt.ask_secret()?
    };
    Ok(SecretString::from(answer))
}

/// The passphrase that the file descriptor has: all of it, without the line end.
fn read_passphrase(number: u32) -> Result<SecretString> {
    let bytes = descriptor::read(number, MAX_PASSPHRASE, "the passphrase")?;
    // The error would contain the bytes.
    let Ok(text) = String::from_utf8(bytes) else { bail!(Refused, "the passphrase is not UTF-8") };
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(SecretString::from(text))
}
