//! Questions before keys are replaced or removed, and for passphrases.

use anyhow::Result;

use crate::bail;
use crate::base::{HostName, descriptor};
use crate::cli::identity::PassphraseFd;
use crate::identity::backup::{self, SecretString};
use crate::ui::{self, Answer, Prompt, is_no};

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
    let confirmed = prompt.ask_before_loss(|answer| match answer {
        _ if answer == host.as_str() => Answer::Accepted(()),
        _ if is_no(answer) => Answer::Declined,
        _ => Answer::Again(format!("{answer:?} is not {host}.")),
    })?;
    if confirmed.is_some() {
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

/// Reads the passphrase of a new backup from the descriptor, or asks for it twice.
///
/// # Errors
/// `Refused` where nobody can be asked, where the two answers differ at last, and for a passphrase that is too short.
pub fn new_passphrase(source: &PassphraseFd) -> Result<SecretString> {
    let check = |passphrase: SecretString| {
        backup::check_passphrase(&passphrase)?;
        Ok(passphrase)
    };
    if let Some(number) = source.passphrase_fd {
        return read_passphrase(number).and_then(check);
    }
    let question = question_for("the new backup", "--recipient KEY")?;
    prompt(&question).ask_new_secret("passphrase", |answer| check(SecretString::from(answer)))
}

/// What `unlock` makes of the passphrase of `subject`, which is read from the descriptor or asked for; `None` where
/// the passphrase is another. The user is asked again then.
///
/// # Errors
/// Those of `unlock`, and `Refused` where nobody can be asked.
pub fn unlock<T>(
    source: &PassphraseFd,
    subject: &str,
    unlock: impl Fn(SecretString) -> Result<Option<T>>,
) -> Result<Option<T>> {
    if let Some(number) = source.passphrase_fd {
        return unlock(read_passphrase(number)?);
    }
    let question = question_for(subject, "--age-identity FILE")?;
    prompt(&question).ask_secret_until(|answer| {
        let again = || Answer::Again("the passphrase is another; once more:".to_owned());
        Ok(unlock(SecretString::from(answer))?.map_or_else(again, Answer::Accepted))
    })
}

/// The question for the passphrase of `subject`.
///
/// # Errors
/// `Refused` where nobody can be asked; the hint names the option that is the `other_way`.
fn question_for(subject: &str, other_way: &str) -> Result<String> {
    if ui::can_ask() {
        return Ok(format!("Passphrase of {subject}:"));
    }
    bail!(
        Refused, "the passphrase of {subject} is needed, and nobody can be asked without a terminal";
        hint: "pass it by --passphrase-fd N, or use {other_way}"
    )
}

fn prompt(question: &str) -> Prompt<'_> {
    Prompt { notice: "", question, unanswered: "stopped; nothing was changed" }
}

/// The passphrase that the file descriptor has: all of it, without the line end.
fn read_passphrase(number: u32) -> Result<SecretString> {
    let bytes = descriptor::read(number, MAX_PASSPHRASE, "the passphrase")?;
    // The error would contain the bytes.
    let Ok(text) = String::from_utf8(bytes) else { bail!(Refused, "the passphrase is not UTF-8") };
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(SecretString::from(text))
}
