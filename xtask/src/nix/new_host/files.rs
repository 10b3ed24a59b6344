//! Writing the files of a new host: all of them or none.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;

use super::draft::{Draft, read};
use crate::bail;

/// The mode of a new file, without what the umask takes: files of a flake are for everybody who may read the flake.
const MODE: u32 = 0o666;

/// The name of a temporary file: this, random characters, and [`SUFFIX`].
const PREFIX: &str = ".new-host.";
const SUFFIX: &str = ".part";

/// The files of a draft that were written, for the case that not all can be.
#[derive(Debug, Default)]
struct Written {
    /// The new files.
    created: Vec<PathBuf>,
    /// The new folders, each before those in it.
    folders: Vec<PathBuf>,
}

impl Draft {
    /// Writes the files below `folder`. Where that fails, takes back what was written.
    ///
    /// # Errors
    /// Where a file appeared or changed meanwhile, and where one cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut written = Written::default();
        let ended = self.write_to(folder, &mut written);
        if ended.is_err() {
            written.take_back()?;
        }
        ended
    }

    fn write_to(&self, folder: &Path, written: &mut Written) -> Result<()> {
        let paths = self.new_files.iter().map(|file| &file.path).chain([&self.edit.path]);
        paths
            .filter_map(|path| folder.join(path).parent().map(Path::to_owned))
            .for_each(|dir| remove_left(&dir));
        for file in &self.new_files {
            let path = folder.join(&file.path);
            written.create_folders(path.parent().unwrap_or(folder))?;
            if read(&path)?.as_ref() != Some(&file.content) {
                let part = temporary_file(&path, &file.content)?;
                part.persist_noclobber(&path).with_context(|| format!("writing {}", path.display()))?;
                written.created.push(path);
            }
        }
        replace(&folder.join(&self.edit.path), &self.edit.before, &self.edit.after)
    }
}

impl Written {
    /// Creates `folder` and those above it, and remembers the new ones.
    fn create_folders(&mut self, folder: &Path) -> Result<()> {
        let missing = folder.ancestors().take_while(|folder| !folder.exists());
        let mut missing = missing.map(Path::to_owned).collect::<Vec<_>>();
        missing.reverse();
        for folder in missing {
            fs::create_dir(&folder).with_context(|| format!("creating {}", folder.display()))?;
            self.folders.push(folder);
        }
        Ok(())
    }

    /// Removes the new files and folders.
    fn take_back(&self) -> Result<()> {
        for path in &self.created {
            fs::remove_file(path).with_context(|| format!("removing {}", path.display()))?;
        }
        for folder in self.folders.iter().rev() {
            // Somebody else may have put a file into the folder.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }
}

/// Replaces the text of the file at `path` atomically, if it still is `before`. The file keeps its mode.
fn replace(path: &Path, before: &str, after: &str) -> Result<()> {
    if read(path)?.as_deref() != Some(before) {
        bail!(Refused, "{} changed meanwhile", path.display(); hint: "run the command again");
    }
    let doing = || format!("writing {}", path.display());
    let part = temporary_file(path, after)?;
    let mode = path.metadata().with_context(doing)?.permissions().mode() & 0o777;
    part.as_file().set_permissions(Permissions::from_mode(mode)).with_context(doing)?;
    part.persist(path).with_context(doing)?;
    Ok(())
}

/// A temporary file with `text` beside `path`, locked as long as it lives. Dropping the value removes the file.
fn temporary_file(path: &Path, text: &str) -> Result<NamedTempFile> {
    let doing = || format!("writing {}", path.display());
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX).permissions(Permissions::from_mode(MODE));
    let mut file = builder.tempfile_in(path.parent().unwrap_or(Path::new("/"))).with_context(doing)?;
    // Where the file system has no locks, a later run cannot lock the file either, and leaves it.
    let _ = flock(file.as_file(), FlockOperation::NonBlockingLockExclusive);
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).with_context(doing)?;
    Ok(file)
}

/// Removes the temporary files in `folder` that killed runs left: nobody holds their locks any more.
fn remove_left(folder: &Path) {
    let is_temporary = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(PREFIX) && name.ends_with(SUFFIX)
    };
    let entries = folder.read_dir().into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(is_temporary).filter(|path| !path.is_symlink()) {
        let file = File::open(&path);
        if file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()) {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::new_host::draft::{Edit, NewFile};

    /// A folder with a list of hosts, and a draft for it.
    fn fixture() -> (tempfile::TempDir, Draft) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("list.nix"), "{ }").unwrap();
        let edit = Edit { path: "list.nix".into(), before: "{ }".into(), after: "{ pi = 1; }".into() };
        let new_files = ["hosts/pi/default.nix", "hosts/keys/a.pub"];
        let new_files = new_files.map(|path| NewFile { path: path.into(), content: format!("{path}\n") });
        (dir, Draft { new_files: new_files.into(), existing_files: Vec::new(), edit })
    }

    /// The names in `folder`, sorted.
    fn names(folder: &Path) -> Vec<String> {
        let entries =
            folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names = entries.collect::<Vec<_>>();
        names.sort();
        names
    }

    #[test]
    fn a_draft_is_written_whole() {
        let (dir, draft) = fixture();
        draft.write(dir.path()).unwrap();
        assert_eq!(names(&dir.path().join("hosts")), ["keys", "pi"]);
        assert_eq!(fs::read_to_string(dir.path().join("list.nix")).unwrap(), "{ pi = 1; }");
        // The files that an interrupted run left are taken as they are.
        fs::write(dir.path().join("list.nix"), "{ }").unwrap();
        draft.write(dir.path()).unwrap();
        assert_eq!(names(dir.path()), ["hosts", "list.nix"]);
    }

    #[test]
    fn what_killed_runs_left_is_removed_but_not_what_another_run_writes() {
        let (dir, draft) = fixture();
        fs::create_dir_all(dir.path().join("hosts/pi")).unwrap();
        for name in [".new-host.a1B2c3.part", "hosts/pi/.new-host.a1B2c3.part", ".new-host.mine"] {
            fs::write(dir.path().join(name), "half").unwrap();
        }
        let other = temporary_file(&dir.path().join("other.nix"), "text").unwrap();
        draft.write(dir.path()).unwrap();
        assert_eq!(names(&dir.path().join("hosts/pi")), ["default.nix"]);
        let other = other.path().file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected =
            vec![".new-host.mine".to_owned(), other, "hosts".to_owned(), "list.nix".to_owned()];
        expected.sort();
        assert_eq!(names(dir.path()), expected);
    }

    #[test]
    fn a_draft_that_cannot_be_written_whole_leaves_nothing() {
        let (dir, draft) = fixture();
        // The list changed after it was read.
        fs::write(dir.path().join("list.nix"), "{ b = 1; }").unwrap();
        assert!(draft.write(dir.path()).unwrap_err().to_string().ends_with("changed meanwhile"));
        assert_eq!(names(dir.path()), ["list.nix"]);
        assert_eq!(fs::read_to_string(dir.path().join("list.nix")).unwrap(), "{ b = 1; }");
        // A file appeared.
        let (dir, draft) = fixture();
        fs::create_dir_all(dir.path().join("hosts/keys")).unwrap();
        fs::write(dir.path().join("hosts/keys/a.pub"), "mine").unwrap();
        draft.write(dir.path()).unwrap_err();
        assert_eq!(names(&dir.path().join("hosts")), ["keys"]);
        assert_eq!(fs::read_to_string(dir.path().join("hosts/keys/a.pub")).unwrap(), "mine");
    }
}
