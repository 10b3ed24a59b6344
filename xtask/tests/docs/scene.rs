//! Runs the blocks of the pages in the folder of a user.

use std::path::{Path, PathBuf};

use crate::matching::assert_shown;
use crate::page::{self, Block, Step};
use crate::support::terminal::Terminal;
use crate::support::{Outcome, Sandbox};

/// The folder in which the pages run their commands.
const FOLDER_OF_THE_PAGES: &str = "/home/me/cluster";

/// The end of the question before cards are overwritten, behind the names of the devices and their brackets.
pub const QUESTION: &str = ") to go on: ";

/// A user's folder, and what stands there for the names of the pages.
pub struct Scene<'a> {
    pub sandbox: &'a Sandbox,
    pub folder: PathBuf,
    /// Texts of the pages, such as a device, with what they are here.
    pub names: Vec<(&'static str, String)>,
    /// What is typed at questions that begin so. Each must be asked by each block.
    pub answers: Vec<(&'static str, &'static str)>,
}

impl<'a> Scene<'a> {
    /// A scene in `folder`.
    pub fn new(sandbox: &'a Sandbox, folder: &Path) -> Self {
        Self { sandbox, folder: folder.to_owned(), names: Vec::new(), answers: Vec::new() }
    }

    /// `text` of a page with the names of this scene.
    pub fn here(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, here)| text.replace(name, here))
    }

    /// `text` of this scene with the names of the pages.
    fn there(&self, text: &str) -> String {
        let text = text.replace(&self.folder.display().to_string(), FOLDER_OF_THE_PAGES);
        self.names.iter().fold(text, |text, (name, here)| text.replace(here, name))
    }

    /// What is typed at the question `line`: the names of the devices, or what [`Self::answers`] has.
    fn answer(&self, line: &str) -> Option<String> {
        if let Some((_, names)) = line.strip_suffix(QUESTION).and_then(|line| line.rsplit_once('(')) {
            return Some(names.to_owned());
        }
        let answers = self.answers.iter().filter(|(question, _)| line.starts_with(question));
        answers.map(|(_, answer)| (*answer).to_owned()).next().filter(|_| line.ends_with(": "))
    }

    /// Starts a shell script on a terminal without cursor movements. The `stderr` of its outcome has both streams.
    pub fn start(&self, script: &str) -> Terminal {
        let mut shell = self.sandbox.shell(&format!("exec >&0\n{script}"));
        shell.current_dir(&self.folder).env("TERM", "dumb");
        Terminal::run_with_width(shell, 120)
    }

    /// Runs a shell script as [`Self::start`] does, and answers its questions.
    #[track_caller]
    pub fn run(&self, script: &str, is_asked: bool) -> Outcome {
        let mut terminal = self.start(script);
        if is_asked {
            terminal.answer_all(|line| self.answer(line));
        }
        terminal.finish()
    }

    /// Runs the commands of a block, and compares their output.
    #[track_caller]
    pub fn run_block(&self, block: &Block) {
        if block.language == "console" {
            return block.steps().iter().for_each(|step| self.run_step(block, step));
        }
        let outcome = self.run(&self.here(&block.text), true);
        outcome.assert_code(0);
        for (question, _) in &self.answers {
            outcome.assert_stderr_contains(*question);
        }
    }

    /// Runs one command, and compares its output.
    #[track_caller]
    fn run_step(&self, block: &Block, step: &Step) {
        let outcome = self.run(&self.here(&step.command), step.output.contains(QUESTION));
        outcome.assert_code(0);
        assert_shown(&step.output, &self.there(&outcome.stderr), &block.place());
    }

    /// Runs all blocks of the scene `name`.
    #[track_caller]
    pub fn run_all(&self, name: &str) {
        let blocks = page::blocks().into_iter().filter(|block| block.scene == name).collect::<Vec<_>>();
        assert!(!blocks.is_empty(), "no page has a block of {name}");
        for block in &blocks {
            self.run_block(block);
        }
    }
}
