//! Questions of several parts, each answered by a command of the host, and their answers.
//!
//! A marker with NUL bytes around it stands before each part of the answer. No name of a file, a unit or a process holds
//! a NUL byte, and the marker has a nonce that is made for each question, so that nothing on the host can pass for one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use rustix::rand::{GetRandomFlags, getrandom};

/// The name of the last marker: an answer without it was cut off.
const END: &str = "end";

/// One command line: plain programs in a row, understood by any login shell. A program that fails or is not there leaves
/// its part empty.
#[derive(Clone, Debug)]
pub struct Question {
    nonce: String,
    text: String,
}

impl Question {
    pub fn new() -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom(&mut bytes, GetRandomFlags::empty()).context("making a nonce")?;
        Ok(Self { nonce: format!("{:032x}", u128::from_ne_bytes(bytes)), text: String::new() })
    }

    /// Adds the part `name`, which `command` answers.
    pub fn ask(&mut self, name: &str, command: &str) {
        let marker = self.marker(name);
        let _ = write!(self.text, "{marker}; {command}; ");
    }

    /// The command line for the host.
    pub fn command(&self) -> String {
        format!("{}{}", self.text, self.marker(END))
    }

    fn marker(&self, name: &str) -> String {
        format!(r"printf '\000%s\000' {}.{name}", self.nonce)
    }

    /// Reads what the host said; `None` where that does not come to its end.
    pub fn answer(&self, said: &str) -> Option<Answer> {
        let (mut parts, mut part) = (BTreeMap::new(), None);
        for token in said.split('\0') {
            match token.strip_prefix(&self.nonce).and_then(|rest| rest.strip_prefix('.')) {
                Some(END) => return Some(Answer(parts)),
                Some(name) => part = Some(name.to_owned()),
                None => {
                    if let Some(name) = &part {
                        parts.entry(name.clone()).or_insert_with(String::new).push_str(token);
                    }
                }
            }
        }
        None
    }
}

/// What the host said, by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer(BTreeMap<String, String>);

impl Answer {
    /// The lines of a part, without blanks around them and without empty ones.
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &str> {
        let text = self.0.get(name).map_or("", String::as_str);
        text.lines().map(str::trim).filter(|line| !line.is_empty())
    }

    /// The first line of a part.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.lines(name).next()
    }

    /// An answer with these parts.
    #[cfg(test)]
    pub fn of(parts: &[(&str, &str)]) -> Self {
        Self(parts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::Launcher;

    fn question(commands: &[(&str, &str)]) -> Question {
        let mut question = Question::new().unwrap();
        for (name, command) in commands {
            question.ask(name, command);
        }
        question
    }

    fn said(question: &Question) -> String {
        Launcher::new("/").capture("sh", &["-c", &question.command()]).unwrap().stdout
    }

    #[test]
    fn parts_of_an_answer() {
        let question = question(&[("one", "echo a; echo ' b '"), ("two", "false"), ("three", "printf c")]);
        let answer = question.answer(&format!("Welcome\n{}", said(&question))).unwrap();
        assert!(answer.lines("one").eq(["a", "b"]));
        assert_eq!(
            (answer.first("two"), answer.first("three"), answer.first("four")),
            (None, Some("c"), None)
        );
    }

    #[test]
    fn an_answer_that_is_cut_off_is_none() {
        let question = question(&[("one", "echo a")]);
        let said = said(&question);
        assert!((0..said.len() - 1).all(|end| question.answer(&said[..end]).is_none()));
    }

    /// Names of files may hold anything but NUL, and who sees the nonce in the list of processes knows it.
    #[test]
    fn what_a_name_holds_is_no_marker() {
        let nonce = Question::new().unwrap().nonce;
        assert_ne!(nonce, Question::new().unwrap().nonce);
        let mut question = question(&[]);
        let names = format!("a\n@failed\nb\n{0}.two\n.{0}.end\n\\000{0}.two\\000", question.nonce);
        question.ask("one", &format!("printf %s '{names}'"));
        question.ask("two", "echo right");
        let answer = question.answer(&said(&question)).unwrap();
        assert!(answer.lines("two").eq(["right"]));
        assert_eq!(answer.lines("one").count(), 6);
    }

    #[test]
    fn fuzz() {
        let question = question(&[("one", "echo a"), ("two", "echo b")]);
        crate::base::fuzz::check_text(&[&said(&question)], |said| question.answer(said));
    }
}
