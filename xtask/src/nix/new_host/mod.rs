//! A new host in the files of a flake: its file, its line in the list of hosts, and the keys of its administrator.
//! [`draft()`] says what is written for the shapes of flakes that it knows; [`Draft::write`] writes all of it or
//! nothing.

mod draft;
mod files;
mod known;
mod names;
mod release;
mod shape;
mod syntax;

pub use draft::{Draft, Drafted, draft};
pub use known::{LOGIN_KEYS, known_error, lacks_login_keys, refuse_known};
pub use names::{check_address, check_host, check_user};
pub use release::{is_release, release};

/// The facts of a new host. Names were checked by [`check_host`] and [`check_user`].
#[derive(Clone, Debug)]
pub struct NewHost {
    pub name: String,
    pub admin: String,
    /// The address that ssh and deploys connect to.
    pub address: String,
    /// The name of the board in `raspberryPi.boards`.
    pub board: &'static str,
    pub has_wifi: bool,
    /// The public keys of the administrator, as lines of `authorized_keys`.
    pub keys: Vec<String>,
    /// The release of NixOS for `system.stateVersion`.
    pub release: String,
}
