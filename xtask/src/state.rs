//! Files of the project's state folder: each is there whole or not at all, and what is private stays it.

use std::fs::{DirBuilder, File};
use std::io::{Result, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes a folder that is for this user alone, where there is none.
pub fn private_folder(folder: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes `path` hold `bytes`, whole or not at all, whatever happens to the machine. On the way there it has a name of
/// this process alone.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = folder.join(format!(".{name}.{}.part", std::process::id()));
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written.and_then(|()| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        for text in ["one", "two"] {
            write(&file, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        // A folder cannot be replaced by a file.
        let taken = dir.path().join("b");
        std::fs::create_dir(&taken).unwrap();
        write(&taken, b"three").unwrap_err();
        let names = dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        let mut names = names.collect::<Vec<_>>();
        names.sort();
        assert_eq!(names, ["a", "b"]);
    }
}
