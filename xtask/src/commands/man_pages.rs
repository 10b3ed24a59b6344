//! The command `__man-pages`: writes a man page for each command, which the package installs.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::CommandFactory;
use clap_mangen::Man;

use crate::base::program;
use crate::cli::{Cli, ManPages};

/// The name in the title of each page and of its file.
const NAME: &str = "xtask";

pub fn run(args: &ManPages) -> Result<()> {
    std::fs::create_dir_all(&args.folder).with_context(|| format!("making {}", args.folder.display()))?;
    let mut command = Cli::command().name(NAME).display_name(NAME);
    command.build();
    write_all(&command, NAME, &args.folder)
}

/// Writes the page of `command`, whose title is `title`, and those of its subcommands, to `folder`.
fn write_all(command: &clap::Command, title: &str, folder: &Path) -> Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        write_all(subcommand, &format!("{title}-{}", subcommand.get_name()), folder)?;
    }
    let file = folder.join(format!("{title}.1"));
    std::fs::write(&file, page(command, title)?).with_context(|| format!("writing {}", file.display()))
}

/// The man page of `command`, with the name by which the user calls the program.
fn page(command: &clap::Command, title: &str) -> Result<String> {
    let source = format!("{NAME} {}", env!("CARGO_PKG_VERSION"));
    let man =
        Man::new(command.clone().display_name(title.to_owned())).title(title.to_uppercase()).source(source);
    let mut roff = Vec::new();
    man.render(&mut roff).with_context(|| format!("writing the man page {title}"))?;
    Ok(program::as_called(String::from_utf8_lossy(&roff).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_that_users_see_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        run(&ManPages { folder: dir.path().to_owned() }).unwrap();
        let exists = |name: &str| dir.path().join(name).exists();
        for name in ["xtask.1", "xtask-flash.1", "xtask-identity-backup.1", "xtask-completions.1"] {
            assert!(exists(name), "{name}");
        }
        for name in ["xtask-write-card.1", "xtask-__complete.1", "xtask-help.1"] {
            assert!(!exists(name), "{name}");
        }
        let flash = std::fs::read_to_string(dir.path().join("xtask-flash.1")).unwrap();
        for part in [".TH XTASK-FLASH 1", "Write an image to a card and verify it", "\\-\\-no\\-eject"] {
            assert!(flash.contains(part), "{part}: {flash}");
        }
        let all = std::fs::read_to_string(dir.path().join("xtask.1")).unwrap();
        assert!(!all.contains("write\\-card") && !all.contains("__complete"), "{all}");
    }
}
