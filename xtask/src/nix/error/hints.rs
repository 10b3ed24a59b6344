//! The hints for errors of Nix, each named after the trouble that it mends.

pub const NO_FLAKE: &str = "name a folder with a flake.nix, or a URL, with --flake";
pub const WRONG_ARGUMENT: &str = "correct the arguments for Nix behind `--`";
pub const WRONG_SETTING: &str = "correct the setting: in the variable NIX_CONFIG, or in nix.conf (in ~/.config/nix, /etc/nix \
    or $NIX_CONF_DIR)";
pub const NO_INPUT: &str = "correct the input in flake.nix, or pass another one with `-- --override-input NAME URL` \
    (deploy: `-- -- --override-input NAME URL`)";
pub const UNTRACKED: &str = "run `git add` on the file, as nix sees only what git tracks; name a folder that git ignores as path:FOLDER";
pub const CANNOT_RUN: &str =
    "run `cargo xtask doctor` to see why this machine cannot run programs of that system";
pub const CANNOT_BUILD: &str =
    "run `cargo xtask doctor` to see why this machine cannot build for that system";
pub const NO_ATTRIBUTE: &str = "run `cargo xtask hosts` to list what the flake offers";
pub const NO_OUTPUT: &str = "give the image's package an output `out`";
pub const CANNOT_SANDBOX: &str = "allow user namespaces (sysctl user.max_user_namespaces, and \
    kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu), or use a Nix whose daemon has build users: \
    builds outside a sandbox could read the private keys of hosts";
pub const HAS_NO_CHROOT: &str = "remove `__noChroot` from the derivation: a build outside the sandbox could \
    read the private keys of hosts";
pub const IMPORT_DISABLED: &str = "run the tool as another user than root: the flake builds something during its \
    evaluation, and as root such a build could read the private keys of hosts";
pub const NOT_READABLE: &str = "run the tool as the user who owns that path: nix reads only what the modes of files allow, \
    also as root, so that no flake reads the private keys of hosts";
pub const NOT_OF_DAEMON: &str = "let this user reach the nix-daemon: by the group of its socket, as nix-users on Debian, and by \
    `allowed-users` in nix.conf";
pub const NOT_OF_STORE: &str =
    "run the tool as the user who owns /nix, or start a nix-daemon, which builds for other users";
pub const NO_CACHE: &str =
    "let XDG_CACHE_HOME name a folder that this user can write: nix keeps its cache there";
pub const NO_NETWORK: &str = "check the network: nix could not fetch something that the flake needs";
pub const NO_ACCESS: &str = "check the address; for a private repository, or where a server limits requests, set \
    `access-tokens` or `netrc-file` in nix.conf";
pub const OTHER_CONTENT: &str = "find out why the source has another content than the flake expects; if that is right, \
    write the hash behind `got:` into the flake";
pub const NO_DAEMON: &str = "start nix-daemon, which does not answer: `systemctl start nix-daemon`";
/// What each hint about a full disk begins with.
pub const FREE_SPACE: &str = "free space ";
/// The hint where no full disk is found; see [`super::disk_full_hint`].
pub const DISK_FULL: &str = "free space in the Nix store, as the disk is full: `nix-collect-garbage`";
