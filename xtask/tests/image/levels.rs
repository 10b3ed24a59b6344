//! Images of several levels of compression, and what the assembler notes of its phases.

use std::fs;

use crate::content::Content;

#[test]
#[ignore = "needs Debian's programs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn each_level_has_the_same_content() {
    let content = Content::new();
    let decoded = [None, Some(("ZSTD_LEVEL", "3")), Some(("ZSTD_LEVEL", "1")), Some(("ZSTD_LEVEL", "19"))]
        .map(|level| {
            let compressed = fs::read(content.assemble(level.as_slice()).unwrap()).unwrap();
            (zstd::decode_all(compressed.as_slice()).unwrap(), compressed)
        });
    assert!(decoded.iter().all(|(image, _)| *image == decoded[0].0), "the images differ");
    let [default, three, one, nineteen] = decoded.map(|(_, compressed)| compressed);
    assert!(default == three, "the default is not 3");
    assert!(nineteen.len() < three.len() && three.len() < one.len());
}

#[test]
#[ignore = "needs Debian's programs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn the_assembler_notes_its_phases_where_it_is_asked_to() {
    let content = Content::new();
    let phases = content.path("phases");
    content.assemble(&[("PHASES", phases.to_str().unwrap())]).unwrap();
    let text = fs::read_to_string(phases).unwrap();
    let names = text.lines().step_by(3).map(|line| line.split(' ').next().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["list", "firmware", "root", "compress"]);
    assert_eq!(text.lines().count(), 12, "{text}");
}
