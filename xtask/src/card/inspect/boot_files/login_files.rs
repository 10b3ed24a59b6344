//! The files with login keys in a NixOS system and beside it, on an image or a card.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::mounts::{find_in_store, follow};
use super::system::{self, Entry};
use super::volume::{EXT4, volumes};
use crate::card::inspect::ext4::{Ext4, Inode};
use crate::card::inspect::partition_table::PartitionTable;
use crate::card::inspect::{Budget, ReadAt};

/// The size of the largest file with keys, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// The most files of a folder that are read.
const MAX_FILES: usize = 100;

/// The folders with a file for each user, on a partition that is mounted at / or at /nix.
const FOLDERS: &[&str] = &[
    "/etc/ssh/authorized_keys.d",
    "/persist/etc/ssh/authorized_keys.d",
    "/nix/persist/etc/ssh/authorized_keys.d",
];

/// What a system says about logins by ssh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginFiles {
    /// Whether the system has a configuration of sshd.
    pub has_sshd: bool,
    /// The users with the texts of their `authorized_keys`.
    pub keys: Vec<(String, String)>,
}

/// The login keys of the system that U-Boot starts from `disk` with this `layout`; `None` where it is no NixOS system.
///
/// # Errors
/// A disk that cannot be read.
pub fn read(disk: &dyn ReadAt, layout: &PartitionTable, budget: &Budget) -> Result<Option<LoginFiles>> {
    for volume in volumes(disk, layout, budget)?.iter().filter(|volume| volume.filesystem == EXT4) {
        let root = Ext4::open(disk, volume.partition.start, volume.partition.size, budget.clone())?;
        if let Ok(entry) = system::read_entry(&root) {
            return read_system(&root, &entry);
        }
    }
    Ok(None)
}

/// The login keys of the system of `entry`, and of the other files on its partition `root`.
fn read_system(root: &Ext4, entry: &Entry) -> Result<Option<LoginFiles>> {
    let store = entry.store;
    let Some(system) = entry.boot.init.strip_suffix("/init") else { return Ok(None) };
    let Some(etc) = follow(root, store, &format!("{system}/etc"))? else { return Ok(None) };
    let has_sshd = follow(root, store, &format!("{etc}/ssh/sshd_config"))?.is_some();
    let mut keys = Vec::new();
    let of_system = format!("{etc}/ssh/authorized_keys.d");
    for folder in [of_system.as_str()].iter().chain(FOLDERS) {
        for user in names(root, store, folder)? {
            keys.extend(text(root, store, &format!("{folder}/{user}"))?.map(|text| (user, text)));
        }
    }
    let homes = names(root, store, "/home")?.into_iter().map(|user| (format!("/home/{user}"), user));
    for (home, user) in homes.chain([("/root".to_owned(), "root".to_owned())]) {
        keys.extend(text(root, store, &format!("{home}/.ssh/authorized_keys"))?.map(|text| (user, text)));
    }
    keys.sort();
    keys.dedup();
    Ok(Some(LoginFiles { has_sshd, keys }))
}

/// The names in the folder at `path`, sorted; none where there is no folder. The store keeps the mode and the owner of
/// a file of /etc in files beside it.
fn names(root: &Ext4, store: &str, path: &str) -> Result<Vec<String>> {
    let Some(path) = follow(root, store, path)? else { return Ok(Vec::new()) };
    let Some(folder) = find_in_store(root, store, &path)?.filter(Inode::is_folder) else {
        return Ok(Vec::new());
    };
    let is_user = |name: &String| {
        !name.starts_with('.') && ![".mode", ".uid", ".gid"].iter().any(|ending| name.ends_with(ending))
    };
    let names = root.folder_names(&folder)?.into_iter().filter_map(|name| String::from_utf8(name).ok());
    let mut names = names.filter(is_user).collect::<Vec<_>>();
    names.sort();
    names.truncate(MAX_FILES);
    Ok(names)
}

/// The text of the file at `path`; `None` where there is no file, and for one that is too large for keys.
fn text(root: &Ext4, store: &str, path: &str) -> Result<Option<String>> {
    let Some(path) = follow(root, store, path)? else { return Ok(None) };
    let file = find_in_store(root, store, &path)?.filter(|inode| inode.is_file() && inode.size <= MAX_FILE);
    let bytes = file.map(|inode| root.content(&inode, MAX_FILE)).transpose()?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::card::inspect::ext4::tests::make_ext4;
    use crate::card::inspect::mbr;

    const SYSTEM: &str = "nixos-system-pi";
    const ETC: &str = "h-etc/etc";

    /// Writes `text` to `path` in `root`.
    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A partition with a system, whose store is in the folder `store`, and with what `prepare` adds.
    fn disk(store: &str, prepare: impl FnOnce(&Path)) -> (tempfile::TempDir, File, PartitionTable) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        for file in ["boot/kernel", "boot/initrd", &format!("{store}/{SYSTEM}/init")] {
            write(&root, file, "x");
        }
        let menu = format!(
            "DEFAULT a\nLABEL a\n  LINUX ../kernel\n  INITRD ../initrd\n  APPEND init=/nix/store/{SYSTEM}/init\n"
        );
        write(&root, "boot/extlinux/extlinux.conf", &menu);
        std::fs::create_dir_all(root.join(store).join(ETC)).unwrap();
        symlink(format!("/nix/store/{ETC}"), root.join(store).join(SYSTEM).join("etc")).unwrap();
        prepare(&root);
        let partition = make_ext4(&["-d", root.to_str().unwrap()], 8);
        let mut bytes = mbr(&[(0x83, true, 2048, 8 << 11)]).to_vec();
        bytes.resize(1 << 20, 0);
        bytes.extend(partition);
        let file = dir.path().join("image");
        std::fs::write(&file, &bytes).unwrap();
        let layout = PartitionTable::parse(&bytes[..1 << 20], bytes.len() as u64).unwrap();
        (dir, File::open(file).unwrap(), layout)
    }

    fn found(store: &str, prepare: impl FnOnce(&Path)) -> Option<LoginFiles> {
        let (_dir, file, layout) = disk(store, prepare);
        read(&file, &layout, &Budget::without_stop()).unwrap()
    }

    #[test]
    fn keys_are_found_in_the_system_and_beside_it() {
        for (store, persist) in [("store", "persist"), ("nix/store", "nix/persist")] {
            let login_files = found(store, |root| {
                let keys = root.join(store).join(ETC).join("ssh/authorized_keys.d");
                write(root, &format!("{store}/h-admin-authorized_keys"), "of the system");
                write(&keys, "admin.mode", "0444\n");
                write(&keys, "../sshd_config", "");
                symlink("/nix/store/h-admin-authorized_keys", keys.join("admin")).unwrap();
                write(root, &format!("{persist}/etc/ssh/authorized_keys.d/guest"), "of the card");
                write(root, "home/ann/.ssh/authorized_keys", "of a home");
                write(root, "root/.ssh/authorized_keys", "of root");
            });
            let pairs = [
                ("admin", "of the system"),
                ("ann", "of a home"),
                ("guest", "of the card"),
                ("root", "of root"),
            ];
            let keys = pairs.map(|(user, text)| (user.to_owned(), text.to_owned())).to_vec();
            assert_eq!(login_files, Some(LoginFiles { has_sshd: true, keys }), "{store}");
        }
    }

    #[test]
    fn a_system_without_keys_has_none() {
        let login_files = found("store", |_| ());
        assert_eq!(login_files, Some(LoginFiles { has_sshd: false, keys: Vec::new() }));
    }

    #[test]
    fn what_is_no_nixos_system_is_unknown() {
        let menu = |root: &Path| std::fs::remove_file(root.join("boot/extlinux/extlinux.conf")).unwrap();
        assert_eq!(found("store", menu), None);
    }
}
