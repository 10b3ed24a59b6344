//! The commands for a Pi that runs: on a host in a network namespace, with its own users, sudo, Nix and sshd.

use std::fs;
use std::path::PathBuf;

use crate::cache_server::{Answer, CacheServer};
use crate::fixture::Fixture;
use crate::machine::{self, Machine};
use crate::page::{self, Block};
use crate::scene::Scene;

/// The users of the pages, each with a home of its own.
const USERS: &[&str] = &["ppetru", "anna"];

/// The host `stinky` of the pages, and its flake in git.
struct Pi {
    fixture: Fixture,
    folder: PathBuf,
}

impl Pi {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        fixture.machine = Machine::start_with_user("ALL=(ALL) NOPASSWD: ALL");
        fixture.known_hosts = fixture.machine.write_known_hosts();
        let folder = fixture.sandbox.path("flake");
        fixture.sandbox.env("XTASK_STATE", folder.join(".xtask"));
        let pi = Self { fixture, folder };
        pi.add_users();
        pi.write_ssh_config();
        pi.set_system("first");
        let keys = "mkdir -p ~/.ssh hosts/common/keys hosts/common/cache .xtask/identity; chmod -R go-w .xtask\n\
                    ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_new\n\
                    cp \"$CLIENT_KEY.pub\" hosts/common/keys/ppetru.pub\n\
                    echo \"stinky $(cat $HOST_KEY.pub)\" >.xtask/identity/known_hosts\n\
                    git config --global user.name Me; git config --global user.email me@example.org\n\
                    echo /.xtask/ >.gitignore; git init -q; git add .; git commit -qm First\n";
        let [client, host] = ["client_key", "host_key"].map(|name| pi.fixture.machine.path(name));
        let variables = format!("CLIENT_KEY={}; HOST_KEY={}\n", client.display(), host.display());
        pi.run(&format!("{variables}{keys}"));
        pi
    }

    /// Gives the host the users of the pages, who may become root, and homes that are not those of this machine.
    fn add_users(&self) {
        let append = |name: &str, text: String| {
            let file = self.fixture.machine.path(name);
            let before = fs::read_to_string(&file).expect("reading a file of a host");
            fs::write(file, before + &text).expect("writing a file of a host");
        };
        self.fixture.machine.run_inside("mount -t tmpfs tmpfs /home");
        for (number, user) in USERS.iter().enumerate() {
            let id = 4800 + number;
            append("passwd", format!("{user}:x:{id}:100::/home/{user}:/bin/bash\n"));
            append("shadow", format!("{user}:*:20000:0:99999:7:::\n"));
            append("sudoers", format!("{user} ALL=(ALL) NOPASSWD: ALL\n"));
            self.fixture.machine.run_inside(&format!("install -d -o {id} -g 100 /home/{user}"));
        }
    }

    /// Lets ssh find the host by the names of the pages, and log in by a key unless the command names one. A login
    /// without a command ends at once.
    fn write_ssh_config(&self) {
        let config = self.fixture.sandbox.path("ssh_config");
        let Fixture { machine, known_hosts, .. } = &self.fixture;
        let text = format!(
            "Host stinky stinky.lan\n  HostName {0}\n  HostKeyAlias {0}\nHost *\n  UserKnownHostsFile {1}\n  \
             GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n",
            machine.address,
            known_hosts.display()
        );
        fs::write(&config, text).expect("writing a configuration of ssh");
        let key = machine.path("client_key").display().to_string();
        let body = format!(
            "[ -t 0 ] && exec </dev/null\n\
             [ \"$1\" = -i ] || set -- -i {key} \"$@\"\n\
             exec {} -F {} \"$@\"",
            machine::real_program("ssh"),
            config.display()
        );
        self.fixture.sandbox.fake("ssh", &body);
    }

    /// Lets the flake have a system called `name`, which accepts the keys of the administrator in the flake.
    fn set_system(&self, name: &str) {
        let mut keys = fs::read_to_string(self.fixture.machine.path("client_key.pub")).expect("a key");
        keys += &fs::read_to_string(self.fixture.sandbox.path("home/.ssh/id_new.pub")).unwrap_or_default();
        let activation = format!("cat >/mnt/client_key.pub <<'END'\n{keys}END");
        self.fixture.add_host("stinky", "stinky", &[], name, &activation);
    }

    /// A scene in the folder of the flake.
    fn scene(&self) -> Scene<'_> {
        let mut scene = Scene::new(&self.fixture.sandbox, &self.folder);
        for (name, here) in
            [("smelly", "stinky"), ("USER@HOST", "root@stinky"), ("USER@ADDRESS", "ppetru@stinky")]
        {
            scene.names.push((name, here.to_owned()));
        }
        scene
    }

    #[track_caller]
    fn run(&self, script: &str) -> String {
        let outcome = self.scene().run(script, false);
        outcome.assert_code(0);
        outcome.stderr
    }

    /// Runs the blocks of the scene `name` of `page`, each with a new system, and commits what they changed.
    #[track_caller]
    fn walk(&self, page: &str, name: &str, more: &[(&'static str, String)]) {
        let mut scene = self.scene();
        scene.names.extend(more.iter().cloned());
        let also = ["pi-login", "flash-and-pi"];
        let blocks = page::blocks_of(page)
            .into_iter()
            .filter(|block| block.scene == name || name == "pi" && also.contains(&block.scene.as_str()));
        let blocks = blocks.collect::<Vec<_>>();
        assert!(!blocks.is_empty(), "{page} has no block of {name}");
        for block in blocks {
            self.set_system(&format!("at-{}", block.line));
            self.run("git add .; git commit -qm Change");
            scene.run_block(&for_pi(block));
            self.run("git add .; git commit -qm Change || true");
        }
    }
}

/// What the suite runs of `block`: where the first command logs in, the shell there gets what follows; of commands for
/// cards too, only those for hosts that run.
fn for_pi(block: Block) -> Block {
    let text = match (block.scene.as_str(), block.text.split_once('\n')) {
        ("pi-login", Some((login, commands))) => {
            format!("{login} bash -euo pipefail <<'END'\n{commands}END\n")
        }
        ("flash-and-pi", _) => {
            let lines = block.text.lines().filter(|line| line.contains(" deploy "));
            lines.collect::<Vec<_>>().join("\n")
        }
        _ => return block,
    };
    Block { text, ..block }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_administrator_of_a_host_is_changed() {
    let pi = Pi::new();
    let machine = &pi.fixture.machine;
    machine.run_inside(
        "mkdir -p /nix/persist/etc/passwords /nix/persist/etc/ssh/authorized_keys.d /nix/persist/home/ppetru\n\
         echo mine >/nix/persist/home/ppetru/file; echo hash >/nix/persist/etc/passwords/ppetru",
    );
    // The package `whois` has it.
    machine.replace_program("mkpasswd", "echo '$6$salt$hash'");
    pi.walk("docs/administrator.md", "pi", &[]);
    let keys = fs::read_to_string(pi.folder.join("hosts/common/keys/ppetru.pub")).expect("the keys in git");
    assert_eq!(keys.lines().count(), 2, "{keys}");
    let shown = machine.run_inside(
        "stat -c '%U %a' /nix/persist/etc/passwords/ppetru; ls /nix/persist/home; stat -c %U /home/anna/file\n\
         ls /nix/persist/etc/passwords /nix/persist/etc/ssh/authorized_keys.d",
    );
    for expected in ["root 600\n", "anna\n", "authorized_keys.d:\nanna"] {
        assert!(shown.contains(expected) && !shown.contains("home/ppetru"), "{expected}: {shown}");
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_is_deployed_to_and_logged_in_to() {
    let pi = Pi::new();
    pi.fixture.machine.run_inside("mkdir -p /nix/persist/etc");
    for (page, names) in [
        ("docs/deploying.md", &[][..]),
        ("docs/output.md", &[]),
        ("docs/restore.md", &[]),
        ("docs/flashing.md", &[]),
        ("docs/hosts.md", &[]),
        ("docs/RASPBERRY_PI_SD_IMAGE.md", &[]),
        ("docs/pi-5.md", &[("HostKeyAlias=HOST", "HostKeyAlias=stinky".to_owned())]),
        ("README.md", &[("anna@", "ppetru@".to_owned())]),
    ] {
        pi.walk(page, "pi", names);
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs, jq: run `cargo xtask test`"]
fn a_release_is_made_signed_and_deployed() {
    let pi = Pi::new();
    pi.run("cargo xtask deploy stinky");
    let cache = format!("file://{}", pi.fixture.sandbox.path("cache").display());
    pi.walk("docs/releases.md", "pi-release", &[("s3://cache", cache)]);
    assert!(pi.run("cargo xtask history stinky").contains("deploy"), "a receipt");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_trusts_a_cache_key_and_fetches_from_a_cache() {
    let pi = Pi::new();
    let blocks = page::blocks_of("docs/deploying.md").into_iter().filter(|block| block.scene == "pi-cache");
    let blocks = blocks.collect::<Vec<_>>();
    let block = |start: &str| {
        let found = blocks.iter().find(|block| block.text.contains(start));
        found.unwrap_or_else(|| panic!("no block has {start}")).clone()
    };
    assert_eq!(blocks.len(), 3, "{blocks:#?}");
    let system = || {
        let installable = format!("{}#deploy.nodes.stinky.profiles.system.path", pi.folder.display());
        machine::run("nix", &["build", "--no-link", "--print-out-paths", &installable]).trim().to_owned()
    };
    let runs = || pi.fixture.machine.run_inside("readlink -f /nix/var/nix/profiles/system");

    // A name that no earlier run has used: what that run built is signed by another key.
    let name = |name: &str| format!("{name}-{}", std::process::id());
    pi.set_system(&name("signed"));
    pi.scene().run_block(&block("identity cache-key"));
    let key = fs::read_to_string(pi.folder.join("hosts/common/cache/desk.pub")).expect("a public key");
    assert_eq!(runs(), system());

    let conf = pi.fixture.machine.path("etc/nix.conf");
    let text = fs::read_to_string(&conf).expect("the settings of Nix");
    fs::write(&conf, format!("{text}trusted-public-keys = {key}")).expect("writing them");
    let server = CacheServer::start(pi.fixture.sandbox.path("cache"), |_| Answer::Serve);
    let (network, _) = pi.fixture.machine.address.rsplit_once('.').expect("an address");
    let mut scene = pi.scene();
    scene.names.push(("http://nas:5000", format!("http://{network}.1:{}", server.port)));
    scene.names.push(("ssh-ng://nas", server.folder_url()));
    pi.set_system(&name("fetched"));
    scene.run_block(&block("--via-cache"));
    assert!(server.count("GET /nar/") > 0);
    assert_eq!(runs(), system());

    pi.set_system(&name("imported"));
    scene.names.push(("SYSTEM", system()));
    scene.names.push(("deploy HOST", "deploy stinky".to_owned()));
    scene.run_block(&block("nix-store --import"));
    assert_eq!(runs(), system());
}
