//! Edits of Nix text: an entry is added to a set, and every other byte stays.

use rnix::{Root, SyntaxKind, SyntaxNode};

use crate::nix::quote;

/// The most bytes of a file that is edited: more is no list of hosts.
const MAX_BYTES: usize = 32 << 10;

/// The stack of the parser, which calls itself for each level of nesting: enough for [`MAX_BYTES`] of brackets.
const STACK_BYTES: usize = 512 << 20;

/// The words of the Nix language that are no names.
const KEYWORDS: &[&str] = &["assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"];

/// `name` as an attribute of a set, quoted where the language asks for it.
pub fn attribute(name: &str) -> String {
    let starts_name = |c: char| c.is_ascii_alphabetic() || c == '_';
    let continues_name = |c: char| c.is_ascii_alphanumeric() || "_'-".contains(c);
    let is_name = name.starts_with(starts_name) && name.chars().all(continues_name);
    if is_name && !KEYWORDS.contains(&name) { name.to_owned() } else { quote(name) }
}

/// An edit of a Nix file that was not possible, in a few words that follow the name of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    TooLarge,
    /// The text has syntax errors.
    NoNix,
    /// The text is not of the shape that the edit is for.
    OtherShape,
    /// The text names the host already.
    HasHost,
}

/// Adds the entry `name = value` to the set that is all of `text`, behind its last entry. `value` has its lines at the
/// left edge.
///
/// # Errors
/// What keeps the entry from being added.
pub fn add_to_set(text: &str, name: &str, value: &str) -> Result<String, Unfit> {
    with_root(text, |root| {
        let set = only_child(root).filter(|node| node.kind() == SyntaxKind::NODE_ATTR_SET);
        let set = set.ok_or(Unfit::OtherShape)?;
        let entries = entries(&set);
        if entries.iter().any(|entry| path(entry).first().is_some_and(|part| part == name)) {
            return Err(Unfit::HasHost);
        }
        let open = set.children_with_tokens().find(|part| part.kind() == SyntaxKind::TOKEN_L_BRACE);
        let open = open.ok_or(Unfit::NoNix)?.text_range().end();
        let at = entries.last().map_or(open, |entry| entry.text_range().end());
        let indent = entries.last().and_then(|entry| indent_of(text, entry)).unwrap_or("  ");
        Ok(insert(text, at.into(), &format!("{} = {value};", attribute(name)), indent, Gap::None))
    })
}

/// Adds `entry_of(name)` to `text`, a `flake.nix` whose outputs name hosts by such entries, behind the last of them.
///
/// # Errors
/// What keeps the entry from being added.
pub fn add_to_outputs(
    text: &str,
    name: &str,
    entry_of: impl Fn(&str) -> String + Sync,
) -> Result<String, Unfit> {
    with_root(text, |root| {
        let outputs = outputs(root).ok_or(Unfit::OtherShape)?;
        let hosts = entries(&outputs).into_iter().filter_map(|entry| Some((host_of(&entry)?, entry)));
        let hosts = hosts.collect::<Vec<_>>();
        if hosts.iter().any(|(host, _)| host == name) {
            return Err(Unfit::HasHost);
        }
        let is_such = |(host, entry): &&(String, SyntaxNode)| words(entry) == words_of_entry(&entry_of(host));
        let (_, last) = hosts.iter().rfind(is_such).ok_or(Unfit::OtherShape)?;
        let indent = indent_of(text, last).unwrap_or("  ");
        Ok(insert(text, last.text_range().end().into(), &entry_of(name), indent, Gap::Line))
    })
}

/// Runs `edit` on the syntax tree of `text`, in a thread whose stack has room for any nesting.
fn with_root(
    text: &str,
    edit: impl FnOnce(&SyntaxNode) -> Result<String, Unfit> + Send,
) -> Result<String, Unfit> {
    if text.len() > MAX_BYTES {
        return Err(Unfit::TooLarge);
    }
    let parse_and_edit = || {
        let parsed = Root::parse(text);
        if parsed.errors().is_empty() { edit(&parsed.syntax()) } else { Err(Unfit::NoNix) }
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, parse_and_edit);
        // Without memory for the stack, or after a panic of the parser, nothing is known of the text.
        thread.ok().and_then(|thread| thread.join().ok()).unwrap_or(Err(Unfit::NoNix))
    })
}

/// The expression that is all of `node`; `None` where there is none.
fn only_child(node: &SyntaxNode) -> Option<SyntaxNode> {
    node.children().next()
}

/// The entries of `set` that are no `inherit`.
fn entries(set: &SyntaxNode) -> Vec<SyntaxNode> {
    set.children().filter(|node| node.kind() == SyntaxKind::NODE_ATTRPATH_VALUE).collect()
}

/// The parts of the attribute path of `entry`, without quotes.
fn path(entry: &SyntaxNode) -> Vec<String> {
    let parts = entry.first_child().into_iter().flat_map(|path| path.children());
    parts.map(|part| part.text().to_string().trim_matches('"').to_owned()).collect()
}

/// The host of the entry `nixosConfigurations.HOST`; `None` for any other entry.
fn host_of(entry: &SyntaxNode) -> Option<String> {
    match &path(entry)[..] {
        [output, host] if output == "nixosConfigurations" => Some(host.clone()),
        _ => None,
    }
}

/// The set of the outputs in a `flake.nix`, whatever function and `let` surround it.
fn outputs(root: &SyntaxNode) -> Option<SyntaxNode> {
    let flake = only_child(root).filter(|node| node.kind() == SyntaxKind::NODE_ATTR_SET)?;
    let entry = entries(&flake).into_iter().find(|entry| path(entry) == ["outputs"])?;
    let mut node = entry.last_child()?;
    while node.kind() != SyntaxKind::NODE_ATTR_SET {
        let is_around = [SyntaxKind::NODE_LAMBDA, SyntaxKind::NODE_LET_IN, SyntaxKind::NODE_PAREN];
        node = is_around.contains(&node.kind()).then(|| node.last_child())??;
    }
    Some(node)
}

/// The words of `node`, without blanks and comments.
fn words(node: &SyntaxNode) -> Vec<String> {
    let tokens = node.descendants_with_tokens().filter_map(rnix::NodeOrToken::into_token);
    tokens.filter(|token| !token.kind().is_trivia()).map(|token| token.text().to_owned()).collect()
}

/// The words of `text`, an entry of a set.
fn words_of_entry(text: &str) -> Vec<String> {
    let set = only_child(&Root::parse(&format!("{{ {text} }}")).syntax());
    set.and_then(|set| entries(&set).first().map(words)).unwrap_or_default()
}

/// The blanks before `node` on its line; `None` where more than blanks is before it.
fn indent_of<'a>(text: &'a str, node: &SyntaxNode) -> Option<&'a str> {
    let before = &text[..usize::from(node.text_range().start())];
    let line = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
    line.chars().all(char::is_whitespace).then_some(line)
}

/// What separates a new entry from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    None,
    /// An empty line.
    Line,
}

/// Inserts the lines of `block`, each behind `indent`, on lines of their own behind the position `at`. A comment that
/// ends the line of `at` stays on it.
fn insert(text: &str, at: usize, block: &str, indent: &str, gap: Gap) -> String {
    let line_len = text[at..].find('\n').unwrap_or(text.len() - at);
    let rest_of_line = text[at..at + line_len].trim();
    let ends_line = rest_of_line.is_empty() || rest_of_line.starts_with('#');
    let at = if ends_line { at + line_len } else { at };
    let before = text[..at].trim_end_matches([' ', '\t', '\r']);
    let lines = block.lines().map(|line| format!("\n{}", format!("{indent}{line}").trim_end()));
    let lines = lines.collect::<String>();
    let gap = if gap == Gap::Line { "\n" } else { "" };
    // What closes the set stands on a line of its own, as far to the left as the set.
    let outer = indent.strip_suffix("  ").unwrap_or_default();
    let rest =
        if ends_line { text[at..].to_owned() } else { format!("\n{outer}{}", text[at..].trim_start()) };
    format!("{before}{gap}{lines}{rest}")
}

#[cfg(test)]
mod tests;
