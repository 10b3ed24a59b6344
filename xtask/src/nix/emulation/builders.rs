//! Remote builders: the `builders` setting and the machines file.

use std::collections::BTreeSet;

/// The most machines files that are read; usually there is one.
const MAX_FILES: usize = 16;

/// Whether any builder in `setting` builds for `system`. `read` returns the text of an `@FILE`, or `None` where it does not
/// exist (the default setting names a file that may be missing).
///
/// A line is `URI SYSTEMS …`, separated by newlines or `;`, with `-` for a default and `#` comments
/// (Nix manual, "Remote Builds").
pub fn any_for(setting: &str, system: &str, read: impl Fn(&str) -> Option<String>) -> bool {
    let lines = || setting.split([';', '\n']).map(str::trim);
    let files = lines().filter_map(|line| line.strip_prefix('@')).map(str::trim).collect::<BTreeSet<_>>();
    let inline = lines().filter(|line| !line.starts_with('@')).any(|line| builds_for(line, system));
    let mut texts = files.into_iter().take(MAX_FILES).filter_map(read);
    inline || texts.any(|text| text.lines().any(|line| builds_for(line, system)))
}

fn builds_for(line: &str, system: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default();
    line.split_whitespace().nth(1).is_some_and(|systems| systems.split(',').any(|one| one == system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines() {
        let file = |name: &str| {
            (name == "/etc/nix/machines")
                .then(|| "# ssh://no aarch64-linux\nssh://pi x86_64-linux,aarch64-linux - 4".into())
        };
        for (setting, expected) in [
            ("", false),
            ("@/etc/nix/machines", true),
            ("@/absent", false),
            ("ssh://pi aarch64-linux", true),
            ("ssh://a x86_64-linux ; ssh://b aarch64-linux - 8", true),
            ("ssh://pi -", false),
            ("ssh://aarch64-linux", false),
        ] {
            assert_eq!(any_for(setting, "aarch64-linux", file), expected, "{setting}");
        }
    }

    #[test]
    fn a_file_that_is_named_often_is_read_once() {
        let setting = "@/etc/nix/machines\n".repeat(1000);
        let reads = std::cell::Cell::new(0);
        let read = |_: &str| {
            reads.set(reads.get() + 1);
            None
        };
        assert!(!any_for(&setting, "aarch64-linux", read));
        assert_eq!(reads.get(), 1);
    }

    #[test]
    fn fuzz() {
        let sample = "# ssh://no aarch64-linux\nssh://a x86_64-linux ; ssh://pi x86_64-linux,aarch64-linux - 4\n@/etc/nix/machines";
        crate::base::fuzz::check_text(&[sample], |text| {
            any_for(text, "aarch64-linux", |_| Some(text.to_owned())) || builds_for(text, "aarch64-linux")
        });
    }
}
