//! The ways into a host: login keys and Wi-Fi, which the tool writes where the evaluated configuration reads them.

use std::fs;
use std::os::fd::AsRawFd;

use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::layouts::{
    ROOT_IN_MEMORY, ROOT_ON_CARD, fixture_with_options, flash, flash_args, host_key_at, image_with_ext4,
    read_from_card,
};
use crate::support::image::stdout_of;
use crate::support::terminal::Terminal;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";
const PASSWORD: &str = "a \"password\" with \\ and $(true)";

/// A host as this project has it, with an administrator and with `more` options.
fn host_in_memory(more: &str) -> Fixture {
    let key = host_key_at("/nix/persist/etc/ssh/ssh_host_ed25519_key");
    let options = format!(
        "{ROOT_IN_MEMORY} {key} services.openssh.enable = true;
        services.openssh.authorizedKeysFiles = [ \"%h/.ssh/authorized_keys\" \"/etc/ssh/authorized_keys.d/%u\"
          \"/nix/persist/etc/ssh/authorized_keys.d/%u\" ];
        services.openssh.settings = {{
          PermitRootLogin = \"no\"; PasswordAuthentication = false; KbdInteractiveAuthentication = false; }};
        users.users.root = {{ }};
        users.users.nixbld1 = {{ shell = {{ shellPath = \"/bin/nologin\"; }}; }};
        users.users.admin = {{ isNormalUser = true; home = \"/nix/persist/home/admin\"; extraGroups = [ \"wheel\" ]; }};
        users.users.guest = {{ isNormalUser = true; }}; {more}"
    );
    fixture_with_options(&options, &image_with_ext4("NIXOS_SD", &["store"]))
}

/// Writes `text` to a file, and returns its path.
fn write(fixture: &Fixture, name: &str, text: &str) -> String {
    let path = fixture.path(name);
    fs::write(&path, text).expect("writing a file");
    path.to_str().expect("a plain path").to_owned()
}

/// The mode and the owner of `path` in the partition of the card.
fn stat(fixture: &Fixture, path: &str) -> String {
    let card = format!("{}?offset=3145728", fixture.path("virtual-card").display());
    let text = stdout_of("/usr/sbin/debugfs", &["-R", &format!("stat \"{path}\""), &card]);
    let words = text.split_whitespace().collect::<Vec<_>>();
    let after = |label| words[words.iter().position(|word| *word == label).expect(label) + 1];
    format!("{} {}:{}", after("Mode:"), after("User:"), after("Group:"))
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_plan_and_the_result_have_the_login_keys_of_the_host() {
    let keys = format!("users.users.admin.openssh.authorizedKeys.keys = [ \"{KEY} me@desk\" ];");
    let file = "users.users.guest.openssh.authorizedKeys.keyFiles = [ ./keys.pub ];";
    let commented = format!("# no key\n{KEY} guest@desk\n");
    for (options, line, users) in [
        (String::new(), "logins  none\n", &[][..]),
        (keys.clone(), "logins  1 key (ed25519 me@desk for admin)\n", &["admin"]),
        (
            format!(
                "{keys} users.users.guest.openssh.authorizedKeys = {{ keys = [ ]; keyFiles = [ ./keys.pub ]; }};"
            ),
            "logins  2 keys (ed25519 me@desk for admin, ed25519 guest@desk for guest)\n",
            &["admin", "guest"],
        ),
        (format!("{file} services.openssh.settings.DenyUsers = [ \"guest\" ];"), "logins  none\n", &[]),
    ] {
        let fixture = host_in_memory(&options);
        write(&fixture, "flake/keys.pub", &commented);
        let outcome = flash(&fixture, &["--json"]);
        outcome.assert_code(0);
        let result = outcome.json();
        let found = result["login_keys"].as_array().expect("a list");
        assert_eq!(found.iter().map(|key| key["user"].as_str().expect("a name")).collect::<Vec<_>>(), users);
        let outcome = flash(&fixture, &[]);
        outcome.assert_code(0).assert_stderr_contains(line);
        let warning = "warning: nobody can log in to the host of this card: it has no login key\n";
        assert_eq!(outcome.stderr.contains(warning), users.is_empty(), "{}", outcome.stderr);
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn what_is_unknown_of_a_host_is_said_so() {
    for (options, line, json) in [
        ("", "logins  unknown (the configuration says nothing of sshd)\n", Value::Null),
        ("services.openssh.enable = false;", "logins  none (the host runs no sshd)\n", json!([])),
        (
            "services.openssh.enable = true; users.users.pi = { isNormalUser = true; initialPassword = \"x\"; };",
            "logins  none (pi has a password)\n",
            json!([]),
        ),
        (
            "services.openssh.enable = true; users.users.pi.openssh.authorizedKeys.keyFiles = [ \"${make.zst \"pi\"}\" ];",
            "logins  unknown (a build makes the file with the keys)\n",
            Value::Null,
        ),
    ] {
        let fixture = fixture_with_options(options, &image_with_ext4("NIXOS_SD", &["store"]));
        flash(&fixture, &[]).assert_code(0).assert_stderr_contains(line);
        let outcome = flash(&fixture, &["--json"]);
        assert_eq!(outcome.json()["login_keys"], json, "{options}");
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_public_key_is_written_where_sshd_reads_it() {
    let fixture = host_in_memory("");
    let [mine, more] = [("a.pub", "me@desk"), ("b.pub", "laptop")]
        .map(|(name, comment)| write(&fixture, name, &format!("{KEY} {comment}\n")));
    let outcome = flash(&fixture, &["--ssh-key", &mine, "--ssh-key", &more]);
    outcome
        .assert_code(0)
        .assert_stderr_contains("logins  2 keys (ed25519 me@desk for admin, ed25519 laptop for admin)\n");
    assert!(!outcome.stderr.contains("nobody can log in"), "{}", outcome.stderr);
    let path = "/persist/etc/ssh/authorized_keys.d/admin";
    assert_eq!(read_from_card(&fixture, path), format!("{KEY} me@desk\n{KEY} laptop\n"));
    assert_eq!(stat(&fixture, path), "0644 0:0");
    assert_eq!(stat(&fixture, "/persist/etc/ssh/authorized_keys.d"), "0755 0:0");
    flash(&fixture, &["--ssh-key", &mine, "--ssh-key-user", "guest", "--identity", "none"]).assert_code(0);
    assert_eq!(
        read_from_card(&fixture, "/persist/etc/ssh/authorized_keys.d/guest"),
        format!("{KEY} me@desk\n")
    );
    // NixOS leaves this file alone only where the configuration has no key of the user.
    let stock = format!(
        "{} {} services.openssh.enable = true; users.users.root = {{ }};
        services.openssh.authorizedKeysFiles = [ \"%h/.ssh/authorized_keys\" \"/etc/ssh/authorized_keys.d/%u\" ];",
        ROOT_ON_CARD.replace("LABEL", "NIXOS_SD"),
        host_key_at("/etc/ssh/ssh_host_ed25519_key")
    );
    let image = image_with_ext4("NIXOS_SD", &["nix/store"]);
    let fixture = fixture_with_options(&stock, &image);
    flash(&fixture, &["--ssh-key", &write(&fixture, "a.pub", KEY)]).assert_code(0);
    assert_eq!(read_from_card(&fixture, "/etc/ssh/authorized_keys.d/root"), format!("{KEY}\n"));
    let written = "environment.etc.\"ssh/authorized_keys.d/root\".source = \"${make.zst \"pi\"}\";";
    let fixture = fixture_with_options(&format!("{stock} {written}"), &image);
    let refused = flash(&fixture, &["--ssh-key", &write(&fixture, "a.pub", KEY)]);
    refused
        .assert_code(3)
        .assert_stderr_contains("sshd of the host reads no file of the card for the keys of root");
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_key_in_a_home_of_the_payload_counts() {
    let fixture = host_in_memory("");
    fs::create_dir_all(fixture.path("files/home/admin/.ssh")).expect("making a folder");
    write(&fixture, "files/home/admin/.ssh/authorized_keys", &format!("{KEY} home\n"));
    let outcome = flash(&fixture, &["--files", fixture.path("files").to_str().expect("a plain path")]);
    outcome.assert_code(0).assert_stderr_contains("logins  1 key (ed25519 home for admin)\n");
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_key_that_would_let_nobody_in_is_refused_before_the_build() {
    let fixture = host_in_memory("");
    let key = write(&fixture, "a.pub", KEY);
    for (options, text) in [
        (&["--ssh-key", &key, "--ssh-key-user", "root"][..], "sshd of the host lets no user root in"),
        (&["--ssh-key", "/dev/null"], "--ssh-key /dev/null cannot be read"),
        (&["--ssh-key", &write(&fixture, "k", "-----BEGIN OPENSSH PRIVATE KEY-----\n")], "is a private key"),
        (&["--wifi", "home", "--wifi-password-fd", "99"], "reading the password from the file descriptor 99"),
        (&["--wifi", "home", "--wifi-password-fd", "0"], "this is no password of a Wi-Fi network"),
        (&["--wifi", "home"], "nobody can be asked for the password of \"home\""),
    ] {
        let outcome = flash(&fixture, options);
        assert_ne!(outcome.code, 0, "{options:?}");
        outcome.assert_stderr_contains(text);
        assert!(fs::read(fixture.path("virtual-card")).expect("reading").iter().all(|byte| *byte == 0xee));
    }
}

/// Flashes with the network `home`, whose password comes by a file descriptor.
fn flash_wifi(fixture: &Fixture, ssid: &str) -> crate::support::Outcome {
    let password =
        fs::File::open(write(fixture, "password", &format!("{PASSWORD}\n"))).expect("opening a file");
    let fd = password.as_raw_fd().to_string();
    rustix::io::fcntl_setfd(&password, rustix::io::FdFlags::empty()).expect("handing over a file descriptor");
    flash(fixture, &["--wifi", ssid, "--wifi-password-fd", &fd])
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_network_is_written_where_the_configuration_reads_it() {
    let keep =
        |folder: &str| format!("environment.persistence.\"/nix/persist\".directories = [ \"{folder}\" ];");
    let secrets = "networking.wireless = { enable = true; secretsFile = \"/nix/persist/etc/wifi\";
        networks.\"my home\".pskRaw = \"ext:home\"; };";
    for (options, path, line) in [
        (
            format!("networking.wireless.iwd.enable = true; {}", keep("/var/lib/iwd")),
            "/persist/var/lib/iwd/my home.psk",
            "Passphrase=a\\s\"password\"\\swith\\s\\\\\\sand\\s$(true)\n",
        ),
        (
            format!(
                "networking.networkmanager.enable = true; {}",
                keep("/etc/NetworkManager/system-connections")
            ),
            "/persist/etc/NetworkManager/system-connections/my home.nmconnection",
            "psk=a\\s\"password\"\\swith\\s\\\\\\sand\\s$(true)\n",
        ),
        (secrets.to_owned(), "/persist/etc/wifi", "home=a \"password\" with \\ and $(true)\n"),
    ] {
        let fixture = host_in_memory(&options);
        let outcome = flash_wifi(&fixture, "my home");
        outcome.assert_code(0);
        assert!(!(outcome.stderr + &outcome.stdout).contains("password\""), "the password was printed");
        let content = read_from_card(&fixture, &format!("\"{path}\""));
        assert!(content.ends_with(line) || content.contains(&format!("\n{line}")), "{content}");
        assert_eq!(stat(&fixture, path), "0600 0:0");
    }
    for (options, text) in [
        ("", "the configuration of the host has no Wi-Fi for \"my home\""),
        ("networking.wireless.iwd.enable = true;", "keep /var/lib/iwd on the card"),
        ("networking.wireless.enable = true;", "reads no password for \"my home\" from a file"),
    ] {
        flash_wifi(&host_in_memory(options), "my home").assert_code(3).assert_stderr_contains(text);
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_password_of_a_network_is_asked_for_and_not_shown() {
    let iwd = "networking.wireless.iwd.enable = true;
        environment.persistence.\"/nix/persist\".directories = [ \"/var/lib/iwd\" ];";
    let fixture = host_in_memory(iwd);
    let questions = ["Password of the Wi-Fi network \"home\": ", "The same again: "];
    let run = |answers: &[[&str; 2]]| {
        let args = flash_args(&fixture, &["--wifi", "home"]);
        let args = args.iter().map(String::as_str).collect::<Vec<_>>();
        let mut terminal = Terminal::run(fixture.command(&args));
        let mut answers = answers.as_flattened().iter();
        terminal.answer_all(|line| {
            let is_question = questions.iter().any(|question| line.ends_with(question));
            is_question.then(|| answers.next().expect("no more questions").to_string())
        });
        assert_eq!(answers.count(), 0);
        terminal.finish()
    };
    let [slip, right] = [[PASSWORD, "another one"], [PASSWORD, PASSWORD]];
    run(&[slip; 3]).assert_code(3).assert_stderr_contains("the two passwords differ");
    let outcome = run(&[slip, right]);
    outcome.assert_code(0);
    assert!(!outcome.stderr.contains("$(true)"), "{}", outcome.stderr);
    let content = read_from_card(&fixture, "/persist/var/lib/iwd/home.psk");
    assert_eq!(content, "[Security]\nPassphrase=a\\s\"password\"\\swith\\s\\\\\\sand\\s$(true)\n");
}
