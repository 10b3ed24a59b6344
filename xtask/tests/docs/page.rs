//! The code blocks of README.md and docs/.

use std::fs;
use std::path::{Path, PathBuf};

/// A code block. Its first line is, for example, `console demo`: the language and the scene; or `sh by-hand` and a
/// reason.
#[derive(Clone, Debug)]
pub struct Block {
    pub page: String,
    /// The line of the fence, counted from 1.
    pub line: usize,
    pub language: String,
    /// Where the commands of the block run; empty for most languages.
    pub scene: String,
    /// Why no suite runs the block, behind the scene `by-hand`; empty for all others.
    pub reason: String,
    pub text: String,
}

impl Block {
    /// `docs/flashing.md:22`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    /// The commands of a block of the language `console`, each with its output.
    pub fn steps(&self) -> Vec<Step> {
        let steps = self.text.split("\n$ ").map(|step| step.strip_prefix("$ ").unwrap_or(step));
        let step = |text: &str| {
            let (command, output) = text.split_once('\n').unwrap_or((text, ""));
            Step { command: command.to_owned(), output: output.to_owned() }
        };
        steps.map(step).collect()
    }
}

/// A command and what it prints.
pub struct Step {
    pub command: String,
    pub output: String,
}

/// The folder of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All pages, relative to the repository.
fn pages() -> Vec<String> {
    let folder = repository().join("docs").read_dir().expect("listing docs");
    let names = folder.map(|entry| entry.expect("listing docs").file_name());
    let names = names.map(|name| format!("docs/{}", name.to_string_lossy()));
    let mut pages =
        names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "md")).collect::<Vec<_>>();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

/// All blocks, in the order of the pages and their lines.
pub fn blocks() -> Vec<Block> {
    pages().iter().flat_map(|page| blocks_of(page)).collect()
}

/// The blocks of one page.
pub fn blocks_of(page: &str) -> Vec<Block> {
    parse(page, &fs::read_to_string(repository().join(page)).expect("reading a page"))
}

/// The blocks of the `text` of `page`.
pub fn parse(page: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // The indentation of the fence of the block that is read; a block in a list is indented.
    let mut inside: Option<usize> = None;
    for (index, line) in text.lines().enumerate() {
        let indentation = line.len() - line.trim_start().len();
        match (line.trim_start().strip_prefix("```"), inside) {
            (Some(_), Some(_)) => inside = None,
            (Some(info), None) => {
                let mut words = info.splitn(3, ' ').map(str::to_owned);
                let [language, scene, reason] = [(); 3].map(|()| words.next().unwrap_or_default());
                let page = page.to_owned();
                blocks.push(Block { page, line: index + 1, language, scene, reason, text: String::new() });
                inside = Some(indentation);
            }
            (None, Some(indentation)) => {
                let block = blocks.last_mut().expect("a block is read");
                block.text.push_str(line.get(indentation..).unwrap_or_default());
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}
