//! The package and its version in the name of a store path or of a derivation.

/// Outputs of a package that are store paths of their own: `openssl-3.0.15-bin` is openssl 3.0.15.
const OUTPUTS: &[&str] = &[
    "bin", "data", "debug", "dev", "devdoc", "dist", "doc", "info", "lib", "man", "modules", "out", "static",
    "terminfo", "tools",
];

/// Splits the `name` of a store path into the package and its version, as Nix's `parseDrvName` does: the version begins
/// at the first non-letter right after a dash. A name without such a character has an empty version. The name of an
/// output at the end of the version is removed.
pub fn split_version(name: &str) -> (&str, &str) {
    let dashes = name.match_indices('-').map(|(at, _)| at);
    let starts_version =
        |dash: &usize| name.as_bytes().get(dash + 1).is_some_and(|byte| !byte.is_ascii_alphabetic());
    match dashes.into_iter().find(starts_version) {
        Some(dash) => (&name[..dash], strip_output(&name[dash + 1..])),
        None => (name, ""),
    }
}

/// Removes the name of an output from the end of `version`.
fn strip_output(version: &str) -> &str {
    match version.rsplit_once('-') {
        Some((stripped, output)) if OUTPUTS.contains(&output) => stripped,
        _ => version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_begins_at_the_first_non_letter_right_after_a_dash() {
        for (name, expected) in [
            ("openssl-3.0.15", ("openssl", "3.0.15")),
            ("python3.12-requests-2.32.3", ("python3.12-requests", "2.32.3")),
            ("glibc-2.40-36", ("glibc", "2.40-36")),
            ("nixos-system-stinky-26.05.20260101.abc", ("nixos-system-stinky", "26.05.20260101.abc")),
            ("unit-octoprint.service", ("unit-octoprint.service", "")),
            ("etc", ("etc", "")),
            ("firmware-unstable-2024-01-02", ("firmware-unstable", "2024-01-02")),
            ("a-", ("a-", "")),
            ("a--1", ("a", "-1")),
            ("X-Restart-Triggers-x", ("X-Restart-Triggers-x", "")),
            ("perl5.40.0-File-Slurp-9999.32", ("perl5.40.0-File-Slurp", "9999.32")),
        ] {
            assert_eq!(split_version(name), expected, "{name}");
        }
    }

    #[test]
    fn the_name_of_an_output_is_no_part_of_the_version() {
        assert_eq!(split_version("openssl-3.0.15-bin"), ("openssl", "3.0.15"));
        assert_eq!(split_version("linux-6.12.34-modules"), ("linux", "6.12.34"));
    }
}
