//! Which processes keep a mounted filesystem busy, as far as this user may see.

use std::fs::read_link;
use std::path::{Path, PathBuf};

use super::Roots;

/// More are not told.
const MANY: usize = 5;

/// The processes with a file open in `place` or below, or that work there: `bash (1234)`. Only names
/// are looked at, so a filesystem that hangs does no harm.
pub fn below(roots: &Roots, place: &Path) -> Vec<String> {
    let folders = roots.proc.read_dir().into_iter().flatten();
    let folders = folders.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut processes = folders.filter_map(|name| name.parse::<u32>().ok()).collect::<Vec<_>>();
    processes.sort_unstable();
    let using = processes.into_iter().filter(|id| uses(&roots.proc.join(id.to_string()), place));
    using.map(|id| titled(roots, id)).take(MANY).collect()
}

fn uses(process: &Path, place: &Path) -> bool {
    let own = ["cwd", "root", "exe"].map(|link| process.join(link));
    let open = process.join("fd").read_dir().into_iter().flatten();
    let links = own.into_iter().chain(open.filter_map(|entry| Some(entry.ok()?.path())));
    links.filter_map(|link| read_link(link).ok()).any(|target: PathBuf| target.starts_with(place))
}

fn titled(roots: &Roots, id: u32) -> String {
    let name = std::fs::read_to_string(roots.proc.join(id.to_string()).join("comm"));
    format!("{} ({id})", name.as_deref().map_or("a process", str::trim))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::fake::Machine;
    use super::*;

    #[test]
    fn who_works_or_reads_there() {
        let machine = Machine::new();
        let roots = machine.roots();
        for (id, name, link, to) in [
            ("20", "bash", "cwd", "/media/me/CARD"),
            ("3", "vlc", "fd/7", "/media/me/CARD/film"),
            ("4", "cat", "fd/3", "/media/me/CARD2/film"),
        ] {
            machine.file(&format!("proc/{id}/comm"), &format!("{name}\n"));
            machine.file(&format!("proc/{id}/fd/info"), "");
            symlink(to, roots.proc.join(id).join(link)).unwrap();
        }
        assert_eq!(below(&roots, Path::new("/media/me/CARD")), ["vlc (3)", "bash (20)"]);
    }
}
