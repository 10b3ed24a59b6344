//! What a flash must not overwrite, beside the disks of the running system.

use std::path::{Path, PathBuf};

use crate::base::{Context, git, project};
use crate::card::disk::{Extent, Protected, Roots};
use crate::identity;

/// The store of Nix, with the image and the tools.
const STORE: &str = "/nix";

/// The paths of one flash that its user named.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a> {
    pub image: Option<&'a Path>,
    /// The folder whose content goes onto the card.
    pub files: Option<&'a Path>,
    /// The folder with the keys of all hosts, where it is not that of the project.
    pub identities: Option<&'a Path>,
}

/// Everything that must survive. Each is looked for on the card, wherever a link to it leads.
pub fn protected(cx: &Context, named: Named) -> Vec<Protected> {
    let flake = project::flake_dir(&cx.flake);
    let keys = named.identities.map_or_else(identity::folder, Path::to_owned);
    let places = [
        ("the image", named.image.map(Path::to_owned), Extent::Itself),
        ("the flake", Some(flake.clone()), Extent::Itself),
        ("the working directory", std::env::current_dir().ok(), Extent::Itself),
        ("the folder of --files,", named.files.map(Path::to_owned), Extent::Tree),
        ("the folder with the keys of hosts,", Some(keys), Extent::Tree),
        ("the state folder", Some(project::state_dir()), Extent::Tree),
        ("this program,", std::env::current_exe().ok(), Extent::Itself),
        ("the tools folder", Some(project::tools_dir()), Extent::Tree),
        ("the Nix store,", Some(PathBuf::from(STORE)), Extent::Tree),
    ];
    let histories = git::repository_dirs(&flake)
        .into_iter()
        .map(|folder| ("the git history of the flake,", folder, Extent::Tree));
    let places =
        places.into_iter().filter_map(|(what, path, extent)| Some((what, path?, extent))).chain(histories);
    let roots = Roots::default();
    places.map(|(what, path, extent)| Protected::find(&roots, what, &path, extent)).collect()
}
