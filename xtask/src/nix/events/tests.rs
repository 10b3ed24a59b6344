//! The events of Nix as its log has them.

use super::*;
use crate::nix::Programs;

const BUILDS: &str = r#"@nix {"action":"start","id":1,"level":3,"type":104,"text":""}"#;
const COPIES: &str = r#"@nix {"action":"start","id":3,"level":3,"type":103,"text":""}"#;
const BUILD: &str =
    r#"@nix {"action":"start","id":2,"type":105,"fields":["/nix/store/abc-demo.drv","",1,1]}"#;

#[test]
fn events_of_a_build_are_parsed() {
    let mut reader = LogReader::default();
    assert_eq!([BUILDS, COPIES].map(|line| reader.read(line)), [Line::Other, Line::Other]);
    assert_eq!(
        reader.read(BUILD),
        Line::Building { id: 2, drv: "/nix/store/abc-demo.drv".into(), machine: String::new() }
    );
    for (line, expected) in [
        (
            r#"{"action":"start","id":7,"type":108,"fields":["/nix/store/b-x","https://cache.nixos.org"]}"#,
            Line::Fetching { id: 7, path: "/nix/store/b-x".into() },
        ),
        (r#"{"action":"start","id":8,"type":101,"fields":["https://c/nar/1.nar.xz"]}"#, Line::Other),
        (
            r#"{"action":"start","id":8,"type":101,"fields":["https://h/nixpkgs.tar.gz"]}"#,
            Line::Downloading { id: 8, uri: "https://h/nixpkgs.tar.gz".into() },
        ),
        (
            r#"{"action":"result","id":2,"type":101,"fields":["\u001b[1mhello\u001b[0m"]}"#,
            Line::Log { id: 2, text: "hello".into() },
        ),
        (
            r#"{"action":"msg","level":0,"msg":"error: boom"}"#,
            Line::Message { level: 0, text: "error: boom".into() },
        ),
        (
            r#"{"action":"msg","column":null,"level":0,"msg":"error: boom","raw_msg":"boom"}"#,
            Line::Error("error: boom".into()),
        ),
    ] {
        assert_eq!(reader.read(&format!("@nix {line}")), expected, "{line}");
    }
    assert_eq!(reader.read("warning: odd"), Line::Foreign("warning: odd".into()));
}

#[test]
fn builds_and_fetches_are_counted_together() {
    let mut reader = LogReader::default();
    for line in [BUILDS, COPIES, BUILD] {
        reader.read(line);
    }
    for (line, expected) in [
        (r#"{"action":"result","id":1,"type":105,"fields":[1,3,1,0]}"#, Line::Count { done: 1, total: 3 }),
        // Nothing runs: the next build is counted twice.
        (r#"{"action":"result","id":1,"type":105,"fields":[2,4,0,0]}"#, Line::Count { done: 2, total: 3 }),
        (r#"{"action":"result","id":3,"type":105,"fields":[5,9,1,0]}"#, Line::Count { done: 7, total: 12 }),
        (r#"{"action":"result","id":9,"type":105,"fields":[1,1,0,0]}"#, Line::Other),
    ] {
        assert_eq!(reader.read(&format!("@nix {line}")), expected, "{line}");
    }
}

#[test]
fn counts_that_overflow_are_limited() {
    let mut reader = LogReader::default();
    let most = u64::MAX;
    for line in [
        r#"@nix {"action":"start","id":1,"type":104}"#.to_owned(),
        r#"@nix {"action":"start","id":3,"type":103}"#.to_owned(),
        format!(r#"@nix {{"action":"result","id":1,"type":105,"fields":[{most},{most},1,0]}}"#),
    ] {
        reader.read(&line);
    }
    let line = format!(r#"@nix {{"action":"result","id":3,"type":105,"fields":[{most},{most},1,0]}}"#);
    assert_eq!(reader.read(&line), Line::Count { done: most, total: most });
}

#[test]
fn fuzz() {
    let build = [
        BUILDS,
        COPIES,
        BUILD,
        r#"@nix {"action":"result","id":2,"type":101,"fields":["\u001b[1mhello\u001b[0m"]}"#,
        r#"@nix {"action":"result","id":1,"type":105,"fields":[1,3,1,0]}"#,
        r#"@nix {"action":"result","id":3,"type":105,"fields":[5,9,1,0]}"#,
        r#"@nix {"action":"msg","level":0,"msg":"error: builder for '/nix/store/abc-demo.drv' failed"}"#,
        "warning: odd",
    ];
    crate::base::fuzz::check_text(&[&build.join("\n")], |text| {
        let mut reader = LogReader::default();
        let mut monitor = crate::nix::build_monitor::BuildMonitor::new(&crate::base::Silent);
        for line in text.lines() {
            reader.read(line);
            monitor.process_line(line);
        }
        monitor.into_failures().error("F#x", &Programs::default()).to_string()
    });
}
