use super::*;
use crate::boot::firmware::tests::MemoryFirmware;

fn read(board: Board, files: &[(&str, &str)]) -> ConfigTxt {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    ConfigTxt::read(&MemoryFirmware(files.collect()), board, CONFIG, Reading::Lenient).unwrap().unwrap()
}

fn kernel(board: Board, text: &str) -> String {
    read(board, &[(CONFIG, text)]).file("kernel").unwrap_or("-").to_owned()
}

#[test]
fn a_section_applies_to_its_boards() {
    let models = "kernel=all\n[pi3]\nkernel=3\n[pi3+]\nkernel=3+\n[pi02]\nkernel=02\n[pi4]\nkernel=4\n[cm4]\nkernel=cm4\n\
                  [pi5]\nkernel=5\n[board-type=0x18]\nkernel=cm5\n[cm0]\nkernel=cm0\n[cm3]\nkernel=cm3\n\
                  [cm3+]\nkernel=cm3+\n[cm4s]\nkernel=cm4s\n[pi500]\nkernel=500\n";
    for (board, expected) in [
        (Board::Pi3, "3"),
        (Board::Pi3Plus, "3+"),
        (Board::Pi02, "02"),
        (Board::Cm0, "cm0"),
        (Board::Cm3, "cm3"),
        (Board::Cm3Plus, "cm3+"),
        (Board::Pi4, "4"),
        (Board::Pi400, "4"),
        (Board::Cm4, "cm4"),
        (Board::Cm4s, "cm4s"),
        (Board::Pi5, "5"),
        (Board::Pi500, "500"),
        (Board::Cm5, "cm5"),
    ] {
        assert_eq!(kernel(board, models), expected, "{board}");
    }
}

#[test]
fn filters_of_one_kind_replace_each_other_and_others_combine() {
    for (text, expected) in [
        ("[pi3]\n[pi4]\nkernel=a\n", "a"),
        ("[pi4]\n[pi3]\nkernel=a\n", "-"),
        ("[none]\n[pi4]\nkernel=a\n", "-"),
        ("[none]\n[all]\nkernel=a\n", "a"),
        ("[tryboot]\nkernel=a\n[all]\n", "-"),
        ("[gpio4=1]\n[pi4]\nkernel=a\n", "-"),
        ("[EDID=x]\nkernel=a\n[all]\nkernel=b\n", "b"),
        ("[0x12345678]\nkernel=a\n", "-"),
        ("[pi9]\nkernel=a\n", "-"),
        ("[boot_partition=1]\nkernel=a\n[boot_partition=2]\nkernel=b\n", "a"),
        ("[HDMI:1]\nhdmi_group=1\n[pi4]\nkernel=a\n", "a"),
        ("[board-type=0x11]\nkernel=a\n", "a"),
        ("[board-type=17]\nkernel=a\n", "a"),
        ("[board-type=0x14]\nkernel=a\n", "-"),
        ("#kernel=a\n", "-"),
        ("  kernel = a \r\n", "a"),
        ("kernel=a\nkernel=b\n", "b"),
        ("kernel=\n", "-"),
    ] {
        assert_eq!(kernel(Board::Pi4, text), expected, "{text:?}");
    }
}

#[test]
fn included_files_are_read_in_their_section() {
    let files = [
        (CONFIG, "[pi4]\ninclude four.txt\ninclude absent.txt\n[all]\ninclude Sub/all.txt\n"),
        ("four.txt", "kernel=a\n[pi3]\nkernel=b\n"),
        ("sub/ALL.txt", "initramfs one,two followkernel\nramfsfile=three\ndtoverlay=x,y=z\ndtoverlay=\n"),
    ];
    let found = read(Board::Pi4, &files);
    assert_eq!(found.file("kernel"), Some("a"));
    assert_eq!(found.initramfs, ["one", "two", "three"]);
    assert_eq!(found.overlays, ["x"]);
    let circle = MemoryFirmware([(CONFIG.to_owned(), b"include config.txt\n".to_vec())].into());
    let error = ConfigTxt::read(&circle, Board::Pi4, CONFIG, Reading::Lenient).unwrap_err();
    assert_eq!(error.to_string(), "config.txt includes files more than 8 deep");
}

#[test]
fn the_firmware_reads_98_characters_of_a_line() {
    let long = format!("kernel={}x\narm_64bit=0x1\n", "k".repeat(91));
    let found = read(Board::Pi4, &[(CONFIG, &long)]);
    assert_eq!(found.file("kernel").unwrap().len(), 91);
    assert_eq!(found.truncated, ["kernel"]);
    assert!(found.is_on("arm_64bit"));
}

#[test]
fn fuzz() {
    crate::base::fuzz::check_text(
        &["[pi4]\nkernel=a\ninclude config.txt\n[board-type=0x11]\n[none]\n[all]\ninitramfs a,b 0\n"],
        |text| {
            let firmware = MemoryFirmware([(CONFIG.to_owned(), text.as_bytes().to_vec())].into());
            ConfigTxt::read(&firmware, Board::Pi4, CONFIG, Reading::Lenient).is_ok()
        },
    );
}

/// The documents leave open what the firmware makes of these lines.
#[test]
fn a_doubtful_line_has_its_effect_by_one_reading_only() {
    for (board, line, is_doubtful) in [
        (Board::Pi5, "include more.txt", true),
        (Board::Cm5, "include more.txt", true),
        (Board::Pi5, "include absent.txt", false),
        (Board::Pi4, "include more.txt", false),
        (Board::Pi3, "include more.txt", false),
        (Board::Pi4, "kernel =a", true),
        (Board::Pi4, "kernel= a", true),
        (Board::Pi4, "  kernel=a  ", false),
        (Board::Pi4, "# kernel = a", false),
        (Board::Pi4, "[pi5]\nkernel = a", false),
        (Board::Pi4, "kernel=a", false),
    ] {
        let files = [(CONFIG, line), ("more.txt", "kernel=a\n")];
        let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into();
        let firmware = MemoryFirmware(files);
        let read = |reading| ConfigTxt::read(&firmware, board, CONFIG, reading).unwrap().unwrap();
        let [lenient, strict] = [Reading::Lenient, Reading::Strict].map(read);
        assert_eq!(lenient.doubtful.is_some(), is_doubtful, "{board} {line:?}");
        assert_eq!(lenient != strict, is_doubtful, "{board} {line:?}");
        assert_eq!(strict.doubtful, lenient.doubtful);
    }
}
