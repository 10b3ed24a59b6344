//! Questions of domains to the user: domains never print, and never read the terminal.

use anyhow::Result;

/// A question that is answered by yes or no.
pub struct Question<'a> {
    /// What the answer decides, on the lines before the question.
    pub notice: &'a str,
    /// The question, on one line.
    pub question: &'a str,
    /// The error where the user presses Ctrl-C instead of answering: what was changed until then.
    pub unanswered: &'a str,
}

/// Who answers the questions of a run.
pub trait Approver: Send + Sync {
    /// The answer; `None` where nobody can be asked.
    ///
    /// # Errors
    /// `Interrupted` where the user presses Ctrl-C.
    fn approve(&self, question: &Question) -> Result<Option<bool>>;
}

/// Answers every question in the same way.
pub struct Always(pub Option<bool>);

impl Approver for Always {
    fn approve(&self, _question: &Question) -> Result<Option<bool>> {
        Ok(self.0)
    }
}
