//! Successive images differ in few chunks, so that a flash with delta is short.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use xtask::dev::bench::Closure;

use crate::script::Call;
use crate::support::image::Image;

const CHUNK: usize = 1 << 20;

/// Assembles `closure` in `dir`, and returns the path of the image.
fn assemble(closure: &Closure, dir: &Path) -> PathBuf {
    closure.write(dir).unwrap();
    // Fast compression, as the size does not matter here.
    Call { changes: &[("ZSTD_LEVEL", "1"), ("HEADROOM_MIB", "64")], ..Call::new(dir) }.run().unwrap()
}

/// The hashes of the chunks of an image; `None` for a chunk of zeros.
fn chunk_hashes(compressed: &Path) -> Vec<Option<blake3::Hash>> {
    let mut image = zstd::Decoder::new(File::open(compressed).unwrap()).unwrap();
    let mut hashes = Vec::new();
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        if image.by_ref().take(CHUNK as u64).read_to_end(&mut chunk).unwrap() == 0 {
            return hashes;
        }
        let is_filled = chunk.iter().any(|&byte| byte != 0);
        hashes.push(is_filled.then(|| blake3::hash(&chunk)));
    }
}

#[test]
#[ignore = "needs Debian's programs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn a_small_change_alters_few_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let before = Closure::with_size(700);
    let compressed = assemble(&before, dir.path());
    let first = chunk_hashes(&compressed);
    let image = Image::decompress(&compressed, dir.path(), 40);
    image.assert_sound();
    assert_eq!(image.sorted_names("/"), ["boot", "lost+found", "store", "var"]);
    let full = first.iter().flatten().count();
    let content = before.size() / CHUNK;
    println!("the closure has {content} MiB, and {full} chunks are no zeros");
    let mut too_many = Vec::new();
    for Change { name, apply } in changes(&before, &image) {
        let mut after = before.clone();
        apply(&mut after);
        let second = chunk_hashes(&assemble(&after, dir.path()));
        assert_eq!(first.len(), second.len(), "{name}: another size");
        let pairs = || first.iter().zip(&second);
        let filled = pairs().filter(|(old, new)| old.is_some() || new.is_some()).count();
        let altered = pairs().filter(|(old, new)| old != new).count();
        let per_mille = altered * 1000 / filled;
        let text = format!("{name}: {altered} of {filled} chunks, {}.{} %", per_mille / 10, per_mille % 10);
        println!("{text}");
        if per_mille > 40 {
            too_many.push(text);
        }
    }
    assert!(too_many.is_empty(), "more than 4 %: {too_many:?}");
}

/// A change of a closure, with its name.
struct Change {
    name: String,
    apply: Box<dyn Fn(&mut Closure)>,
}

impl Change {
    fn new(name: impl Into<String>, apply: impl Fn(&mut Closure) + 'static) -> Self {
        Self { name: name.into(), apply: Box::new(apply) }
    }
}

/// The changes that a host goes through, applied to `closure` one at a time.
fn changes(closure: &Closure, image: &Image) -> Vec<Change> {
    let mut changes = vec![
        Change::new("a new unit", |closure| closure.add("unit-new.service", 800, 1)),
        Change::new("another hash for 100 MiB", |closure| closure.grow("glibc-2.40", 0)),
        Change::new("300 kB more in the configuration", |closure| closure.grow("etc", 300_000)),
    ];
    for name in ["mail-1.0", "zsh-5.9", "dhcpcd-10"] {
        changes.push(Change::new(format!("the new package {name}"), |closure| closure.add(name, 40_000, 5)));
    }
    // The folder of such a path comes before all small paths.
    changes
        .push(Change::new("a new small package of 200 files", |closure| closure.add("perl-5", 400_000, 200)));
    for (position, name) in small_paths(closure, image) {
        let text = format!("300 kB more in {name}, {position} of the small paths");
        changes.push(Change::new(text, move |closure| closure.grow(&name, 300_000)));
    }
    changes
}

/// The first small store path in `image`, one in the middle, and the last one: their positions and names.
fn small_paths(closure: &Closure, image: &Image) -> [(&'static str, String); 3] {
    let mut found = image.inodes("/store");
    found.sort();
    let names = found.into_iter().map(|(_, base)| base.split_once('-').unwrap().1.to_owned());
    // With 300 kB more, a small path stays below 1 MiB.
    let small = names.filter(|name| (1..700 << 10).contains(&size_of(closure, name))).collect::<Vec<_>>();
    assert!(small.len() > 300, "{small:?}");
    let at = |index: usize| small[index].clone();
    [("the first", at(0)), ("in the middle", at(small.len() / 2)), ("the last", at(small.len() - 1))]
}

/// The size of the path `name` of `closure` in bytes; 0 where there is no such path.
fn size_of(closure: &Closure, name: &str) -> usize {
    let mut without = closure.clone();
    without.add(name, 0, 0);
    closure.size() - without.size()
}
