//! Words that the kernel gives to disks: a user who types one means a card.

/// Whether `word` is such a name as the kernel gives to a disk or a partition, without `/dev/` before it: `sdb`,
/// `mmcblk0`, `nvme0n1p2`. The disk need not be there.
pub fn is_disk_name(word: &str) -> bool {
    let is_lettered = |rest: &str| {
        let letters = rest.trim_end_matches(|c: char| c.is_ascii_digit());
        matches!(letters.len(), 1 | 2) && letters.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    let lettered = ["sd", "vd", "xvd"].into_iter().filter_map(|kind| word.strip_prefix(kind));
    let numbered = [("mmcblk", "p"), ("loop", "p"), ("nbd", "p"), ("sr", ""), ("nvme", "np")];
    lettered.into_iter().any(is_lettered)
        || numbered
            .iter()
            .any(|(kind, marks)| word.strip_prefix(kind).is_some_and(|rest| is_numbered(rest, marks)))
}

/// Whether `rest` is a number, and further ones behind some of the `marks`, in their order.
fn is_numbered(rest: &str, marks: &str) -> bool {
    let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    if behind.len() == rest.len() {
        return false;
    }
    behind.is_empty()
        || marks.char_indices().any(|(index, mark)| {
            behind.strip_prefix(mark).is_some_and(|number| is_numbered(number, &marks[index + 1..]))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_disks_are_no_names_of_hosts() {
        for name in [
            "sdb",
            "sda1",
            "sdaa",
            "vdb",
            "xvda",
            "mmcblk0",
            "mmcblk1p2",
            "nvme0n1",
            "nvme0n1p2",
            "loop0",
            "loop12p1",
            "nbd0",
            "sr0",
        ] {
            assert!(is_disk_name(name), "{name}");
        }
        for name in [
            "",
            "sd",
            "sdcard",
            "SDB",
            "sd-b",
            "/dev/sdb",
            "stinky",
            "loop",
            "loopy",
            "loop0a",
            "mmcblk",
            "mmcblk0p",
            "nvme",
            "nvme0p1n1",
            "hdmi",
            "pi4",
            "sdß",
            "#sdb",
        ] {
            assert!(!is_disk_name(name), "{name}");
        }
    }
}
