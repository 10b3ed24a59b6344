//! The name of a host in its flake.

use std::convert::Infallible;
use std::fmt::{self, Display};
use std::ops::Deref;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shell;

/// The name of a host: the attribute of its node, its configuration and its image in the flake. Any text can be one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct HostName(String);

impl From<&str> for HostName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl From<String> for HostName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl HostName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, to be changed in place.
    pub fn as_mut_string(&mut self) -> &mut String {
        &mut self.0
    }
}

impl PartialEq<str> for HostName {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl FromStr for HostName {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(name.into())
    }
}

impl Deref for HostName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Display for HostName {
    /// The name; as `{:#}` the name as one word of a command line.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if f.alternate() { f.pad(&shell::quote(&self.0)) } else { f.pad(&self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_in_a_command() {
        for (name, word) in [("pi.lan", "pi.lan"), ("a b", "'a b'"), ("$x", "'$x'")] {
            let host = HostName::from(name);
            assert_eq!((format!("{host}"), format!("{host:#}")), (name.to_owned(), word.to_owned()));
        }
    }
}
