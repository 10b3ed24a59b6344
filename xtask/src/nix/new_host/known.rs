//! Whether the files of a flake have a host already: that is known before any evaluation.

use std::path::Path;

use anyhow::Result;

use super::NewHost;
use super::draft::{REGISTRY, TEMPLATE, is_registry, read};
use super::syntax::{self, Unfit};
use crate::failure;

/// The folder with the login keys of the administrators, in the shape of this project's repository.
pub const LOGIN_KEYS: &str = "hosts/common/keys";

/// Refuses a host `name` that the flake in `folder` has by its files. Nothing is known of a flake of another shape.
///
/// # Errors
/// `Refused` for such a host, and for files that cannot be read.
pub fn refuse_known(folder: &Path, name: &str) -> Result<()> {
    let list = if is_registry(folder) { REGISTRY } else { TEMPLATE };
    let text = read(&folder.join(list))?.unwrap_or_default();
    let added = if list == REGISTRY {
        syntax::add_to_set(&text, name, "{ }")
    } else {
        syntax::add_to_outputs(&text, name, NewHost::template_entry)
    };
    match added {
        Err(Unfit::HasHost) => Err(known_error(folder, list, name)),
        _ => Ok(()),
    }
}

/// The error for a host `name` that `list`, a file or the flake, has already.
pub fn known_error(folder: &Path, list: &str, name: &str) -> anyhow::Error {
    let files = [format!("hosts/{name}/default.nix"), format!("hosts/{name}.nix")];
    let file = files.into_iter().find(|file| folder.join(file).is_file());
    let edit =
        file.map_or_else(|| "change it in the flake".to_owned(), |file| format!("edit {file} to change it"));
    failure!(
        Refused, "{list} has a host {name} already";
        hint: "{edit}, or choose another name for a new host; `cargo xtask hosts` lists the hosts"
    )
}

/// Whether the flake in `folder` has the shape of this project's repository, and no login key of an administrator.
pub fn lacks_login_keys(folder: &Path) -> bool {
    let keys = folder.join(LOGIN_KEYS).read_dir().into_iter().flatten().flatten();
    let is_key = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|end| end == "pub");
    is_registry(folder) && !keys.into_iter().any(is_key)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::failure::with_hint;

    fn write(folder: &Path, name: &str, text: &str) {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn a_host_is_known_by_the_files_of_the_flake() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        refuse_known(folder, "pi").unwrap();
        write(folder, "flake.nix", include_str!("../../../../templates/cluster/flake.nix"));
        write(folder, "hosts/pi.nix", "{ }");
        let error = with_hint(&refuse_known(folder, "pi").unwrap_err());
        assert!(
            error.starts_with("flake.nix has a host pi already; edit hosts/pi.nix to change it, or "),
            "{error}"
        );
        refuse_known(folder, "pi2").unwrap();
        for (name, text) in [
            ("hosts/default.nix", "{ stinky = { }; \"pi.lan\" = { }; }"),
            ("hosts/common/users.nix", "{ }"),
            ("hosts/raspberry-pi/default.nix", "{ }"),
            ("hosts/stinky/default.nix", "{ }"),
        ] {
            write(folder, name, text);
        }
        let error = with_hint(&refuse_known(folder, "stinky").unwrap_err());
        assert!(
            error.contains("hosts/default.nix has a host stinky already; edit hosts/stinky/default.nix "),
            "{error}"
        );
        let error = with_hint(&refuse_known(folder, "pi.lan").unwrap_err());
        assert!(error.contains("already; change it in the flake, or choose another name"), "{error}");
        refuse_known(folder, "smelly").unwrap();
        assert!(lacks_login_keys(folder));
        write(folder, "hosts/common/keys/README.md", "");
        assert!(lacks_login_keys(folder));
        write(folder, "hosts/common/keys/anna.pub", "");
        assert!(!lacks_login_keys(folder));
        write(folder, "hosts/default.nix", "no Nix {");
        refuse_known(folder, "stinky").unwrap();
    }
}
