use std::io::Write as _;

use serde_json::{Value, json};

use super::*;
use crate::base::failure;

/// A job of each kind, as the tool writes it.
fn letters() -> Vec<Value> {
    let disk = json!({
        "name": "mmcblk0", "path": "/dev/mmcblk0", "number": { "major": 179, "minor": 0 }, "size": 67_108_864,
        "sector_size": 512, "read_only": false, "kind": { "type": "sd_card" }, "vendor": null, "model": "SC32G",
        "serial": "03534453", "diskseq": 7,
        "partitions": [{ "name": "mmcblk0p1", "number": 1, "start": 1_048_576, "size": 4096, "label": "FIRMWARE", "fstype": "vfat" }],
        "uses": [{ "device": "mmcblk0p1", "through": [], "role": { "as": "mounted", "at": "/media/me/FIRMWARE" } }],
    });
    let image = json!({
        "source": { "path": "/a.img.zst", "format": "zstd", "stored": { "size": 1000, "modified": [1, 2] }, "size": 8_388_608, "window": 8_388_608 },
        "size": 8_388_608, "hash": null,
        "layout": { "id": 1, "partitions": [] },
    });
    let entry = |path: &str, what: Value| json!({ "path": path, "mode": 0o600, "owner": { "user": 0, "group": 0 }, "what": what });
    let plan = json!({
        "image": image, "disk": disk, "mode": "auto", "unmount": ["/media/me/FIRMWARE"],
        "carried": {
            "root": { "start": 4_194_304, "size": 4_194_304, "block": 4096, "free_blocks": 100, "free_inodes": 100 },
            "payload": {
                "identity": { "host": "pi", "fingerprint": "SHA256:x", "novelty": "new" }, "files": null,
                "entries": [entry("etc", json!("folder")), entry("etc/key", json!({ "file": "cHNr" })), entry("l", json!({ "link": "../x" }))],
            },
            "replaced": [],
        },
    });
    let hash = "0".repeat(64);
    vec![
        json!({ "handed": ["image"], "job": { "flash": plan }, "programs": "/usr/sbin" }),
        json!({ "handed": ["image"], "job": { "compare": { "disk": disk, "against": { "image": image } } } }),
        json!({ "handed": [], "job": { "compare": { "disk": disk, "against": { "hash": { "size": 4096, "hash": hash } } } } }),
        json!({ "handed": [], "job": { "capacity": { "disk": disk } } }),
        json!({ "handed": [], "job": { "inspect": { "disk": disk } } }),
    ]
}

fn parsed(letter: &Value) -> Result<JobRequest> {
    JobRequest::parse(letter.to_string().as_bytes())
}

#[test]
fn a_sound_job_stays_what_it_is() {
    for (index, letter) in letters().into_iter().enumerate() {
        let read = parsed(&letter).unwrap();
        assert_eq!(read.is_for(Access::Read).is_ok(), !matches!(index, 0 | 3));
        read.is_for(Access::Write).unwrap();
        let again = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::to_string(&JobRequest::parse(again.as_bytes()).unwrap()).unwrap(), again);
    }
}

/// The job number `index` with `value` at `place`.
#[track_caller]
fn refuses(index: usize, place: &str, value: Value, words: &str) {
    let mut letter = letters().remove(index);
    *letter.pointer_mut(place).unwrap_or_else(|| panic!("no {place}")) = value;
    let error = parsed(&letter).unwrap_err();
    assert_eq!(error.to_string(), format!("the job is refused: {words}"), "{place}");
    assert_eq!(failure::kind(&error), ExitKind::Refused);
}

#[test]
fn what_is_out_of_bounds() {
    let root = "/job/flash/carried/root";
    let file_system = "its file system is not in the image";
    let blocks = "its file system has no such blocks";
    for block in [0, 1, 512, 1000, 131_072, u64::MAX] {
        refuses(0, &format!("{root}/block"), json!(block), blocks);
    }
    for start in [0, 512, 1_048_575, 1_048_577, 8_388_608, u64::MAX, u64::MAX - 511] {
        refuses(0, &format!("{root}/start"), json!(start), file_system);
    }
    for size in [0, 1023, 4_194_305, u64::MAX] {
        refuses(0, &format!("{root}/size"), json!(size), file_system);
    }
    let path = "the path of a file is not one below the folder that it is put into";
    for bad in ["../x", "etc/../../x", "/etc/x", "", ".", "..", "etc//x", "./x", "etc/", "a/./b"] {
        refuses(0, "/job/flash/carried/payload/entries/1/path", json!(bad), path);
    }
    refuses(0, "/job/flash/carried/payload/entries/0/mode", json!(0o10000), "the mode of a file is none");
    let image = "its image does not fit on the card";
    for size in [0, 67_108_865, u64::MAX] {
        refuses(0, "/job/flash/image/size", json!(size), image);
        refuses(1, "/job/compare/against/image/size", json!(size), image);
        refuses(
            2,
            "/job/compare/against/hash/size",
            json!(size),
            "what is compared does not fit on the card",
        );
    }
    for size in [0, u64::MAX] {
        refuses(3, "/job/capacity/disk/size", json!(size), "its card has an impossible size");
        refuses(
            1,
            "/job/compare/against/image/source/stored/size",
            json!(size),
            "its image file has an impossible size",
        );
    }
    refuses(0, "/job/flash/unmount", json!(vec!["/x"; 300]), "it has too many places to unmount");
    refuses(0, "/job/flash/unmount", json!(["x"]), "a place to unmount is no absolute path");
    let many = letters()[0]["job"]["flash"]["carried"]["payload"]["entries"][0].clone();
    refuses(0, "/job/flash/carried/payload/entries", json!(vec![many; 20_001]), "it has too many files");
    refuses(0, "/programs", json!("bin"), "its programs are at no absolute path");
    let large = json!({ "file": "A".repeat(24 << 20) });
    refuses(0, "/job/flash/carried/payload/entries/1/what", large, "its files are too large");
    let line = "/persist/a\\u{a}!b cannot be put on a card: it is not plain text";
    refuses(0, "/job/flash/carried/payload/entries/1/path", json!("a\n!b"), line);
}

#[test]
fn what_is_no_job() {
    let deep = "[".repeat(1 << 20);
    let wide = format!("[{}", "[],".repeat(1 << 20));
    for line in
        ["", "{}", "null", "\0", "{\"job\": 1}", "{\"handed\":[],\"job\":{\"flash\":{}}}", &deep, &wide]
    {
        let error = JobRequest::parse(line.as_bytes()).unwrap_err();
        assert_eq!(failure::kind(&error), ExitKind::Usage, "{error:#}");
        assert!(error.to_string().starts_with("reading the job: "), "{error:#}");
    }
    let spent = allocation_counter::measure(|| drop(JobRequest::parse(wide.as_bytes())));
    assert!(spent.bytes_max < 1 << 20, "{spent:?}");
}

#[test]
fn files_and_what_they_are_for() {
    let file = || tempfile::tempfile().unwrap();
    let sorted = |handed: Value, files: Vec<File>| {
        let mut letter = letters().remove(4);
        letter["handed"] = handed;
        parsed(&letter).unwrap().sort(files).map_err(|error| error.to_string())
    };
    let mut image = file();
    image.write_all(b"image").unwrap();
    readable(&sorted(json!(["image"]), vec![image]).unwrap().image.unwrap()).unwrap();
    assert!(sorted(json!(["card", "view"]), vec![file(), file()]).unwrap().card.is_some());
    assert_eq!(sorted(json!(["card"]), vec![file()]).unwrap_err(), "a card comes in two files");
    assert_eq!(sorted(json!(["image"]), vec![]).unwrap_err(), "0 files came with the job, and not 1");
    assert_eq!(sorted(json!([]), vec![file()]).unwrap_err(), "1 files came with the job, and not 0");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    std::fs::write(&path, "x").unwrap();
    let path_only = {
        use std::os::unix::fs::OpenOptionsExt;
        File::options().read(true).custom_flags(OFlags::PATH.bits().cast_signed()).open(&path).unwrap()
    };
    let write_only = File::options().write(true).open(&path).unwrap();
    let (pipe, _feed) = std::io::pipe().unwrap();
    let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
    for file in
        [path_only, write_only, pipe, File::open(dir.path()).unwrap(), File::open("/dev/null").unwrap()]
    {
        let text = "the image that was handed over is no regular file that is open for reading";
        let image = sorted(json!(["image"]), vec![file]).unwrap().image.unwrap();
        assert_eq!(readable(&image).unwrap_err().to_string(), text);
    }
}

#[test]
fn fuzz() {
    let letters = letters().iter().map(ToString::to_string).collect::<Vec<_>>();
    let samples = letters.iter().map(String::as_bytes).collect::<Vec<_>>();
    crate::base::fuzz::check(&samples, JobRequest::parse);
}
