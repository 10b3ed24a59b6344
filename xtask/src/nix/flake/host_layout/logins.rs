//! Who can log in to a host by ssh, by its evaluated configuration.

use serde::{Deserialize, Serialize};

/// The ways to log in to a host by ssh. `logins.nix` evaluates them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLogins {
    /// Whether the host runs sshd.
    pub is_enabled: bool,
    /// Whether sshd takes keys that a program names, or certificates of an authority.
    pub has_other_way: bool,
    /// The users that sshd lets in.
    pub users: Vec<LoginUser>,
}

/// A user that sshd lets in, by a key or a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginUser {
    pub name: String,
    /// Whether the user is a person, and no service.
    is_normal: bool,
    /// Whether the user is in the group `wheel`.
    is_admin: bool,
    /// The lines of the keys in the configuration; `None` if unknown.
    pub keys: Option<String>,
    /// Whether ssh takes a password of the user.
    pub has_password: bool,
    /// The files in which sshd looks for keys of this user alone, and which the configuration does not write.
    pub files: Vec<String>,
    /// The files in the home of the user in which sshd looks for keys.
    #[serde(default)]
    pub home_files: Vec<String>,
}

impl HostLogins {
    /// The user with the name `wanted`, or else the administrator: the only user in the group `wheel`, the only person,
    /// or root, where nobody else can log in.
    pub fn user(&self, wanted: Option<&str>) -> Option<&LoginUser> {
        let only = |is_wanted: &dyn Fn(&&LoginUser) -> bool| {
            let mut found = self.users.iter().filter(is_wanted);
            found.next().filter(|_| found.next().is_none())
        };
        match wanted {
            Some(name) => only(&|user| user.name == name),
            None => only(&|user| user.is_admin && user.is_normal)
                .or_else(|| only(&|user| user.is_normal))
                .or_else(|| only(&|_| true).filter(|user| user.name == "root")),
        }
    }

    /// The users who have a way in by the configuration: a key, keys that a build makes, or a password. Others get in
    /// by a card that has their key.
    pub fn with_way_in(&self) -> impl Iterator<Item = &LoginUser> {
        let has_keys = |user: &LoginUser| user.keys.as_ref().is_none_or(|keys| !keys.trim().is_empty());
        let users = self.users.iter().filter(|_| self.is_enabled);
        users.filter(move |user| self.has_other_way || user.has_password || has_keys(user))
    }

    /// The names of the users, for a message.
    pub fn names(&self) -> String {
        self.users.iter().map(|user| &*user.name).collect::<Vec<_>>().join(", ")
    }
}
