//! Cards that get the system, the identity and the saved state of a host, read by e2fsprogs. Restic is a real one.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, mkfifoat};

use crate::card::{Card, MIB};
use crate::fake_flake::FakeFlake;
use crate::host_image::{assert_sound, debugfs, host_image, listing, private_key};
use crate::image::garbage;
use crate::payload::KEY;
use crate::support::image::stdout_of;
use crate::support::{Outcome, Sandbox};

/// The size of the card in MiB.
pub const CARD_MIB: usize = 96;

/// A host whose card was flashed once, and its saved state.
pub struct Host {
    pub flake: FakeFlake,
    /// The folder of the state.
    pub state: PathBuf,
}

impl Host {
    pub fn new() -> Self {
        let flake = FakeFlake::new(&host_image(4096));
        let state = flake.sandbox.path("home/persist");
        make_state(&state);
        let host = Self { flake, state };
        let card = Card::new(CARD_MIB);
        host.flake.run("flash", card.device.device(), "96MiB", &[]).assert_code(0);
        host
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.flake.sandbox
    }

    /// Runs `restore` to a new card with the options `more`.
    pub fn restore(&self, more: &[&str]) -> (Outcome, Card) {
        let card = Card::new(CARD_MIB);
        let outcome = self.flake.run("restore", card.device.device(), "96MiB", more);
        (outcome, card)
    }

    /// Asserts that `card` has the state, whose files belong to the owners `own`, and the identity of the host.
    #[track_caller]
    fn assert_restored(&self, card: &Card, own: &str) {
        let device = card.device.device();
        assert_sound(device);
        assert_eq!(debugfs(device, &format!("cat {KEY}")), private_key(self.sandbox(), "pi"));
        let names = listing(device, "/persist/var");
        for line in [
            format!("data 100640 {own} 6"),
            format!("empty 042770 {own} "),
            format!("hard 100640 {own} 6"),
            format!("large 104755 {own} {}", 6 * MIB),
            format!("link 120777 {own} 7"),
            format!("sparse 100644 {own} {}", 8 * MIB),
        ] {
            assert!(names.contains(&line), "{line}: {names:?}");
        }
        assert!(!names.iter().any(|line| line.starts_with("pipe")), "{names:?}");
        assert_eq!(debugfs(device, "cat /persist/var/data"), "state\n");
        assert_eq!(debugfs(device, "cat /persist/etc/old.conf"), "of the state\n");
        assert!(debugfs(device, "stat /persist/var/data").contains("mtime: 0x5f5e1000:"));
        let out = self.sandbox().path("home/dumped");
        debugfs(device, &format!("dump /persist/var/large {}", out.display()));
        assert!(fs::read(&out).unwrap() == garbage(6 * MIB));
        assert_eq!(listing(device, "/persist/many").len(), 1200);
        // The store of the image is whole.
        debugfs(device, &format!("dump /store/path {}", out.display()));
        assert!(fs::read(&out).unwrap() == garbage(5 * MIB + 1234));
    }

    /// Asserts that nothing of a restore is left in the state folder but its lock.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let left = fs::read_dir(self.sandbox().path("state/restore")).map_or(0, Iterator::count);
        assert!(left <= 1, "{left} files are left");
    }
}

/// Makes a state with entries of every kind in the new folder `dir`.
pub fn make_state(dir: &Path) {
    fs::create_dir_all(dir.join("etc/ssh")).unwrap();
    fs::create_dir_all(dir.join("var/empty")).unwrap();
    fs::create_dir(dir.join("many")).unwrap();
    fs::write(dir.join("etc/old.conf"), "of the state\n").unwrap();
    fs::write(dir.join("etc/ssh/ssh_host_ed25519_key"), "another key\n").unwrap();
    fs::write(dir.join("var/data"), "state\n").unwrap();
    fs::write(dir.join("var/large"), garbage(6 * MIB)).unwrap();
    fs::File::create(dir.join("var/sparse")).unwrap().set_len(8 << 20).unwrap();
    fs::hard_link(dir.join("var/data"), dir.join("var/hard")).unwrap();
    symlink("../data", dir.join("var/link")).unwrap();
    mkfifoat(CWD, dir.join("var/pipe"), 0o600.into()).unwrap();
    for number in 0..1200 {
        fs::write(dir.join(format!("many/{number}")), number.to_string()).unwrap();
    }
    for (name, mode) in
        [("var/data", 0o640), ("var/large", 0o4755), ("var/empty", 0o2770), ("var/sparse", 0o644)]
    {
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    stdout_of("touch", &["-d", "@1600000000", dir.join("var/data").to_str().unwrap()]);
}

/// Gives the content of `state` to the user 70000 and the group 998, with the modes that it has.
pub fn give_away(state: &Path) {
    for entry in fs::read_dir(state.join("var")).unwrap() {
        let path = entry.unwrap().path();
        let mode = path.symlink_metadata().unwrap().permissions();
        std::os::unix::fs::lchown(&path, Some(70_000), Some(998)).unwrap();
        // A new owner takes the mark of a program that runs as its owner.
        if !path.is_symlink() {
            fs::set_permissions(&path, mode).unwrap();
        }
    }
    chown(state.join("var"), Some(70_000), Some(998)).unwrap();
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_folder_is_restored_with_its_owners_twice() {
    let host = Host::new();
    give_away(&host.state);
    let state = host.state.to_str().unwrap().to_owned();
    for _ in 0..2 {
        let (outcome, card) = host.restore(&["--state", &state]);
        let result =
            format!("{} holds the image with the saved state and the identity of pi: ", card.device.device());
        assert!(outcome.assert_code(0).stdout.starts_with(&result), "{outcome:?}");
        outcome.assert_stderr_contains("not restored: 1 special file (devices, sockets, pipes): var/pipe");
        outcome.assert_stderr_contains("not restored: 1 entry of the host key, which the identity replaces");
        outcome.assert_stderr_contains(format!("state   the folder {state}\n"));
        outcome.assert_stderr_contains("1205 files, 5 folders, 1 link, 14.0 MiB, to /nix/persist\n");
        host.assert_restored(&card, "70000:998");
        host.assert_nothing_left();
        host.sandbox().run(&["card", "verify", card.device.device()]).assert_code(0);
    }
    let history = host.flake.history();
    assert_eq!(history.matches(" 012345678 ").count(), 3, "{history}");
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn an_archive_is_restored_with_the_owners_that_it_names() {
    let host = Host::new();
    let state = host.state.to_str().unwrap();
    let own = ["--numeric-owner", "--owner=70000", "--group=998"];
    let prefix = ["--transform", "s,^\\.,nix/persist,S"];
    for (name, more) in
        [("a.tar", &[][..]), ("a.tar.zst", &["--zstd"]), ("a.tar.gz", &["--gzip"]), ("p.tar", &prefix)]
    {
        let archive = host.sandbox().path("home").join(name).display().to_string();
        stdout_of("tar", &[&["-C", state, "-cf", &archive][..], &own, more, &["."]].concat());
        let (outcome, card) = host.restore(&["--state", &archive]);
        outcome.assert_code(0).assert_stderr_contains(format!("state   the archive {archive}\n"));
        host.assert_restored(&card, "70000:998");
        host.assert_nothing_left();
    }
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn the_latest_snapshot_of_the_host_is_restored() {
    let mut host = Host::new();
    give_away(&host.state);
    let repository = host.sandbox().path("home/repository");
    let password = host.sandbox().path("home/password");
    fs::write(&password, "secret\n").unwrap();
    let [repository, password] = [repository, password].map(|path| path.display().to_string());
    let cache = host.sandbox().path("home/cache");
    host.flake.sandbox.env("RESTIC_CACHE_DIR", &cache);
    let cache = format!("--cache-dir={}", cache.display());
    let restic = |words: &[&str]| {
        let open = ["-q", "-r", &repository, "--password-file", &password, &cache];
        stdout_of("restic", &[&open[..], words].concat())
    };
    restic(&["init"]);
    let state = host.state.to_str().unwrap().to_owned();
    restic(&["backup", "--host", "pi", &state]);
    restic(&["backup", "--host", "other", &format!("{state}/etc")]);
    let source = format!("restic:{repository}");
    let open = ["--state", &source, "--state-path", &state];
    let (outcome, card) = host.restore(&[&open[..], &["--password-file", &password]].concat());
    outcome.assert_code(0).assert_stderr_contains(", of the host pi\n");
    host.assert_restored(&card, "70000:998");
    host.assert_nothing_left();
    let (outcome, card) = host.restore(&open);
    outcome.assert_code(3).assert_stderr_contains("hint: name a file with the password by --password-file");
    card.assert_unchanged();
}

/// The arguments of restic name the repository and the snapshot, and no password.
#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn restic_gets_exactly_these_arguments() {
    let host = Host::new();
    let archive = host.sandbox().path("home/a.tar").display().to_string();
    stdout_of(
        "tar",
        &[
            "-C",
            host.state.to_str().unwrap(),
            "-cf",
            &archive,
            "etc/old.conf",
            "--transform",
            "s,^,nix/persist/,",
        ],
    );
    let snapshot = r#"[{"id":"aabbccdd00","time":"2026-11-28T03:10:00.5+01:00","hostname":"pi","paths":["/nix/persist"]}]"#;
    let node = r#"{"type":"file","path":"/nix/persist/etc/old.conf","size":13,"struct_type":"node"}"#;
    let body = format!(
        "case \"$*\" in *snapshots*) echo '{snapshot}';; *' ls '*) echo '{{\"struct_type\":\"snapshot\"}}'; echo '{node}';; \
         *' dump '*) cat {archive};; *) exit 99;; esac"
    );
    host.sandbox().fake("restic", &body);
    let (outcome, card) =
        host.restore(&["--state", "restic:rest:http://nas/pis", "--password-file", "/run/password"]);
    outcome
        .assert_code(0)
        .assert_stderr_contains("state   snapshot aabbccdd of 2026-11-28 03:10, of the host pi\n");
    assert_eq!(debugfs(card.device.device(), "cat /persist/etc/old.conf"), "of the state\n");
    let open = ["--repo=rest:http://nas/pis", "--password-file=/run/password", "--no-lock"];
    let expected = [
        &["snapshots", "--json"][..],
        &["ls", "--json", "--recursive", "aabbccdd00", "/nix/persist"],
        &["dump", "--archive", "tar", "aabbccdd00", "/nix/persist"],
    ]
    .map(|words| [&open[..], words].concat());
    assert_eq!(host.sandbox().calls("restic"), expected);
}
