//! The keys by which users log in to the host of a card, for the plan of a flash and its result.

use std::fmt;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::login_key::{LoginKey, login_keys_in};
use crate::base::{Event, Plain};

/// The most keys that a plan lists.
const MAX_LISTED: usize = 3;

/// The remedy for a card that lets nobody in.
const HINT: &str = "pass --ssh-key FILE with your public key, or add the key to \
                    users.users.NAME.openssh.authorizedKeys.keys of the host";

/// The keys by which users log in to the host of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginKeys {
    /// Unknown, because of this.
    Unknown(&'static str),
    /// The host runs no sshd.
    NoSshd,
    /// These keys; `other_way` is how else somebody logs in.
    Keys { keys: Vec<UserKey>, other_way: Option<String> },
}

/// A key and the user whose login it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UserKey {
    user: String,
    #[serde(flatten)]
    key: LoginKey,
}

impl UserKey {
    /// The keys of `user` in `text`, the content of an `authorized_keys`.
    pub fn all_in(user: &str, text: &str) -> Vec<Self> {
        login_keys_in(text).into_iter().map(|key| Self { user: user.to_owned(), key }).collect()
    }
}

impl LoginKeys {
    /// The warning of a card that lets nobody in.
    pub fn warning(&self) -> Option<Event> {
        match self {
            Self::NoSshd => Some(Event::warning_with_hint(
                "nobody can log in to the host of this card: it runs no sshd".to_owned(),
                "set services.openssh.enable in the configuration of the host",
            )),
            Self::Keys { keys, other_way: None } if keys.is_empty() => Some(Event::warning_with_hint(
                "nobody can log in to the host of this card: it has no login key".to_owned(),
                HINT,
            )),
            _ => None,
        }
    }
}

impl fmt::Display for LoginKeys {
    /// The line of a plan.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("logins  ")?;
        match self {
            Self::Unknown(why) => write!(f, "unknown ({why})"),
            Self::NoSshd => f.write_str("none (the host runs no sshd)"),
            Self::Keys { keys, other_way: Some(way) } if keys.is_empty() => {
                write!(f, "none ({})", Plain(way))
            }
            Self::Keys { keys, .. } if keys.is_empty() => f.write_str("none"),
            Self::Keys { keys, .. } => {
                let listed = keys.iter().take(MAX_LISTED);
                let shown =
                    listed.map(|UserKey { user, key }| format!("{} for {}", key.summary(), Plain(user)));
                let noun = if keys.len() == 1 { "key" } else { "keys" };
                write!(f, "{} {noun} ({}", keys.len(), shown.collect::<Vec<_>>().join(", "))?;
                match keys.len().saturating_sub(MAX_LISTED) {
                    0 => f.write_str(")"),
                    more => write!(f, " and {more} more)"),
                }
            }
        }
    }
}

impl Serialize for LoginKeys {
    /// The list of the keys, or null where they are unknown.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unknown(_) => serializer.serialize_none(),
            Self::NoSshd => serializer.collect_seq(&[] as &[UserKey]),
            Self::Keys { keys, .. } => serializer.collect_seq(keys),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";

    /// As many keys of `pi`, whose comments are numbers.
    fn keys(count: usize) -> LoginKeys {
        let text = (1..=count).map(|number| format!("{KEY} {number}\n")).collect::<String>();
        LoginKeys::Keys { keys: UserKey::all_in("pi", &text), other_way: None }
    }

    #[test]
    fn a_plan_lists_the_first_keys() {
        let password = LoginKeys::Keys { keys: Vec::new(), other_way: Some("the password of pi".to_owned()) };
        for (found, line, is_warned) in [
            (LoginKeys::Unknown("why"), "logins  unknown (why)", false),
            (LoginKeys::NoSshd, "logins  none (the host runs no sshd)", true),
            (keys(0), "logins  none", true),
            (password, "logins  none (the password of pi)", false),
            (keys(1), "logins  1 key (ed25519 1 for pi)", false),
            (keys(3), "logins  3 keys (ed25519 1 for pi, ed25519 2 for pi, ed25519 3 for pi)", false),
            (
                keys(5),
                "logins  5 keys (ed25519 1 for pi, ed25519 2 for pi, ed25519 3 for pi and 2 more)",
                false,
            ),
        ] {
            assert_eq!((found.to_string().as_str(), found.warning().is_some()), (line, is_warned));
        }
    }

    #[test]
    fn json_has_a_list_or_null() {
        let json = |keys: &LoginKeys| serde_json::to_value(keys).unwrap();
        assert_eq!(json(&LoginKeys::Unknown("why")), serde_json::Value::Null);
        assert_eq!(json(&LoginKeys::NoSshd), serde_json::json!([]));
        assert_eq!(json(&keys(0)), serde_json::json!([]));
        let key = serde_json::json!({
            "user": "pi", "type": "ed25519", "comment": "1",
            "fingerprint": "SHA256:hDnkBipv08ZX2EQJwP4gN2mLnwYd4ZMyo6oUsECY7mY"
        });
        assert_eq!(json(&keys(1)), serde_json::json!([key]));
    }
}
