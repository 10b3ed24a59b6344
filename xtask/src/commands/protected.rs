//! The paths that a flash must not overwrite, beside the disks of the running system.

use std::path::{Path, PathBuf};

use crate::base::{Context, git, project};
use crate::card::disk::{Extent, ProtectedPath, Roots};
use crate::identity;

/// The folder of the Nix store, with the image and the tools.
const STORE: &str = "/nix";

/// The paths on the command line of a flash.
#[derive(Clone, Copy, Debug, Default)]
pub struct NamedPaths<'a> {
    pub image: Option<&'a Path>,
    /// The folder of `--files`, whose content goes onto the card.
    pub files: Option<&'a Path>,
    /// The folder with the keys of all hosts, if it is not the project's.
    pub identities: Option<&'a Path>,
    /// The folder, the archive or the repository of `restore --state`.
    pub state: Option<&'a Path>,
}

/// All protected paths, resolved through links.
pub fn protected_paths(cx: &Context, named: NamedPaths) -> Vec<ProtectedPath> {
    let folder = cx.flake.folder();
    // `flash --image` needs no flake.
    let flake = folder.filter(|folder| folder.join("flake.nix").exists());
    let keys = named.identities.map_or_else(|| identity::folder(&cx.state), Path::to_owned);
    // Refusals name each path as `NAME PATH`; a comma separates where `NAME` has several nouns.
    let paths = [
        ("the image", named.image.map(Path::to_owned), Extent::Itself),
        ("the flake", flake.map(Path::to_owned), Extent::Itself),
        ("the working directory", std::env::current_dir().ok(), Extent::Itself),
        ("the folder of --files,", named.files.map(Path::to_owned), Extent::Tree),
        ("the state of --state,", named.state.map(Path::to_owned), Extent::Tree),
        ("the folder with the keys of hosts,", Some(keys), Extent::Tree),
        ("the state folder", Some(cx.state.clone()), Extent::Tree),
        ("this program,", std::env::current_exe().ok(), Extent::Itself),
        ("the tools folder", Some(project::tools_dir()), Extent::Tree),
        ("the Nix store,", Some(PathBuf::from(STORE)), Extent::Tree),
    ];
    let histories = folder
        .into_iter()
        .flat_map(git::repository_dirs)
        .map(|folder| ("the git history of the flake,", folder, Extent::Tree));
    let known = paths.into_iter().filter_map(|(what, path, extent)| Some((what, path?, extent)));
    let roots = Roots::default();
    known
        .chain(histories)
        .map(|(what, path, extent)| ProtectedPath::find(&roots, what, &path, extent))
        .collect()
}
