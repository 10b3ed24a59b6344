//! Outputs of builds with images at all places, and outputs that are refused.

use std::os::unix::fs::symlink;

use super::*;
use crate::base::failure::hint;

/// An output in a store, with these empty files.
fn output(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let store = tempfile::tempdir().unwrap();
    let out = store.path().canonicalize().unwrap().join("hash-image");
    fs::create_dir(&out).unwrap();
    for file in files {
        fs::create_dir_all(out.join(file).parent().unwrap()).unwrap();
        fs::write(out.join(file), "").unwrap();
    }
    (store, out)
}

#[test]
fn an_iso_is_named_as_one() {
    for file in ["nixos.iso", "iso/nixos.iso", "iso/nixos.iso.zst", "iso/D.ISO", "D.Iso.GZ"] {
        let (_store, out) = output(&[file, "iso/notes.txt"]);
        let error = find(&out, Wanted::default()).unwrap_err().to_string();
        let expected = format!("{} is an ISO image, which is for a PC: ", out.join(file).display());
        assert!(error.starts_with(&expected), "{error}");
    }
    let (store, _out) = output(&[]);
    let file = store.path().canonicalize().unwrap().join("hash-nixos.iso");
    fs::write(&file, "").unwrap();
    assert!(find(&file, Wanted::default()).unwrap_err().to_string().contains(" is an ISO image"));
}

#[test]
fn an_image_is_found_beside_an_iso() {
    let (_store, out) = output(&["iso/nixos.iso", "pi.img"]);
    assert_eq!(find(&out, Wanted::default()).unwrap(), out.join("pi.img"));
}

#[test]
fn an_image_is_found_at_every_place() {
    for (files, declared, expected) in [
        (&["sd-image/a.img.zst", "sd-image/notes.txt"][..], None, "sd-image/a.img.zst"),
        (&["sd-image/a.img", "b.img"], None, "sd-image/a.img"),
        (&["sd-image/a.img", "b.img"], Some("b.img"), "b.img"),
        (&["sd-image/a.img", "b.img"], Some("/sd-image/../b.img"), "sd-image/a.img"),
        (&["sd-image/a.img"], Some("gone.img"), "sd-image/a.img"),
        (&["nixos.raw"], None, "nixos.raw"),
        (&["main.raw.xz", "nix-support/x"], None, "main.raw.xz"),
        (&["pi.img.gz"], None, "pi.img.gz"),
        (&["sd-image/PI.IMG", "iso/D.ISO"], None, "sd-image/PI.IMG"),
    ] {
        let (_store, out) = output(files);
        let wanted = Wanted { declared, chosen: None };
        assert_eq!(find(&out, wanted).unwrap(), out.join(expected), "{files:?}");
    }
    let (store, out) = output(&["deep/down/c.img", "sd-image/a.img"]);
    fs::create_dir(out.join("nix-support")).unwrap();
    let text = format!("file sd-image {}/deep/down/c.img\nfile log /etc/x.img\n", out.display());
    fs::write(out.join(PRODUCTS), text).unwrap();
    assert_eq!(find(&out, Wanted::default()).unwrap(), out.join("deep/down/c.img"));
    let file = store.path().canonicalize().unwrap().join("hash-pi.img");
    fs::write(&file, "").unwrap();
    assert_eq!(find(&file, Wanted::default()).unwrap(), file);
}

#[test]
fn one_of_several_images_is_chosen() {
    let (_store, out) = output(&["sd-image/b.img", "sd-image/a.img", "c.raw"]);
    symlink("a.img", out.join("sd-image/link.img")).unwrap();
    let find = |chosen| find(&out, Wanted { declared: None, chosen });
    let error = find(None).unwrap_err();
    let expected = format!("there are several images in {}: sd-image/a.img, sd-image/b.img", out.display());
    assert_eq!((error.to_string(), hint(&error)), (expected, Some("choose one with --file NAME")));
    for (chosen, expected) in
        [("b.img", "sd-image/b.img"), ("sd-image/link.img", "sd-image/a.img"), ("c.raw", "c.raw")]
    {
        assert_eq!(find(Some(chosen)).unwrap(), out.join(expected), "{chosen}");
    }
    let error = find(Some("d.img")).unwrap_err();
    assert_eq!(hint(&error), Some("choose one of: c.raw, sd-image/a.img, sd-image/b.img, sd-image/link.img"));
}

#[test]
fn links_to_one_file_are_one_image() {
    let (_store, out) = output(&["sd-image/a.img"]);
    symlink("a.img", out.join("sd-image/link.img")).unwrap();
    fs::hard_link(out.join("sd-image/a.img"), out.join("sd-image/same.img")).unwrap();
    assert_eq!(find(&out, Wanted::default()).unwrap(), out.join("sd-image/a.img"));
}

/// The path of the image is the one that the plan shows.
#[test]
fn a_file_is_chosen_by_its_path_and_without_an_ending() {
    let (store, out) = output(&["sd-image/b.img", "sd-image/a.img", "sd-image/bare", "plain", "d.ISO"]);
    symlink("a.img", out.join("sd-image/link.img")).unwrap();
    let find_in = |out: &Path, chosen: &str| find(out, Wanted { declared: None, chosen: Some(chosen) });
    for file in ["plain", "sd-image/bare", "sd-image/a.img"] {
        let path = out.join(file);
        for chosen in [file, path.to_str().unwrap()] {
            assert_eq!(find_in(&out, chosen).unwrap(), path, "{chosen}");
        }
    }
    assert_eq!(find_in(&out, "bare").unwrap(), out.join("sd-image/bare"));
    for chosen in ["d.ISO", "/plain", "sd-image", "..", "."] {
        assert!(find_in(&out, chosen).is_err(), "{chosen}");
    }
    let file = store.path().canonicalize().unwrap().join("hash-plain");
    fs::write(&file, "").unwrap();
    for chosen in ["plain", "hash-plain", file.to_str().unwrap()] {
        assert_eq!(find_in(&file, chosen).unwrap(), file, "{chosen}");
    }
    assert!(find_in(&out, file.to_str().unwrap()).is_err());
}

#[test]
fn an_output_that_is_the_image_is_chosen_by_its_name() {
    let store = tempfile::tempdir().unwrap();
    let out = store.path().canonicalize().unwrap().join("hash-pi.img");
    fs::write(&out, "").unwrap();
    let find = |chosen| find(&out, Wanted { declared: None, chosen: Some(chosen) });
    for chosen in ["hash-pi.img", "pi.img"] {
        assert_eq!(find(chosen).unwrap(), out, "{chosen}");
    }
    let error = find("d.img").unwrap_err();
    let expected = format!("there is no image `d.img` in {}", out.display());
    assert_eq!((error.to_string(), hint(&error)), (expected, Some("choose one of: hash-pi.img")));
}

#[test]
fn an_output_without_an_image_is_an_error() {
    let (_store, out) = output(&["sd-image/notes.txt", "nixos.qcow2"]);
    let error = find(&out, Wanted::default()).unwrap_err();
    assert!(error.to_string().starts_with("the build made no image: "), "{error}");
}

#[test]
fn an_output_with_an_iso_image_alone_is_named_as_that() {
    let (_store, out) = output(&["sd-image/notes.txt", "nixos.iso"]);
    let error = find(&out, Wanted::default()).unwrap_err();
    assert!(error.to_string().contains("nixos.iso is an ISO image"), "{error}");
}

/// Asserts that [`find`] finds the expected image in `out`, or fails with the expected part of an error.
#[track_caller]
fn assert_found(out: &Path, expected: Result<&Path, &str>) {
    let found = find(out, Wanted::default()).map_err(|error| error.to_string());
    match expected {
        Ok(image) => assert_eq!(found.unwrap(), image),
        Err(text) => assert!(found.as_ref().is_err_and(|error| error.contains(text)), "{found:?} {text}"),
    }
}

/// The error names what is missing. It is not the error of an output that leads out of the store.
#[test]
fn a_listed_image_that_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("hash-image");
    fs::create_dir_all(out.join("nix-support")).unwrap();
    for path in ["sd-image/a.img", "a.img"] {
        let listed = out.join(path);
        fs::write(out.join(PRODUCTS), format!("file sd-image {}\n", listed.display())).unwrap();
        let words = format!("is incomplete: its {PRODUCTS} names {}: No such file", listed.display());
        assert_found(&out, Err(&words));
        symlink("nothing", out.join("sd-image")).unwrap();
        let link = out.join("sd-image");
        let words = format!("is incomplete: {} is a link to nothing: No such file", link.display());
        assert_found(&out, Err(&words));
        fs::remove_file(out.join("sd-image")).unwrap();
    }
}

#[test]
fn an_output_that_leads_out_of_the_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let [out, other] = ["hash-image", "hash-other"].map(|name| store.join(name));
    for folder in [&out.join("sd-image"), &other.join("sd-image"), &dir.path().join("sd-image")] {
        fs::create_dir_all(folder).unwrap();
    }
    let [outside, good] = [dir.path().join("sd-image/a.img"), other.join("sd-image/a.img")];
    fs::write(&outside, "secret").unwrap();
    fs::write(&good, "image").unwrap();
    let folder = out.join("sd-image");
    let image = folder.join("a.img");
    let check = |expected: Result<&Path, &str>| assert_found(&out, expected);
    let leads_out = Err("leads out of the store");
    for (target, expected) in [
        (outside.as_path(), leads_out),
        (Path::new("../../../sd-image/a.img"), leads_out),
        (Path::new("/dev/null"), leads_out),
        (Path::new("/nowhere"), Err("sd-image/a.img is a link to /nowhere: No such file")),
        (Path::new("a.img"), Err("sd-image/a.img is a link to a.img: Too many levels")),
        (good.as_path(), Ok(good.as_path())),
        (&other, Err("is not a regular file")),
        (&store, leads_out),
    ] {
        symlink(target, &image).unwrap();
        check(expected);
        fs::remove_file(&image).unwrap();
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, &image, 0o600.into()).unwrap();
    check(Err("is not a regular file"));
    fs::remove_file(&image).unwrap();
    fs::remove_dir(&folder).unwrap();
    symlink(dir.path().join("sd-image"), &folder).unwrap();
    check(leads_out);
    fs::remove_file(&folder).unwrap();
    symlink(other.join("sd-image"), &folder).unwrap();
    check(Ok(&good));
}
