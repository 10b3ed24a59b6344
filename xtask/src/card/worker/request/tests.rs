use std::io::Write as _;

use serde_json::{Value, json};

use super::*;
use crate::base::failure;

// The places of the kinds in the list of [`requests`].
const FLASH: usize = 0;
const COMPARE: usize = 1;
const COMPARE_HASH: usize = 2;
const CAPACITY: usize = 3;
const INSPECT: usize = 4;

/// A request of each kind, as the tool writes it.
fn requests() -> Vec<Value> {
    let disk = json!({
        "name": "mmcblk0", "device": "/dev/mmcblk0", "number": { "major": 179, "minor": 0 }, "bytes": 67_108_864,
        "sector_bytes": 512, "read_only": false, "kind": { "type": "sd_card" }, "vendor": null, "model": "SC32G",
        "serial": "03534453", "diskseq": 7,
        "partitions": [{ "name": "mmcblk0p1", "number": 1, "start_bytes": 1_048_576, "bytes": 4096, "label": "FIRMWARE", "filesystem": "vfat" }],
        "uses": [{ "name": "mmcblk0p1", "through": [], "role": { "as": "mounted", "at": "/media/me/FIRMWARE" } }],
    });
    let image = json!({
        "source": { "path": "/a.img.zst", "format": "zstd", "stored": { "size": 1000, "modified": [1, 2] }, "size": 8_388_608, "window": 8_388_608 },
        "size": 8_388_608, "hash": null,
        "layout": { "id": 1, "partitions": [] },
    });
    let entry = |path: &str, kind: Value| json!({ "path": path, "mode": 0o600, "owner": { "user": 0, "group": 0 }, "kind": kind });
    let plan = json!({
        "image": image, "disk": disk, "mode": "auto", "unmount": ["/media/me/FIRMWARE"],
        "payload": {
            "region": { "start": 4_194_304, "size": 4_194_304, "block_size": 4096, "free_blocks": 100, "free_inodes": 100 },
            "content": {
                "root": { "folder": "/persist", "key": "etc/ssh/ssh_host_ed25519_key" },
                "identity": { "host": "pi", "fingerprint": "SHA256:x", "origin": "new" }, "files": null,
                "entries": [entry("etc", json!("folder")), entry("etc/key", json!({ "file": "cHNr" })), entry("l", json!({ "link": "../x" }))],
            },
            "replaced": [],
        },
    });
    let hash = "0".repeat(64);
    vec![
        json!({ "file_roles": ["image"], "job": { "flash": plan }, "programs": "/usr/sbin" }),
        json!({ "file_roles": ["image"], "job": { "compare": { "disk": disk, "against": { "image": image } } } }),
        json!({ "file_roles": [], "job": { "compare": { "disk": disk, "against": { "hash": { "size": 4096, "hash": hash } } } } }),
        json!({ "file_roles": [], "job": { "capacity": { "disk": disk } } }),
        json!({ "file_roles": [], "job": { "inspect": { "disk": disk } } }),
    ]
}

fn parse(request: &Value) -> Result<JobRequest> {
    JobRequest::parse(request.to_string().as_bytes())
}

#[test]
fn a_valid_request_survives_json() {
    for request in requests() {
        let read = parse(&request).unwrap();
        let again = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::to_string(&JobRequest::parse(again.as_bytes()).unwrap()).unwrap(), again);
    }
}

#[test]
fn only_a_flash_and_a_capacity_check_need_to_write() {
    for (index, request) in requests().into_iter().enumerate() {
        let read = parse(&request).unwrap();
        assert_eq!(read.check_access(Access::Read).is_ok(), !matches!(index, FLASH | CAPACITY));
        read.check_access(Access::Write).unwrap();
    }
}

/// Asserts that request number `index` is refused because of `problem`, with `value` at `pointer`.
#[track_caller]
fn assert_refused(index: usize, pointer: &str, value: Value, problem: &str) {
    let mut request = requests().remove(index);
    *request.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    let error = parse(&request).unwrap_err();
    assert_eq!(error.to_string(), format!("the job is refused: {problem}"), "{pointer}");
    assert_eq!(failure::kind(&error), ExitKind::Refused);
}

#[test]
fn payloads_out_of_bounds_are_refused() {
    let region = "/job/flash/payload/region";
    let file_system = "its file system is not in the image";
    let blocks = "its file system has an impossible block size";
    for block in [0, 1, 512, 1000, 131_072, u64::MAX] {
        assert_refused(FLASH, &format!("{region}/block_size"), json!(block), blocks);
    }
    for start in [0, 512, 1_048_575, 1_048_577, 8_388_608, u64::MAX, u64::MAX - 511] {
        assert_refused(FLASH, &format!("{region}/start"), json!(start), file_system);
    }
    for size in [0, 1023, 4_194_305, u64::MAX] {
        assert_refused(FLASH, &format!("{region}/size"), json!(size), file_system);
    }
    let path = "the path of a file is not a plain relative path";
    for bad in ["../x", "etc/../../x", "/etc/x", "", ".", "..", "etc//x", "./x", "etc/", "a/./b"] {
        assert_refused(FLASH, "/job/flash/payload/content/entries/1/path", json!(bad), path);
    }
    let mode = "/job/flash/payload/content/entries/0/mode";
    assert_refused(FLASH, mode, json!(0o10000), "a file has an impossible mode");
    let many = requests()[FLASH]["job"]["flash"]["payload"]["content"]["entries"][0].clone();
    assert_refused(
        FLASH,
        "/job/flash/payload/content/entries",
        json!(vec![many; 20_001]),
        "it has too many files",
    );
    let large = json!({ "file": "A".repeat(24 << 20) });
    assert_refused(FLASH, "/job/flash/payload/content/entries/1/kind", large, "its files are too large");
    let line = "/persist/a\\u{a}!b cannot be written to a card: its path, or the target of a link, contains \
        control characters";
    assert_refused(FLASH, "/job/flash/payload/content/entries/1/path", json!("a\n!b"), line);
}

#[test]
fn disks_and_images_out_of_bounds_are_refused() {
    let image = "its image does not fit on the card";
    for size in [0, 67_108_865, u64::MAX] {
        assert_refused(FLASH, "/job/flash/image/size", json!(size), image);
        assert_refused(COMPARE, "/job/compare/against/image/size", json!(size), image);
        assert_refused(
            COMPARE_HASH,
            "/job/compare/against/hash/size",
            json!(size),
            "the image to compare with does not fit on the card",
        );
    }
    for size in [0, u64::MAX] {
        assert_refused(CAPACITY, "/job/capacity/disk/bytes", json!(size), "its card has an impossible size");
        assert_refused(
            COMPARE,
            "/job/compare/against/image/source/stored/size",
            json!(size),
            "its image file has an impossible size",
        );
    }
}

#[test]
fn mount_points_and_programs_out_of_bounds_are_refused() {
    assert_refused(
        FLASH,
        "/job/flash/unmount",
        json!(vec!["/x"; 300]),
        "it has too many mount points to unmount",
    );
    assert_refused(
        FLASH,
        "/job/flash/unmount",
        json!(["x"]),
        "a mount point to unmount is not an absolute path",
    );
    assert_refused(FLASH, "/programs", json!("bin"), "the path of its programs is not absolute");
}

#[test]
fn a_line_that_is_no_job_is_refused_in_little_memory() {
    let deep = "[".repeat(1 << 20);
    let wide = format!("[{}", "[],".repeat(1 << 20));
    for line in
        ["", "{}", "null", "\0", "{\"job\": 1}", "{\"file_roles\":[],\"job\":{\"flash\":{}}}", &deep, &wide]
    {
        let error = JobRequest::parse(line.as_bytes()).unwrap_err();
        assert_eq!(failure::kind(&error), ExitKind::Usage, "{error:#}");
        assert!(error.to_string().starts_with("reading the job: "), "{error:#}");
    }
    let spent = allocation_counter::measure(|| drop(JobRequest::parse(wide.as_bytes())));
    assert!(spent.bytes_max < 1 << 20, "{spent:?}");
}

#[test]
fn files_are_assigned_to_their_roles() {
    let file = || tempfile::tempfile().unwrap();
    let assign = |roles: Value, files: Vec<File>| {
        let mut request = requests().remove(INSPECT);
        request["file_roles"] = roles;
        parse(&request).unwrap().assign(files).map_err(|error| error.to_string())
    };
    let mut image = file();
    image.write_all(b"image").unwrap();
    check_readable(&assign(json!(["image"]), vec![image]).unwrap().image.unwrap()).unwrap();
    assert!(assign(json!(["card", "view"]), vec![file(), file()]).unwrap().card.is_some());
    assert_eq!(
        assign(json!(["card"]), vec![file()]).unwrap_err(),
        "the job came with only one of the two files of a card"
    );
    assert_eq!(assign(json!(["image"]), vec![]).unwrap_err(), "0 files came with the job instead of 1");
    assert_eq!(assign(json!([]), vec![file()]).unwrap_err(), "1 files came with the job instead of 0");
}

#[test]
fn an_image_must_be_a_regular_file_that_is_open_for_reading() {
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
        let text = "the image that came with the job is not a regular file open for reading";
        assert_eq!(check_readable(&file).unwrap_err().to_string(), text);
    }
}

#[test]
fn fuzz_requests() {
    let requests = requests().iter().map(ToString::to_string).collect::<Vec<_>>();
    let samples = requests.iter().map(String::as_bytes).collect::<Vec<_>>();
    crate::base::fuzz::check(&samples, JobRequest::parse);
}

#[test]
fn only_an_image_with_a_known_hash_is_fed() {
    let with_feed = |index: usize, hash: Value| {
        let mut request = requests().remove(index);
        request["file_roles"] = json!(["image", "feed"]);
        if let Some(known) = request.pointer_mut("/job/flash/image/hash") {
            *known = hash;
        }
        parse(&request)
    };
    assert!(with_feed(FLASH, json!("0".repeat(64))).is_ok());
    for (index, hash) in [(FLASH, Value::Null), (COMPARE, Value::Null), (CAPACITY, Value::Null)] {
        let error = with_feed(index, hash).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the job is refused: the hash of the image that is fed to it is unknown"
        );
    }
}

#[test]
fn a_feed_is_a_pipe_open_for_reading() {
    let (reader, writer) = std::io::pipe().unwrap();
    assert!(check_feed(&std::os::fd::OwnedFd::from(reader).into()).is_ok());
    for file in [std::os::fd::OwnedFd::from(writer).into(), tempfile::tempfile().unwrap()] {
        let error = check_feed(&file).unwrap_err();
        assert_eq!(error.to_string(), "the feed that came with the job is not a pipe open for reading");
    }
}
