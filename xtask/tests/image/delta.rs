//! The next image differs little from the last: that is what makes its flash short.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use xtask::bench::Closure;

use crate::script::Call;

const CHUNK: usize = 1 << 20;

/// Assembles `closure` in `dir`, and returns the hashes of the chunks of the image; nothing for zeros.
fn chunks(closure: &Closure, dir: &Path) -> Vec<Option<blake3::Hash>> {
    closure.write(dir).unwrap();
    // How hard it is compressed does not matter here.
    let image =
        Call { changes: &[("ZSTD_LEVEL", "1"), ("HEADROOM_MIB", "64")], ..Call::new(dir) }.run().unwrap();
    let mut image = zstd::Decoder::new(File::open(image).unwrap()).unwrap();
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
    let before = Closure::of(700);
    println!("the closure has {} MiB", before.size() / CHUNK);
    let first = chunks(&before, dir.path());
    let mut too_many = Vec::new();
    for (change, make) in changes(&before) {
        let mut after = before.clone();
        make(&mut after);
        let second = chunks(&after, dir.path());
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

fn changes(closure: &Closure) -> Vec<Change> {
    let package = closure.small_package();
    let known = package.clone();
    vec![
        ("a new unit".into(), Box::new(|it| it.add("unit-new.service", 800, 1))),
        ("a new small package".into(), Box::new(|it| it.add("mail-1.0", 40_000, 5))),
        ("another hash for 100 MiB".into(), Box::new(|it| it.grow("glibc-2.40", 0))),
        ("300 kB more in the configuration".into(), Box::new(|it| it.grow("etc", 300_000))),
        (format!("300 kB more in {known}"), Box::new(move |it| it.grow(&package, 300_000))),
    ]
}
