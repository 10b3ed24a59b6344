//! The names of files: any bytes, and folders with many of them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::content::{Content, HELLO};
use crate::support::image::Image;

/// Names that a shell or a list of lines might garble.
const NAMES: &[&str] = &[
    "two\nlines",
    "\n",
    "\u{1}",
    "\u{1}\u{2}\n\u{7}",
    "tab\tand space ",
    "back\\slash",
    "-n",
    "*",
    "'\"$(x)`",
    "ä",
    "s/first",
    "places",
];

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn every_name_is_in_the_image() {
    let content = Content::new();
    let [stored, root] = [format!("store/{HELLO}"), "root/persist".to_owned()].map(|dir| content.path(&dir));
    for name in NAMES {
        for dir in [&stored, &root] {
            let file = dir.join("names").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, name).unwrap();
        }
    }
    let image = Image::decompress(&content.assemble(&[]).unwrap(), content.dir(), 40);
    image.assert_sound();
    for (folder, original) in [(format!("/store/{HELLO}/names"), stored), ("/persist/names".into(), root)] {
        let out = tempfile::tempdir().unwrap();
        image.debugfs(&format!("rdump {folder} {}", out.path().display()));
        let expected = files(&original.join("names"));
        assert_eq!(expected.len(), NAMES.len());
        assert_eq!(files(&out.path().join("names")), expected);
    }
}

/// All files below `folder` with their content, sorted.
fn files(folder: &Path) -> Vec<(OsString, String)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).flat_map(|path: PathBuf| {
        let is_folder = path.is_dir();
        if is_folder {
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
        } else {
            vec![path]
        }
    });
    let mut found = paths
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.file_name().unwrap().to_owned(), text)
        })
        .collect::<Vec<_>>();
    found.sort();
    found
}
