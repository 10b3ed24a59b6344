//! What a sudo rule for the worker grants to a user who may send it any job: reading and writing cards, and
//! nothing else.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::card::MIB;
use crate::host_image::host_image;
use crate::image::{garbage, image};
use crate::support::loops::{Loop, Mounted, Swap, ext4};
use crate::support::worker::{last_message, request, run_job, run_job_as};
use crate::user::{NOBODY, User, give, run, set_mode};

/// A file that only root may read and write.
fn secret(user: &User, bytes: &[u8]) -> std::path::PathBuf {
    let path = user.sandbox.path("secret");
    std::fs::write(&path, bytes).expect("writing a file");
    set_mode(&path, 0o600);
    path
}

/// The facts about the disk at `path`, as the tool gathers them as root.
fn disk(user: &User, path: &Path) -> Value {
    let path = path.to_str().expect("a plain path");
    if path.starts_with("/dev/") {
        let listed = user.sandbox.run(&["devices", "--all", "--json"]);
        let disks = serde_json::from_str::<Vec<Value>>(&listed.stdout).expect("JSON");
        return disks.into_iter().find(|disk| disk["path"] == path).expect(path);
    }
    let outcome = user.sandbox.run(&["card", "inspect", "--json", path]);
    serde_json::from_str::<Value>(&outcome.stdout).expect("JSON")["disk"].take()
}

/// Asserts that the worker `name` refuses `request`, and prints nothing but the refusal.
#[track_caller]
fn refuses(user: &User, name: &str, request: &Value, files: &[&File], words: &str) {
    let outcome = run_job_as(NOBODY, user.worker(name), request.to_string().as_bytes(), files);
    let told = last_message(&outcome);
    assert!(told["message"].as_str().is_some_and(|text| text.contains(words)), "{words:?}: {outcome:?}");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
    outcome.assert_code(3);
}

#[test]
#[ignore = "needs root and sudo: run `cargo xtask test`"]
fn the_worker_neither_reads_nor_writes_a_file_of_root() {
    let user = User::new();
    let plan = user.request(user.card(), "9MiB");
    let _rule = user.with_rule("");
    let path = secret(&user, &garbage(9 * MIB));
    let disk = disk(&user, &path);
    let words = "is not a block device; root opens nothing else";
    let hash = json!({ "size": 4096, "hash": "0".repeat(64) });
    for against in [json!({ "hash": hash }), json!({ "image": plan["job"]["flash"]["image"] })] {
        let has_image = against.get("image").is_some();
        let job = request("compare", &json!({ "disk": disk, "against": against }), has_image);
        let image = user.image_file();
        let files = [&image];
        refuses(&user, "read-card", &job, &files[..usize::from(has_image)], words);
    }
    refuses(&user, "read-card", &request("inspect", &json!({ "disk": disk }), false), &[], words);
    refuses(&user, "write-card", &request("capacity", &json!({ "disk": disk }), false), &[], words);
    let mut flash = plan.clone();
    flash["job"]["flash"]["disk"] = disk.clone();
    refuses(&user, "write-card", &flash, &[&user.image_file()], words);
    // A job that lies about what it is: the path of a file with the number of a card.
    let mut lie = disk.clone();
    lie["number"] = plan["job"]["flash"]["disk"]["number"].clone();
    refuses(
        &user,
        "write-card",
        &request("capacity", &json!({ "disk": lie }), false),
        &[],
        "is not the card",
    );
    assert!(std::fs::read(&path).unwrap() == garbage(9 * MIB));
}

/// The worker reads the image from the descriptor, whatever the path in the job names.
#[test]
#[ignore = "needs root and sudo: run `cargo xtask test`"]
fn the_worker_opens_no_image_itself() {
    let user = User::new();
    let plan = user.request(user.card(), "9MiB");
    let _rule = user.with_rule("");
    let path = secret(&user, &image(6));
    let mut flash = plan.clone();
    flash["job"]["flash"]["image"]["source"]["path"] = json!(path);
    let mut bare = flash.clone();
    bare["handed"] = json!([]);
    let outcome = run_job_as(NOBODY, user.worker("write-card"), bare.to_string().as_bytes(), &[]);
    assert!(outcome.stdout.contains("no image came with the job"), "{outcome:?}");
    assert_ne!(outcome.code, 0);
    run_job_as(NOBODY, user.worker("write-card"), flash.to_string().as_bytes(), &[&user.image_file()])
        .assert_code(0);
    user.card.holds(&user.image);
    // Opened without the right to read it, or no file at all.
    let text = "is not a regular file open for reading";
    let writable =
        File::options().append(true).open(user.sandbox.path("home/nixos-sd-image.img.zst")).unwrap();
    for file in [writable, File::open("/").unwrap(), File::open("/dev/zero").unwrap()] {
        refuses(&user, "write-card", &plan, &[&file], text);
    }
}

#[test]
#[ignore = "needs root, loop devices and sudo: run `cargo xtask test`"]
fn the_worker_does_not_read_disks_of_the_system_or_of_others() {
    let user = User::new();
    let _rule = user.with_rule("");
    let reads = |path: &Path, words: &str| {
        let disk = disk(&user, path);
        let hash = json!({ "size": 512, "hash": "0".repeat(64) });
        let job = request("compare", &json!({ "disk": disk, "against": { "hash": hash } }), false);
        refuses(&user, "read-card", &job, &[], words);
        // What the job says of the disk counts for nothing.
        let mut lie = job.clone();
        lie["job"]["compare"]["disk"]["kind"] = json!({ "type": "sd_card" });
        lie["job"]["compare"]["disk"]["uses"] = json!([]);
        let outcome = run_job_as(NOBODY, user.worker("read-card"), lie.to_string().as_bytes(), &[]);
        assert!(!outcome.stdout.contains("begun"), "{outcome:?}");
        outcome.assert_code(3);
        refuses(&user, "write-card", &request("capacity", &json!({ "disk": disk }), false), &[], words);
    };
    // A loop device over a file of root's, also where a file of the user's has its name by now.
    let other = Loop::new(9 * MIB as u64);
    let whose = "does not belong to the user who asked for it";
    reads(Path::new(other.device()), whose);
    let aside = other.file().with_extension("aside");
    std::fs::rename(other.file(), &aside).unwrap();
    File::create(other.file()).unwrap().set_len(9 * MIB as u64).unwrap();
    give(&other.file());
    reads(Path::new(other.device()), whose);
    // The user's own, which the system uses.
    let own = Loop::attach(9 * MIB as u64, &[], ext4);
    give(&own.file());
    let place = Path::new("/srv/xtask-test-rights");
    std::fs::create_dir_all(place).unwrap();
    let mounted = Mounted::at_folder(own.device(), place);
    reads(Path::new(own.device()), "is in use: ");
    drop(mounted);
    std::fs::remove_dir(place).unwrap();
    let swap = Swap::on(own.device());
    reads(Path::new(own.device()), "is used as swap");
    drop(swap);
    // The disks of this machine.
    let listed = user.sandbox.run(&["devices", "--all", "--json"]);
    let disks = serde_json::from_str::<Vec<Value>>(&listed.stdout).expect("JSON");
    let internal = disks.iter().filter(|disk| disk["kind"]["type"] == "internal");
    for disk in internal {
        let path = disk["path"].as_str().expect("a path");
        reads(Path::new(path), "root opens only cards for other users");
    }
}

#[test]
#[ignore = "needs root, e2fsprogs and sudo: run `cargo xtask test`"]
fn the_worker_runs_no_programs_of_the_callers_path() {
    let user = User::with(host_image(4096, false), 48);
    let _sudo = user.with_sudo();
    let _rule = user.with_rule("Defaults:nobody !secure_path, !env_reset");
    let keygen = std::fs::canonicalize("/usr/bin/ssh-keygen").unwrap();
    std::os::unix::fs::symlink(keygen, user.sandbox.path("bin/ssh-keygen")).unwrap();
    for name in ["debugfs", "e2fsck", "e2image", "losetup", "blockdev", "partx"] {
        user.sandbox.fake(name, "id >&2; exit 1");
    }
    let outcome = user.flash_with(user.card(), "48MiB", &["--identity-of", "pi"]);
    assert!(outcome.assert_code(0).stdout.contains("holds the image and the identity of pi"), "{outcome:?}");
    for name in ["debugfs", "e2fsck", "e2image", "losetup", "blockdev", "partx"] {
        assert!(user.sandbox.calls(name).is_empty(), "{name}");
    }
}

/// A machine without e2fsprogs, and a user who has them: the programs run with the rights of the user.
#[test]
#[ignore = "needs root, namespaces, e2fsprogs and sudo: run `cargo xtask test`"]
fn programs_of_the_caller_run_with_the_rights_of_the_caller() {
    let user = User::with(host_image(4096, false), 48);
    let _rule = user.with_sudo();
    let names = ["debugfs", "e2fsck", "e2image"];
    for name in names {
        let own = user.sandbox.path("home").join(name);
        run(&["cp", &format!("/usr/sbin/{name}"), own.to_str().unwrap()]);
        user.sandbox.fake(
            name,
            &format!(
                "id -u >>'{}/user'\nexec '{}' \"$@\"",
                user.sandbox.path("calls").display(),
                own.display()
            ),
        );
    }
    let keygen = std::fs::canonicalize("/usr/bin/ssh-keygen").unwrap();
    std::os::unix::fs::symlink(keygen, user.sandbox.path("bin/ssh-keygen")).unwrap();
    let hide =
        "for name in debugfs e2fsck e2image; do mount --bind /dev/null /usr/sbin/$name; done; exec \"$@\"";
    let outcome = user.flash_behind(
        &["unshare", "--mount", "/bin/sh", "-c", hide, "sh"],
        "48MiB",
        &["--identity-of", "pi"],
    );
    assert!(outcome.assert_code(0).stdout.contains("holds the image and the identity of pi"), "{outcome:?}");
    assert!(names.iter().all(|name| !user.sandbox.calls(name).is_empty()));
    let users = std::fs::read_to_string(user.sandbox.path("calls/user")).unwrap();
    assert!(users.lines().all(|line| line == NOBODY.to_string()), "{users}");
}

#[test]
#[ignore = "needs root and sudo: run `cargo xtask test`"]
fn the_worker_refuses_malformed_jobs() {
    let user = User::new();
    let plan = user.request(user.card(), "9MiB");
    let _rule = user.with_rule("");
    let said = |line: &[u8], code| {
        let outcome = run_job_as(NOBODY, user.worker("write-card"), line, &[]);
        outcome.assert_code(code);
        assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
        last_message(&outcome)["message"].as_str().expect("a message").to_owned()
    };
    let region = json!({ "start": u64::MAX, "size": 4096, "block": 0, "free_blocks": 0, "free_inodes": 0 });
    let content = json!({ "identity": null, "files": null, "entries": [] });
    let mut with_payload = plan.clone();
    with_payload["handed"] = json!([]);
    with_payload["job"]["flash"]["payload"] = json!({ "region": region, "content": content, "replaced": [] });
    assert_eq!(
        said(with_payload.to_string().as_bytes(), 3),
        "the job is refused: its file system has an impossible block size"
    );
    with_payload["job"]["flash"]["payload"]["region"]["block"] = json!(4096);
    let text = "the job is refused: its file system is not in the image";
    assert_eq!(said(with_payload.to_string().as_bytes(), 3), text);
    assert_eq!(
        said("[".repeat(1 << 20).as_bytes(), 2),
        "reading the job: it has too many values, or nests them too deep"
    );
    assert_eq!(said(&vec![b'x'; 40 << 20], 2), "the job is larger than 32.0 MiB");
    let card = json!({ "handed": ["card", "view"], "job": plan["job"] });
    let file = user.image_file();
    let outcome = run_job_as(NOBODY, user.worker("write-card"), card.to_string().as_bytes(), &[&file, &file]);
    assert!(outcome.stdout.contains("a worker that is root opens the card itself"), "{outcome:?}");
    outcome.assert_code(3);
    let mut piped = user.worker("write-card");
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("stdin is not a socket"), "{output:?}");
    user.card.is_unchanged();
}

/// A job counts only for its sender: a user who has no sudo rule gets nothing.
#[test]
#[ignore = "needs root and sudo: run `cargo xtask test`"]
fn the_worker_refuses_the_job_of_another_user() {
    let user = User::new();
    let plan = user.request(user.card(), "9MiB").to_string();
    let _rule = user.with_rule("");
    // The socket is root's, and it is nobody who asks for rights.
    let outcome = run_job(user.worker("write-card"), plan.as_bytes(), &[&user.image_file()]);
    let told = last_message(&outcome);
    assert_eq!(told["message"], "user 0 sent the job, but user 65534 asked for root's rights");
    outcome.assert_code(3);
    user.card.is_unchanged();
}

/// A shell that sudo has started keeps the variables that name the caller.
#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn a_root_shell_of_sudo_flashes_a_plain_file() {
    let user = User::new();
    let card = user.sandbox.path("virtual-card");
    std::fs::write(&card, garbage(9 * MIB)).unwrap();
    let mut command = user.sandbox.command(&["flash", "--image", "nixos-sd-image.img.zst"]);
    command.args([card.to_str().unwrap(), "--allow-virtual", "--yes", "--expect-size", "9MiB"]);
    command.current_dir(user.sandbox.path("home")).env("SUDO_UID", "65534").env("DOAS_USER", "nobody");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::read(&card).unwrap().starts_with(&user.image));
}

#[test]
#[ignore = "needs root, loop devices and sudo: run `cargo xtask test`"]
fn the_worker_unmounts_the_card_of_the_user() {
    let user = User::new();
    let _rule = user.with_sudo();
    let card = Loop::attach(9 * MIB as u64, &[], ext4);
    give(&card.file());
    let mounted = Mounted::new(card.device());
    user.flash_with(card.device(), "9MiB", &["--unmount"]).assert_code(0);
    assert!(!mounted.at().join("lost+found").exists());
    assert!(card.bytes().starts_with(&user.image));
}
