//! The settings of a node, as a release has them: all that a deploy needs of the node beside its profile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::node::Node;
use crate::base::HostName;
use crate::deploy::release::ReleaseMark;
use crate::nix::StorePath;

/// The settings of a node, merged as deploy-rs merges them. `None` is its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeSettings {
    /// The address of the host.
    pub hostname: String,
    /// The user who logs in; `None` for the user who deploys.
    pub ssh_user: Option<String>,
    #[serde(default)]
    pub ssh_options: Vec<String>,
    /// The user of the profile.
    pub user: Option<String>,
    /// The words before a command that runs as the user of the profile.
    pub sudo: Option<String>,
    pub interactive_sudo: Option<bool>,
    /// The folder on the host for the folder of deploy-rs.
    pub temp_path: Option<String>,
    /// The link on the host to the current generation of the profile.
    pub profile_path: Option<String>,
    /// Whether the host substitutes nothing.
    pub fast_connection: Option<bool>,
    pub auto_rollback: Option<bool>,
    pub magic_rollback: Option<bool>,
    pub confirm_timeout_seconds: Option<u64>,
    pub activation_timeout_seconds: Option<u64>,
}

impl NodeSettings {
    /// Those of `node`.
    pub fn of(node: &Node) -> Self {
        Self {
            hostname: node.hostname.clone(),
            ssh_user: node.ssh_user.clone(),
            ssh_options: node.ssh_opts.clone(),
            user: node.user.clone(),
            sudo: node.sudo.clone(),
            interactive_sudo: node.interactive_sudo,
            temp_path: node.temp_path.clone(),
            profile_path: node.profile_path.clone(),
            fast_connection: node.fast_connection,
            auto_rollback: node.auto_rollback,
            magic_rollback: node.magic_rollback,
            confirm_timeout_seconds: node.confirm_timeout,
            activation_timeout_seconds: node.activation_timeout,
        }
    }

    /// The node of `host` with these settings and the profile `profile`, of a `release`.
    pub fn into_node(self, host: &HostName, profile: &StorePath, release: Option<ReleaseMark>) -> Node {
        Node {
            profiles: vec!["system".to_owned()],
            pinned: self.pinned(host, profile),
            path: Some(profile.to_string()),
            hostname: self.hostname,
            ssh_user: self.ssh_user,
            ssh_opts: self.ssh_options,
            user: self.user,
            sudo: self.sudo,
            interactive_sudo: self.interactive_sudo,
            temp_path: self.temp_path,
            profile_path: self.profile_path,
            fast_connection: self.fast_connection,
            auto_rollback: self.auto_rollback,
            magic_rollback: self.magic_rollback,
            confirm_timeout: self.confirm_timeout_seconds,
            activation_timeout: self.activation_timeout_seconds,
            release,
            ..Node::default()
        }
    }

    /// The output `deploy` for deploy-rs, with nothing in it but this node and its profile.
    fn pinned(&self, host: &HostName, profile: &StorePath) -> Value {
        let settings = json!({
            "sshUser": self.ssh_user,
            "user": self.user,
            "sudo": self.sudo,
            "interactiveSudo": self.interactive_sudo,
            "tempPath": self.temp_path,
            "fastConnection": self.fast_connection,
            "autoRollback": self.auto_rollback,
            "magicRollback": self.magic_rollback,
            "confirmTimeout": self.confirm_timeout_seconds,
            "activationTimeout": self.activation_timeout_seconds,
        });
        let mut node = without_nulls(&settings);
        node.insert("hostname".into(), self.hostname.as_str().into());
        node.insert("sshOpts".into(), self.ssh_options.clone().into());
        let profile = without_nulls(&json!({ "path": profile, "profilePath": self.profile_path }));
        node.insert("profiles".into(), json!({ "system": profile }));
        json!({ "nodes": { host.as_str(): node } })
    }
}

/// The fields of the object `value` that are not null.
fn without_nulls(value: &Value) -> Map<String, Value> {
    let fields = value.as_object().into_iter().flatten().filter(|(_, field)| !field.is_null());
    fields.map(|(name, field)| (name.clone(), field.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::verdict::tests::store;

    #[test]
    fn a_node_survives_the_way_through_a_release() {
        let settings = NodeSettings {
            hostname: "stinky.lan".into(),
            ssh_user: Some("pi".into()),
            ssh_options: vec!["-p".into(), "2222".into()],
            user: Some("root".into()),
            sudo: Some("doas -u".into()),
            interactive_sudo: Some(false),
            temp_path: Some("/var/tmp".into()),
            profile_path: Some("/p".into()),
            fast_connection: Some(true),
            auto_rollback: Some(true),
            magic_rollback: Some(false),
            confirm_timeout_seconds: Some(60),
            activation_timeout_seconds: Some(600),
        };
        for settings in [settings, NodeSettings { hostname: "a".into(), ..NodeSettings::default() }] {
            let node = settings.clone().into_node(&"pi".into(), &store("profile"), None);
            assert_eq!(NodeSettings::of(&node), settings);
        }
    }

    #[test]
    fn deploy_rs_gets_what_is_set_and_no_nulls() {
        let settings = NodeSettings {
            hostname: "a".into(),
            user: Some("root".into()),
            magic_rollback: Some(false),
            ..NodeSettings::default()
        };
        let profile = store("profile");
        let expected = json!({"nodes": {"pi": {
            "hostname": "a", "sshOpts": [], "user": "root", "magicRollback": false,
            "profiles": {"system": {"path": profile}},
        }}});
        assert_eq!(settings.pinned(&"pi".into(), &profile), expected);
    }
}
