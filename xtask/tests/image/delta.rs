//! Successive images differ in few chunks, which makes a flash with delta short.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use xtask::dev::bench::Closure;

use crate::script::Call;
use crate::support::image::Image;

const CHUNK: usize = 1 << 20;

/// Assembles `closure` in `dir`.
fn assemble(closure: &Closure, dir: &Path) -> PathBuf {
    closure.write(dir).unwrap();
    // Fast compression, as the size does not matter here.
    Call { changes: &[("ZSTD_LEVEL", "1"), ("HEADROOM_MIB", "64")], ..Call::new(dir) }.run().unwrap()
}

/// The hashes of the chunks of an image; `None` for zeros.
fn chunks(compressed: &Path) -> Vec<Option<blake3::Hash>> {
    let mut image = zstd::Decoder::new(File::open(compressed).unwrap()).unwrap();
    let mut chunks = Vec::new();
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        if image.by_ref().take(CHUNK as u64).read_to_end(&mut chunk).unwrap() == 0 {
            return chunks;
        }
        let full = chunk.iter().any(|&byte| byte != 0);
        chunks.push(full.then(|| blake3::hash(&chunk)));
    }
}

#[test]
#[ignore = "needs Debian's programs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn a_small_change_alters_few_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let before = Closure::with_size(700);
    let compressed = assemble(&before, dir.path());
    let first = chunks(&compressed);
    let image = Image::decompress(&compressed, dir.path(), 40);
    image.assert_sound();
    assert_eq!(image.sorted_names("/"), ["boot", "lost+found", "store", "var"]);
    let full = first.iter().flatten().count();
    let content = before.size() / CHUNK;
    println!("the closure has {content} MiB, and {full} chunks are no zeros");
    let mut too_many = Vec::new();
    for (change, make) in changes(&before, &image) {
        let mut after = before.clone();
        make(&mut after);
        let second = chunks(&assemble(&after, dir.path()));
        assert_eq!(first.len(), second.len(), "{change}: another size");
        let pairs = || first.iter().zip(&second);
        let full = pairs().filter(|(one, other)| one.is_some() || other.is_some()).count();
        let altered = pairs().filter(|(one, other)| one != other).count();
        let tenths = altered * 1000 / full;
        let text = format!("{change}: {altered} of {full} chunks, {}.{} %", tenths / 10, tenths % 10);
        println!("{text}");
        if tenths > 40 {
            too_many.push(text);
        }
    }
    assert!(too_many.is_empty(), "more than 4 %: {too_many:?}");
}

/// A change with its name.
type Change = (String, Box<dyn Fn(&mut Closure)>);

fn changes(closure: &Closure, image: &Image) -> Vec<Change> {
    let mut changes: Vec<Change> = vec![
        ("a new unit".into(), Box::new(|it| it.add("unit-new.service", 800, 1))),
        ("another hash for 100 MiB".into(), Box::new(|it| it.grow("glibc-2.40", 0))),
        ("300 kB more in the configuration".into(), Box::new(|it| it.grow("etc", 300_000))),
    ];
    for name in ["mail-1.0", "zsh-5.9", "dhcpcd-10"] {
        changes.push((format!("the new package {name}"), Box::new(|it| it.add(name, 40_000, 5))));
    }
    for (position, name) in small_paths(closure, image) {
        let text = format!("300 kB more in {name}, {position} of the small paths");
        changes.push((text, Box::new(move |it| it.grow(&name, 300_000))));
    }
    changes
}

/// The first small store path in `image`, one in the middle, and the last.
fn small_paths(closure: &Closure, image: &Image) -> [(&'static str, String); 3] {
    let mut found = image.inodes("/store");
    found.sort();
    let names = found.into_iter().map(|(_, base)| base.split_once('-').unwrap().1.to_owned());
    // With 300 kB more, such a path stays below 1 MiB.
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
