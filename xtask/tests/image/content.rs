//! Content for images by the assembler.

use std::fs;
use std::path::{Path, PathBuf};

use crate::script::Call;

pub const HELLO: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-hello-1";
pub const WORLD: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-world";

/// A variant of [`Content`]; both make the same image.
#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Plain,
    Reversed,
}

/// Content for an image, in a folder of its own.
pub struct Content {
    dir: tempfile::TempDir,
}

impl Content {
    /// The content.
    pub fn new() -> Self {
        Self::of_variant(Variant::Plain)
    }

    /// The same content with differences that must not change the image: the order and the times of the files, a copy
    /// instead of a link, and no line end after the last path.
    pub fn reversed() -> Self {
        Self::of_variant(Variant::Reversed)
    }

    /// The content in `variant`. Reversed content differs as [`Self::reversed`] describes.
    fn of_variant(variant: Variant) -> Self {
        let is_reversed = variant == Variant::Reversed;
        let dir = tempfile::tempdir().unwrap();
        let content = Self { dir };
        let mut files = vec![
            ("root/boot/extlinux/extlinux.conf".to_owned(), "DEFAULT x\n".repeat(3)),
            ("root/persist/.keep".to_owned(), String::new()),
            ("firmware/config.txt".to_owned(), "arm_64bit=1\n".to_owned()),
            ("firmware/overlays/with space.dtbo".to_owned(), "overlay".repeat(999)),
            (format!("store/{HELLO}/bin/hello"), "hello".repeat(50_000)),
            (format!("store/{WORLD}"), "a store path may be a file".to_owned()),
        ];
        if is_reversed {
            files.reverse();
        }
        for (file, text) in files {
            let file = content.path(&file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let hello = content.path(&format!("store/{HELLO}/bin/hello"));
        let copy = format!("store/{HELLO}/copy");
        let second_hello = if is_reversed {
            fs::copy(hello, content.path(&copy)).map(drop)
        } else {
            fs::hard_link(hello, content.path(&copy))
        };
        second_hello.unwrap();
        std::os::unix::fs::symlink("bin/hello", content.path(&format!("store/{HELLO}/link"))).unwrap();
        let mut names = [HELLO, WORLD].map(|name| content.path("store").join(name).display().to_string());
        if is_reversed {
            names.reverse();
        }
        let last_line_end = if is_reversed { "" } else { "\n" };
        fs::write(content.path("paths"), names.join("\n") + last_line_end).unwrap();
        content
    }

    /// The path of `name` in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs the assembler with `changes` to its variables. Returns the path of the image, or stderr if the assembler
    /// fails.
    pub fn assemble(&self, changes: &[(&str, &str)]) -> Result<PathBuf, String> {
        Call { changes, ..Call::new(self.dir()) }.run()
    }

    /// Asserts that only the content is in the folder: no image and no working files.
    pub fn assert_unchanged(&self) {
        let mut names =
            self.dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        names.sort();
        assert_eq!(names, ["firmware", "paths", "root", "store"]);
    }
}
