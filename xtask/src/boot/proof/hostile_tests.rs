//! The proof of hostile files: it ends, its messages are short, and there are few.

use super::tests::{direct, good, prove_files, system};
use super::*;
use crate::boot::firmware::tests::MemoryFirmware;

/// The longest fault, in characters.
const MAX_TEXT: usize = 310;

#[test]
fn faults_are_few_and_short() {
    let overlays = |count: usize| (0..count).map(|index| format!("dtoverlay=x{index}\n")).collect::<String>();
    let long = "k".repeat(10_000);
    let fill = "x".repeat(99);
    for config in [
        overlays(15_000),
        format!("kernel={long}\n"),
        format!("os_prefix={long}\nstart_file={long}\ndevice_tree={long}\narmstub={long}\n"),
        "initramfs a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z 0\n".repeat(700),
        format!("dtparam={fill}\n").repeat(10_000),
        "\0\u{1b}[2J\u{202e}=1\nkernel=\u{1b}]0;x\u{7}\n".to_owned(),
        "[".repeat(100_000),
        "include\ninclude \ninclude /\ninclude ../config.txt\n".to_owned(),
    ] {
        let mut files = good();
        files.insert("config.txt".into(), config.clone().into());
        for board in [Board::Pi3, Board::Pi4, Board::Pi5] {
            let proof = prove_files(board, files.clone(), &system());
            assert!(proof.faults.len() <= MAX_FAULTS + 1, "{}", proof.faults.len());
            let steps = proof.steps().into_iter().filter(|(label, _)| matches!(*label, "fault" | "warning"));
            steps.for_each(|(_, text)| assert!(text.chars().count() < MAX_TEXT + 80, "{text}"));
        }
    }
    let mut files = good();
    files.insert("config.txt".into(), overlays(15_000).into());
    let proof = prove_files(Board::Pi5, files, &system());
    assert_eq!(proof.faults.last().unwrap().message, "238 more faults, which are not listed");
    let first = &proof.faults[0];
    assert!(first.prevents_boot, "{first}");
}

#[test]
fn a_long_root_is_named_by_its_beginning() {
    let mut files = direct();
    files.insert("cmdline.txt".into(), format!("root=LABEL={}", "x".repeat(1 << 20)).into());
    let proof = prove_files(Board::Pi4, files, &system());
    assert_eq!(proof.outcome, Outcome::DoesNotBoot);
    assert!(
        proof.faults[0].message.chars().count() < MAX_TEXT && proof.steps().len() < 9,
        "{:?}",
        proof.faults
    );
    assert!(proof.steps().iter().all(|(_, text)| text.chars().count() < MAX_TEXT + 80));
}

/// Files that include two others each, and a large file that is included again and again.
#[test]
fn included_files_end() {
    let mut files = good();
    for depth in 0..9 {
        let next = depth + 1;
        let text = format!("include {next}.txt\ninclude {next}.txt\n").repeat(60);
        files.insert(format!("{depth}.txt"), text.into());
    }
    files.insert("9.txt".into(), "gpu_mem=64\n".repeat(90_000).into());
    for (config, expected) in [
        ("include 0.txt\n".to_owned(), "more than 8 deep"),
        ("include 5.txt\n".repeat(3), "more than 20000 lines"),
        ("include large.txt\n".repeat(5), "more than 4194304 bytes"),
    ] {
        files.insert("large.txt".into(), vec![b'#'; 1 << 20]);
        files.insert("config.txt".into(), config.into());
        let error = prove(Board::Pi4, &MemoryFirmware(files.clone()), Some(&system())).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
