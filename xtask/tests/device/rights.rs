//! A sudo rule for the worker lets a user read and write cards, and nothing else, whatever job the user sends.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::card::MIB;
use crate::host_image::host_image;
use crate::image::{garbage, image};
use crate::support::loops::{Loop, Mounted, Swap, make_ext4};
use crate::support::worker::{last_message, request, run_job, run_job_as};
use crate::user::{NOBODY, User, give_to_user, run, set_mode};

/// Writes `bytes` to a file that only root may read and write, and returns its path.
fn write_secret(user: &User, bytes: &[u8]) -> std::path::PathBuf {
    let path = user.sandbox.path("secret");
    std::fs::write(&path, bytes).expect("writing a file");
    set_mode(&path, 0o600);
    path
}

/// The facts about the disk at `path`, as the tool gathers them as root.
fn disk_facts(user: &User, path: &Path) -> Value {
    let path = path.to_str().expect("a plain path");
    if path.starts_with("/dev/") {
        let listed = user.sandbox.run(&["devices", "--all", "--json"]);
        let disks = listed.json()["devices"].as_array().expect("a list").clone();
        return disks.into_iter().find(|disk| disk["device"] == path).expect(path);
    }
    let outcome = user.sandbox.run(&["card", "inspect", "--json", path]);
    outcome.json()["disk"].take()
}

/// Asserts that the worker `name` refuses `request` with `error`, and prints nothing but the refusal.
#[track_caller]
fn assert_refuses(user: &User, name: &str, request: &Value, files: &[&File], error: &str) {
    let outcome = run_job_as(NOBODY, user.worker(name), request.to_string().as_bytes(), files);
    let message = last_message(&outcome);
    assert!(message["message"].as_str().is_some_and(|text| text.contains(error)), "{error:?}: {outcome:?}");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
    outcome.assert_code(3);
}

#[test]
#[ignore = "needs root and sudo: run `cargo xtask test`"]
fn the_worker_neither_reads_nor_writes_a_file_of_root() {
    let user = User::new();
    let plan = user.request(user.card(), "9MiB");
    let _rule = user.allow_worker("");
    let path = write_secret(&user, &garbage(9 * MIB));
    let disk = disk_facts(&user, &path);
    let error = "is not a block device; an elevated worker opens nothing else";
    let hash = json!({ "size": 4096, "hash": "0".repeat(64) });
    for against in [json!({ "hash": hash }), json!({ "image": plan["job"]["flash"]["image"] })] {
        let has_image = against.get("image").is_some();
        let job = request("compare", &json!({ "disk": disk, "against": against }), has_image);
        let image = user.image_file();
        let files = [&image];
        assert_refuses(&user, "read-card", &job, &files[..usize::from(has_image)], error);
    }
    assert_refuses(&user, "read-card", &request("inspect", &json!({ "disk": disk }), false), &[], error);
    assert_refuses(&user, "write-card", &request("capacity", &json!({ "disk": disk }), false), &[], error);
    let mut flash = plan.clone();
    flash["job"]["flash"]["disk"] = disk.clone();
    assert_refuses(&user, "write-card", &flash, &[&user.image_file()], error);
    // A job with the path of a file and the device number of a card.
    let mut false_disk = disk.clone();
    false_disk["number"] = plan["job"]["flash"]["disk"]["number"].clone();
    assert_refuses(
        &user,
        "write-card",
        &request("capacity", &json!({ "disk": false_disk }), false),
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
    let _rule = user.allow_worker("");
    let path = write_secret(&user, &image(6));
    let mut flash = plan.clone();
    flash["job"]["flash"]["image"]["source"]["path"] = json!(path);
    let mut bare = flash.clone();
    bare["file_roles"] = json!([]);
    let outcome = run_job_as(NOBODY, user.worker("write-card"), bare.to_string().as_bytes(), &[]);
    assert!(outcome.stdout.contains("no image came with the job"), "{outcome:?}");
    assert_ne!(outcome.code, 0);
    run_job_as(NOBODY, user.worker("write-card"), flash.to_string().as_bytes(), &[&user.image_file()])
        .assert_code(0);
    user.card.assert_holds(&user.image);
    // The descriptor is a file that is open for writing only, a folder, or a device.
    let text = "is not a regular file open for reading";
    let writable =
        File::options().append(true).open(user.sandbox.path("home/nixos-sd-image.img.zst")).unwrap();
    for file in [writable, File::open("/").unwrap(), File::open("/dev/zero").unwrap()] {
        assert_refuses(&user, "write-card", &plan, &[&file], text);
    }
}

/// Asserts that the worker refuses to read and to write the disk at `path`, whatever the job claims.
#[track_caller]
fn assert_refuses_disk(user: &User, path: &Path, error: &str) {
    let disk = disk_facts(user, path);
    let hash = json!({ "size": 512, "hash": "0".repeat(64) });
    let job = request("compare", &json!({ "disk": disk, "against": { "hash": hash } }), false);
    assert_refuses(user, "read-card", &job, &[], error);
    // The worker does not trust the facts in the job.
    let mut false_job = job.clone();
    false_job["job"]["compare"]["disk"]["kind"] = json!({ "type": "sd_card" });
    false_job["job"]["compare"]["disk"]["uses"] = json!([]);
    let outcome = run_job_as(NOBODY, user.worker("read-card"), false_job.to_string().as_bytes(), &[]);
    assert!(!outcome.stdout.contains("begun"), "{outcome:?}");
    outcome.assert_code(3);
    assert_refuses(user, "write-card", &request("capacity", &json!({ "disk": disk }), false), &[], error);
}

#[test]
#[ignore = "needs root, loop devices and sudo: run `cargo xtask test`"]
fn the_worker_does_not_read_disks_of_the_system_or_of_others() {
    let user = User::new();
    let _rule = user.allow_worker("");
    // A loop device over a file of root; later a file of the user has the name of that file.
    let other = Loop::new(9 * MIB as u64);
    let error = "does not belong to the user who asked for it";
    assert_refuses_disk(&user, Path::new(other.device()), error);
    let aside = other.backing_file().with_extension("aside");
    std::fs::rename(other.backing_file(), &aside).unwrap();
    File::create(other.backing_file()).unwrap().set_len(9 * MIB as u64).unwrap();
    give_to_user(&other.backing_file());
    assert_refuses_disk(&user, Path::new(other.device()), error);
    // A loop device of the user, which the system uses.
    let own = Loop::attach(9 * MIB as u64, &[], make_ext4);
    give_to_user(&own.backing_file());
    let folder = Path::new("/usr/lib/xtask-test-rights");
    std::fs::create_dir_all(folder).unwrap();
    let mounted = Mounted::at_folder(own.device(), folder);
    assert_refuses_disk(&user, Path::new(own.device()), "is a disk of the running system: ");
    drop(mounted);
    std::fs::remove_dir(folder).unwrap();
    let swap = Swap::on(own.device());
    assert_refuses_disk(&user, Path::new(own.device()), "is used as swap");
    drop(swap);
    // The disks of this machine.
    let listed = user.sandbox.run(&["devices", "--all", "--json"]);
    let disks = listed.json()["devices"].as_array().expect("a list").clone();
    let internal = disks.iter().filter(|disk| disk["kind"]["type"] == "internal");
    for disk in internal {
        let path = disk["device"].as_str().expect("a path");
        assert_refuses_disk(&user, Path::new(path), "an elevated worker opens only cards");
    }
}

#[test]
#[ignore = "needs root, e2fsprogs and sudo: run `cargo xtask test`"]
fn the_worker_runs_no_programs_of_the_callers_path() {
    let user = User::with_image(host_image(4096), 48);
    let _sudo = user.install_sudo();
    let _rule = user.allow_worker("Defaults:nobody !secure_path, !env_reset");
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

/// The machine has no e2fsprogs, but the user has them: the programs run with the rights of the user.
#[test]
#[ignore = "needs root, namespaces, e2fsprogs and sudo: run `cargo xtask test`"]
fn programs_of_the_caller_run_with_the_rights_of_the_caller() {
    let user = User::with_image(host_image(4096), 48);
    let _rule = user.install_sudo();
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
    let outcome = user.flash_wrapped_in(
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
    let _rule = user.allow_worker("");
    let error_of = |line: &[u8], code| {
        let outcome = run_job_as(NOBODY, user.worker("write-card"), line, &[]);
        outcome.assert_code(code);
        assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
        last_message(&outcome)["message"].as_str().expect("a message").to_owned()
    };
    let region =
        json!({ "start": u64::MAX, "size": 4096, "block_size": 0, "free_blocks": 0, "free_inodes": 0 });
    let root = json!({ "folder": "/persist", "key": "etc/ssh/ssh_host_ed25519_key" });
    let content = json!({ "root": root, "identity": null, "files": null, "entries": [] });
    let mut with_payload = plan.clone();
    with_payload["file_roles"] = json!([]);
    with_payload["job"]["flash"]["payload"] = json!({ "region": region, "content": content, "replaced": [] });
    assert_eq!(
        error_of(with_payload.to_string().as_bytes(), 3),
        "the job is refused: its file system has an impossible block size"
    );
    with_payload["job"]["flash"]["payload"]["region"]["block_size"] = json!(4096);
    let text = "the job is refused: its file system is not in the image";
    assert_eq!(error_of(with_payload.to_string().as_bytes(), 3), text);
    assert_eq!(
        error_of("[".repeat(1 << 20).as_bytes(), 2),
        "reading the job: it has too many values, or nests them too deep"
    );
    assert_eq!(error_of(&vec![b'x'; 40 << 20], 2), "the job is larger than 32.0 MiB");
    let card = json!({ "file_roles": ["card", "view"], "job": plan["job"] });
    let file = user.image_file();
    let outcome = run_job_as(NOBODY, user.worker("write-card"), card.to_string().as_bytes(), &[&file, &file]);
    assert!(outcome.stdout.contains("a worker that is root opens the card itself"), "{outcome:?}");
    outcome.assert_code(3);
    let mut piped = user.worker("write-card");
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The worker may end before it reads.
    let _ = child.stdin.take().unwrap().write_all(b"{}\n");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("stdin is not a socket"), "{output:?}");
    user.card.assert_unchanged();
}

/// The sender of the job must be the user who called sudo.
#[test]
#[ignore = "needs root and sudo: run `cargo xtask test`"]
fn the_worker_refuses_the_job_of_another_user() {
    let user = User::new();
    let plan = user.request(user.card(), "9MiB").to_string();
    let _rule = user.allow_worker("");
    // The socket belongs to root, and `nobody` calls sudo.
    let outcome = run_job(user.worker("write-card"), plan.as_bytes(), &[&user.image_file()]);
    let message = last_message(&outcome);
    assert_eq!(message["message"], "user 0 sent the job, but user 65534 asked for root's rights");
    outcome.assert_code(3);
    user.card.assert_unchanged();
}

/// A root shell of sudo keeps the variables that name the caller, such as `SUDO_UID`.
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
