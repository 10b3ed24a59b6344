//! Queries: several commands in one ssh call, and their outputs.
//!
//! A marker between NUL bytes precedes the output of each command. No name of a file, a unit or a process contains a
//! NUL byte, and each query has a nonce in its markers, so that nothing on the host can imitate one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::base::shell;

/// How long a host may take to report its state.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a host may take to list a closure with its sizes: a Pi reads them from its card.
pub const CLOSURE_TIMEOUT: Duration = Duration::from_secs(300);

/// The part before the first marker: what the shell of the host prints on its own.
const GREETING: &str = "";

/// The name of the first marker, which comes at once.
const BEGIN: &str = "begin";
/// The name of the last marker. An answer without it is incomplete.
const END: &str = "end";

/// A script of plain programs in a row. The part of a program that fails or does not exist stays empty.
///
/// Each line that a program on the host writes would be a packet, which this machine acknowledges. `dd` gathers them.
#[derive(Clone, Debug)]
pub struct Query {
    /// The name of the query in the error of a failure on the host: `the query of the state on pi exited with 1: …`.
    label: &'static str,
    /// Random hexadecimal digits in all markers.
    nonce: String,
    /// The commands, each after the command that prints its marker.
    text: String,
}

impl Query {
    /// A query without commands, with a new nonce. Errors call the query `label`.
    pub fn new(label: &'static str) -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom(&mut bytes, GetRandomFlags::empty()).context("making a nonce")?;
        Ok(Self { label, nonce: format!("{:032x}", u128::from_ne_bytes(bytes)), text: String::new() })
    }

    /// The name of the query in errors.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Adds the part `name`, which is the output of `command`.
    pub fn add(&mut self, name: &str, command: &str) {
        let marker = self.marker(name);
        let _ = write!(self.text, "{marker}; {command}; ");
    }

    /// Whether the host has run at least the first command: `output` has a marker.
    pub fn has_run(&self, output: &str) -> bool {
        output.split('\0').any(|token| token.starts_with(&self.nonce))
    }

    /// The command line for the host, which any login shell understands.
    pub fn command(&self) -> String {
        let script = format!("{}{}", self.text, self.marker(END));
        format!(
            "{}; sh -c {} 2>/dev/null | dd obs=16k 2>/dev/null",
            self.marker(BEGIN),
            shell::quote(&script)
        )
    }

    /// The command that prints the marker of the part `name`.
    fn marker(&self, name: &str) -> String {
        format!(r"printf '\000%s\000' {}.{name}", self.nonce)
    }

    /// Splits `output` into its parts; `None` if the last marker is missing.
    pub fn parse(&self, output: &str) -> Option<Answer> {
        let mut parts = BTreeMap::<String, String>::new();
        let mut part = GREETING;
        for token in output.split('\0') {
            match token.strip_prefix(&self.nonce).and_then(|rest| rest.strip_prefix('.')) {
                Some(END) => return Some(Answer(parts)),
                Some(name) => part = name,
                None => parts.entry(part.to_owned()).or_default().push_str(token),
            }
        }
        None
    }
}

/// The output of a query, by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer(BTreeMap<String, String>);

impl Answer {
    /// The lines of the part `name`, trimmed, without empty ones.
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &str> {
        let text = self.0.get(name).map_or("", String::as_str);
        text.lines().map(str::trim).filter(|line| !line.is_empty())
    }

    /// The first line of the part `name`; `None` if there is none.
    pub fn first_line(&self, name: &str) -> Option<&str> {
        self.lines(name).next()
    }

    /// Whether the host was asked for the part `name`.
    pub fn has_part(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The text that the shell of the host printed before the first command.
    pub fn greeting(&self) -> &str {
        self.0.get(GREETING).map_or("", |text| text.trim())
    }

    /// An answer with the given parts.
    #[cfg(test)]
    pub fn of(parts: &[(&str, &str)]) -> Self {
        Self(parts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::Launcher;

    /// A query of parts, each with its name and its command.
    fn query_of(commands: &[(&str, &str)]) -> Query {
        let mut query = Query::new("the query").unwrap();
        for (name, command) in commands {
            query.add(name, command);
        }
        query
    }

    /// Runs `query` on this machine and returns its output.
    fn run_here(query: &Query) -> String {
        Launcher::new("/").capture("sh", &["-c", &query.command()]).unwrap().stdout
    }

    #[test]
    fn an_answer_is_read_by_its_parts() {
        let query = query_of(&[("one", "echo a; echo ' b '"), ("two", "false"), ("three", "printf c")]);
        let answer = query.parse(&format!("Welcome\n{}", run_here(&query))).unwrap();
        assert!(answer.lines("one").eq(["a", "b"]));
        assert_eq!(answer.greeting(), "Welcome");
        assert!(answer.has_part("two") && !answer.has_part("four"));
        assert_eq!(
            (answer.first_line("two"), answer.first_line("three"), answer.first_line("four")),
            (None, Some("c"), None)
        );
    }

    #[test]
    fn a_query_has_run_where_its_output_has_a_marker() {
        let query = query_of(&[("one", "echo a")]);
        let output = run_here(&query);
        assert!(query.has_run(&output[..=output.len() / 2]));
        assert!(!query.has_run("the output of a forced command\n"));
    }

    #[test]
    fn an_incomplete_answer_is_none() {
        let query = query_of(&[("one", "echo a")]);
        let output = run_here(&query);
        assert!((0..output.len() - 1).all(|end| query.parse(&output[..end]).is_none()));
    }

    /// Names of files may contain anything but NUL, and the list of processes shows the nonce.
    #[test]
    fn no_file_name_can_imitate_a_marker() {
        let nonce = Query::new("the query").unwrap().nonce;
        assert_ne!(nonce, Query::new("the query").unwrap().nonce);
        let mut query = query_of(&[]);
        let names = format!("a\n@failed\nb\n{0}.two\n.{0}.end\n\\000{0}.two\\000", query.nonce);
        query.add("one", &format!("printf %s '{names}'"));
        query.add("two", "echo right");
        let answer = query.parse(&run_here(&query)).unwrap();
        assert!(answer.lines("two").eq(["right"]));
        assert_eq!(answer.lines("one").count(), 6);
    }

    #[test]
    fn fuzz() {
        let query = query_of(&[("one", "echo a"), ("two", "echo b")]);
        crate::base::fuzz::check_text(&[&run_here(&query)], |text| query.parse(text));
    }
}
