//! Checks that only this user and root can change the file or folder at a path. The rule is that of ssh's
//! `StrictModes`: the folder, and each folder and link on the way to it, belongs to this user or root, and nobody else
//! can write to it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::{getegid, geteuid};

use crate::base::bounded::{self, Links};
use crate::base::shell;
use crate::{bail, failure};

/// The maximum number of links on one path, as in the kernel.
const MAX_LINKS: usize = 40;
/// The largest size of `/etc/passwd`, `/etc/group` and the like, in bytes.
const MAX_ACCOUNTS_SIZE: u64 = 4 << 20;
/// The mode bit of a folder in which only the owner of a file can rename or remove it.
const STICKY: u32 = 0o1000;
/// The variables that name another folder, for hints.
const FOLDER_VARIABLES: &str = "XTASK_STATE names the state folder, XTASK_TOOLS the folder of the tools";

/// Which part of a checked path a file, folder or link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A folder or link on the way to the checked file or folder.
    OnTheWay,
    /// The checked file or folder itself.
    Last,
}

/// Fails where others could change the content of `folder`, as far as it exists, or replace the folder.
///
/// # Errors
/// `ExitKind::Refused`, with the remedy.
pub fn check_folder(folder: &Path) -> Result<()> {
    let doing = || format!("checking the owner and the mode of {}", folder.display());
    let absolute = std::path::absolute(folder).with_context(doing)?;
    let mut checked = PathBuf::from("/");
    let mut links = 0;
    let mut rest = names(&absolute).collect::<VecDeque<_>>();
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            checked.pop();
            continue;
        }
        let part = if rest.is_empty() { Part::Last } else { Part::OnTheWay };
        let next = checked.join(name);
        let stat = match next.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            stat => stat.with_context(doing)?,
        };
        check_owner(&next, &stat, part)?;
        if stat.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(super::unusable_error(folder, "leads over too many links"));
            }
            let target = next.read_link().with_context(doing)?;
            if target.is_absolute() {
                checked = PathBuf::from("/");
            }
            names(&target).rev().for_each(|name| rest.push_front(name));
            continue;
        }
        check_mode(&next, &stat, part)?;
        checked = next;
    }
    Ok(())
}

/// Fails where others could have written the file at `path` with the metadata `stat`.
///
/// # Errors
/// `ExitKind::Refused`, with the remedy.
pub fn check_file(path: &Path, stat: &Metadata) -> Result<()> {
    check_owner(path, stat, Part::Last)?;
    if others_can_write(path, stat) { Err(others_can_write_error(path, stat)) } else { Ok(()) }
}

/// The names and `..` components of `path`, in order.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        _ => None,
    })
}

/// Fails where `path`, which is this `part` of the checked path, belongs neither to this user nor to root. A root that
/// a user namespace does not map counts on the way only.
fn check_owner(path: &Path, stat: &Metadata, part: Part) -> Result<()> {
    let own_id = geteuid().as_raw();
    let is_root = stat.uid() == 0 || part == Part::OnTheWay && is_unmapped_root(stat.uid());
    if stat.uid() == own_id || is_root {
        return Ok(());
    }
    let without_sudo = if own_id == 0 && std::env::var_os("SUDO_UID").is_some() {
        ", or run the tool without sudo: it asks for the privileges that it needs"
    } else {
        ""
    };
    bail!(
        Refused, "{} belongs to user {}, who could change the files of user {own_id} there", path.display(), stat.uid();
        hint: "use a folder of your own ({FOLDER_VARIABLES}){without_sudo}"
    )
}

/// Fails where `path` is not a folder, or others can write to it. A sticky folder such as `/tmp`, in which everybody
/// can create files, may contain the checked folder, but not be it.
fn check_mode(path: &Path, stat: &Metadata, part: Part) -> Result<()> {
    if !stat.is_dir() {
        return Err(super::unusable_error(path, "is not a folder"));
    }
    let is_sticky = stat.mode() & STICKY != 0;
    if is_sticky && part == Part::OnTheWay {
        return Ok(());
    }
    if others_can_write(path, stat) { Err(others_can_write_error(path, stat)) } else { Ok(()) }
}

/// The refusal of a file or folder that others can write to.
fn others_can_write_error(path: &Path, stat: &Metadata) -> anyhow::Error {
    let mode = stat.mode() & 0o7777;
    let quoted = shell::quote(&path.to_string_lossy());
    failure!(
        Refused, "{} has mode {mode:04o}: others can write to it", path.display();
        hint: "run `chmod go-w {quoted}`, or use a folder of your own ({FOLDER_VARIABLES})"
    )
}

/// Whether others can write to the file or folder at `path` with the metadata `stat`: all users, or a group that is
/// neither root's nor that of this user alone.
pub fn others_can_write(path: &Path, stat: &Metadata) -> bool {
    let all_can_write = stat.mode() & 0o002 != 0;
    let group_can_write = stat.mode() & 0o020 != 0;
    all_can_write || group_can_write && (has_acl(path) || !is_group_of_user_or_root(stat.gid()))
}

/// Whether `path` has an access control list. Then the group bits of its mode stand for all users and groups of the
/// list.
fn has_acl(path: &Path) -> bool {
    let size = rustix::fs::lgetxattr(path, "system.posix_acl_access", &mut [0u8; 0]);
    size.is_ok_and(|size| size > 0)
}

/// Whether `group` is root's, or the group of this user without other members. Distributions that give each user such a
/// group let the group write by default (umask 002).
fn is_group_of_user_or_root(group: u32) -> bool {
    if group == 0 {
        return true;
    }
    let [groups, users] = ["/etc/group", "/etc/passwd"].map(read_text);
    group == getegid().as_raw() && is_only_member(&groups, &users, group, geteuid().as_raw())
}

/// The text of a file of the system, at most [`MAX_ACCOUNTS_SIZE`]; empty where it cannot be read.
fn read_text(file: &str) -> String {
    let bytes = bounded::read(Path::new(file), MAX_ACCOUNTS_SIZE, Links::Follow).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether `user` is the only member of `group`, by the texts of `/etc/group` (group(5)) and `/etc/passwd` (passwd(5)).
fn is_only_member(groups: &str, users: &str, group: u32, user: u32) -> bool {
    // The numbers of the fields of both files: a group has its members where a user has the number of its group.
    const NAME: usize = 0;
    const ID: usize = 2;
    const GROUP_OF_USER: usize = 3;
    const MEMBERS: usize = 3;
    let field = |line: &'_ str, number: usize| line.split(':').nth(number).unwrap_or_default().to_owned();
    let has_id = |line: &str, number: usize, id: u32| field(line, number).parse() == Ok(id);
    let name = users.lines().find(|line| has_id(line, ID, user)).map(|line| field(line, NAME));
    let is_other = |line: &str| has_id(line, GROUP_OF_USER, group) && !has_id(line, ID, user);
    if users.lines().any(is_other) {
        return false;
    }
    let members = groups.lines().find(|line| has_id(line, ID, group)).map(|line| field(line, MEMBERS));
    let is_user = |member: &str| member.is_empty() || Some(member) == name.as_deref();
    members.is_some_and(|members| members.split(',').all(is_user))
}

/// Whether `user` is the overflow user and stands for root. This is so in a user namespace that does not map root.
fn is_unmapped_root(user: u32) -> bool {
    let [map, overflow] = ["/proc/self/uid_map", "/proc/sys/kernel/overflowuid"].map(read_text);
    let maps_root = map.lines().any(|line| line.split_whitespace().next() == Some("0"));
    !map.is_empty() && !maps_root && overflow.trim().parse() == Ok(user)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

    use super::*;
    use crate::base::failure::{ExitKind, kind, with_hint};

    const OTHER: u32 = 65_534;

    /// The refusal of `folder` in `dir` with its hint; `dir` is shown as DIR.
    fn refusal(dir: &Path, folder: &str) -> String {
        let error = check_folder(&dir.join(folder)).unwrap_err();
        assert_eq!(kind(&error), ExitKind::Refused);
        with_hint(&error).replace(&dir.display().to_string(), "DIR")
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("shared/state");
        fs::create_dir_all(&state).unwrap();
        check_folder(&state).unwrap();
        check_folder(&state.join("not/there/yet")).unwrap();
        for (path, bits) in [("shared", 0o777), ("shared/state", 0o1777), ("shared/state", 0o702)] {
            let path = dir.path().join(path);
            set_mode(&path, bits);
            let shown = path.strip_prefix(dir.path()).unwrap().display();
            let expected = format!(
                "DIR/{shown} has mode {bits:04o}: others can write to it; run `chmod go-w DIR/{shown}`, or use a folder \
                 of your own ({FOLDER_VARIABLES})"
            );
            assert_eq!(refusal(dir.path(), "shared/state"), expected);
            set_mode(&path, 0o700);
        }
        set_mode(&dir.path().join("shared"), 0o1777); // As /tmp is.
        check_folder(&state).unwrap();
    }

    #[test]
    fn targets_of_links_are_checked_too() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["own", "open/state"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        symlink("own/../own", dir.path().join("link")).unwrap();
        symlink(dir.path().join("open/state"), dir.path().join("away")).unwrap();
        symlink("round", dir.path().join("round")).unwrap();
        check_folder(&dir.path().join("link/x")).unwrap();
        check_folder(&dir.path().join("away")).unwrap();
        set_mode(&dir.path().join("open"), 0o777);
        assert!(refusal(dir.path(), "away").starts_with("DIR/open has mode 0777"));
        assert_eq!(refusal(dir.path(), "round"), "DIR/round leads over too many links; move it away");
    }

    mod as_root {
        use super::*;

        #[test]
        #[ignore = "needs root: run `cargo xtask test`"]
        fn folders_of_other_users_are_refused() {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("theirs/state")).unwrap();
            symlink("theirs", dir.path().join("link")).unwrap();
            chown(dir.path().join("theirs"), Some(OTHER), Some(OTHER)).unwrap();
            let text = format!(
                "DIR/theirs belongs to user 65534, who could change the files of user 0 there; use a folder of your own \
                 ({FOLDER_VARIABLES})"
            );
            for folder in ["theirs", "theirs/state", "link/state"] {
                assert_eq!(refusal(dir.path(), folder), text, "{folder}");
            }
            // In a sticky folder, the link of another user can lead anywhere.
            lchown(dir.path().join("link"), Some(OTHER), Some(OTHER)).unwrap();
            assert!(refusal(dir.path(), "link/state").starts_with("DIR/link belongs to user 65534"));
        }
    }

    #[test]
    fn a_group_with_one_member_is_known_by_its_accounts() {
        let users =
            "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\nother:x:1001:1001::/:/bin/sh\n";
        for (groups, users, expected) in [
            ("me:x:1000:\n", users.to_owned(), true),
            ("dev:x:50:other\nme:x:1000:me\n", users.to_owned(), true),
            ("me:x:1000:me,other\n", users.to_owned(), false),
            ("me:x:1000:\n", users.replace("1001:1001", "1001:1000"), false),
            ("", users.to_owned(), false),
            ("me:x:1000:\n", String::new(), true),
        ] {
            assert_eq!(is_only_member(groups, &users, 1000, 1000), expected, "{groups}{users}");
        }
    }

    #[test]
    fn fuzz() {
        let users = fs::read_to_string("/etc/passwd").unwrap();
        crate::base::fuzz::check_text(&[&fs::read_to_string("/etc/group").unwrap()], |text| {
            is_only_member(text, &users, 0, 0)
        });
        crate::base::fuzz::check_text(&[&users], |text| is_only_member("root:x:0:\n", text, 0, 0));
    }
}
