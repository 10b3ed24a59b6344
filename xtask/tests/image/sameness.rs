//! The same content gives the same bytes for every user, folder and set of programs.

use std::fs;

use xtask::base::program_file;

use crate::assembler::assert_has_content;
use crate::content::Content;
use crate::script::{Call, Programs};
use crate::support::image::{Image, stdout_of};

/// The command that runs another one as another user, in another folder and with other settings of the shell.
const OTHER_USER: &[&str] = &[
    "unshare",
    "--user",
    "--map-user=12345",
    "--map-group=12345",
    "sh",
    "-c",
    "umask 077; cd /; export TZ=Asia/Tokyo LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 POSIXLY_CORRECT=1; exec \"$@\"",
    "sh",
];

/// Runs the assembler, and returns the bytes of the image.
#[track_caller]
fn assemble(call: &Call) -> Vec<u8> {
    fs::read(call.run().unwrap()).unwrap()
}

#[test]
#[ignore = "needs Debian's programs and user namespaces: run `cargo xtask test`"]
fn two_users_assemble_the_same_image() {
    let one = Content::new();
    let other = Content::reversed();
    for content in [&one, &other] {
        add_small_paths(content);
    }
    let first = assemble(&Call::new(one.dir()));
    let second = assemble(&Call { wrapper: OTHER_USER, ..Call::new(other.dir()) });
    assert!(first == second, "the images differ");
}

#[test]
#[ignore = "needs Debian's programs and AArch64 emulation: run `cargo xtask test`"]
fn an_emulated_pi_assembles_the_same_image() {
    let one = Content::new();
    let other = Content::reversed();
    for content in [&one, &other] {
        add_small_paths(content);
    }
    // A file system of this size has copies of the superblock.
    let changes = [("HEADROOM_MIB", "300")];
    let native = assemble(&Call { changes: &changes, ..Call::new(one.dir()) });
    let emulated =
        assemble(&Call { programs: Programs::Emulated, changes: &changes, ..Call::new(other.dir()) });
    assert!(native == emulated, "the images differ");
}

/// Adds so many small store paths that the assembler groups them.
fn add_small_paths(content: &Content) {
    let mut paths = vec![fs::read_to_string(content.path("paths")).unwrap().trim_end().to_owned()];
    for number in 0..12 {
        let path = content.path("store").join(format!("{}{number:02}-part{number}-1.0", "e".repeat(30)));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("data"), vec![b'a' + number; 500_000 + 4_000 * usize::from(number)]).unwrap();
        // All names together exceed busybox's limit for arguments.
        for file in 0..40 {
            fs::write(path.join(format!("{}{file}", "a-long-name-".repeat(6))), [number]).unwrap();
        }
        paths.push(path.display().to_string());
    }
    fs::write(content.path("paths"), paths.join("\n")).unwrap();
}

/// Makes a wrapper of this machine's mke2fs that accepts no archive. Returns a `PATH` that begins with the wrapper.
fn path_with_old_mke2fs(content: &Content) -> String {
    let real = stdout_of("sh", &["-c", "PATH=$PATH:/usr/sbin:/sbin command -v mke2fs"]);
    let dir = content.path("old");
    fs::create_dir(&dir).unwrap();
    let script =
        format!("#!/bin/sh\ncase \" $* \" in *.tar\\ *) exit 1 ;; esac\nexec {} \"$@\"\n", real.trim());
    program_file::write(&dir.join("mke2fs"), script, 0o755).unwrap();
    format!("{}:{}:/usr/sbin:/sbin", dir.display(), std::env::var("PATH").unwrap())
}

#[test]
#[ignore = "needs e2fsprogs, mtools, dosfstools, fdisk, zstd, fakeroot and faketime: run `cargo xtask test`"]
fn an_older_mke2fs_gets_a_folder_and_assembles_the_same_image() {
    let contents = [Content::new(), Content::reversed()];
    let paths = contents.each_ref().map(path_with_old_mke2fs);
    let images = [0, 1].map(|number| {
        let changes = [("PATH", paths[number].as_str())];
        let call =
            Call { programs: Programs::Machine, changes: &changes, ..Call::new(contents[number].dir()) };
        let (image, stderr) = call.run_with_stderr().unwrap();
        (fs::read(image).unwrap(), stderr)
    });
    assert!(images[0].0 == images[1].0, "the images differ");
    let note = "assemble: this mke2fs reads no archive; the files go by way of a folder, in the order of names: the \
        next image will differ from this one nearly everywhere\n";
    assert!(images[0].1.starts_with(note), "{}", images[0].1);
    let image = Image::decompress(&contents[0].path("new/x.img.zst"), contents[0].dir(), 40);
    image.assert_sound();
    assert_has_content(&image);
}
