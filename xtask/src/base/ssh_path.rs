//! Paths as values of the settings of ssh.

use std::path::Path;

/// `path` as the value of a setting such as `UserKnownHostsFile`, by `ssh_config(5)`: ssh expands what follows a
/// percent sign, and splits a value at spaces unless it is in quotes.
pub fn ssh_path(path: &Path) -> String {
    let value = path.display().to_string().replace('%', "%%");
    if !value.contains(|c: char| c.is_whitespace() || "\"'\\#".contains(c)) {
        return value;
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::Launcher;

    /// The file that ssh reads by the setting with the value `value`.
    fn read_by_ssh(value: &str) -> String {
        let setting = format!("UserKnownHostsFile={value}");
        let output = Launcher::new("/").capture("ssh", &["-G", "-F", "none", "-o", &setting, "pi"]).unwrap();
        let mut lines = output.stdout.lines();
        lines.find_map(|line| line.strip_prefix("userknownhostsfile ")).unwrap_or_default().to_owned()
    }

    #[test]
    #[ignore = "needs ssh: run `cargo xtask test`"]
    fn ssh_reads_the_path_as_one_file() {
        for path in ["/s/known_hosts", "/s/%2Fhome/known_hosts", "/my pis/known_hosts", "/it's #1/\"a\\b"] {
            assert_eq!(read_by_ssh(&ssh_path(Path::new(path))), path);
        }
    }
}
