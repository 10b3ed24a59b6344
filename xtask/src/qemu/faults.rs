//! Texts on the console after which a boot cannot continue.

use crate::base::process::Received;

/// Texts of a U-Boot that has nothing to start: it says so, asks the network instead of the card, or waits at its
/// prompt. They count until it starts a kernel.
const NOTHING_TO_BOOT: &[&str] = &["(0 bootflows", "No more bootdevs", "BOOTP broadcast", "U-Boot>"];

/// Texts of a U-Boot that has failed, before it starts a kernel.
const UBOOT_FAILURES: &[&str] = &["ERROR:", "### ERROR ###"];

/// Texts of a crash under U-Boot, which catches that of a kernel's first instructions too. No kernel prints them.
const UBOOT_CRASHES: &[&str] = &["\"Synchronous Abort\" handler", "\"Error\" handler"];

/// The prompt of U-Boot on the machine `virt`.
const UBOOT_PROMPT: &str = "=>";

/// Texts of the kernel and of the first programs, which wait for a person or have given up.
const SYSTEM: &[&str] = &[
    "Kernel panic",
    "An error occurred in stage 1 of the boot process",
    "You are in emergency mode",
    "You are in rescue mode",
    "Emergency Mode",
    "Emergency Shell",
    "the root account is locked",
];

/// Texts that show that U-Boot has started a kernel. On a Pi, the first characters of U-Boot's line may be lost.
const KERNEL: &[&str] = &["tarting kernel", "Booting Linux on physical CPU", "] Linux version "];

/// The search for a fatal text.
#[derive(Debug, Default)]
pub struct FaultSearch {
    is_kernel_started: bool,
    /// The fatal line, if there was one.
    line: Option<String>,
    has_nothing_to_boot: bool,
}

impl FaultSearch {
    /// Whether `received` is fatal, also in a line that has not ended. `more` are further fatal texts.
    pub fn receive(&mut self, received: Received, more: &[&str]) -> bool {
        let (Received::Line(text) | Received::Partial(text)) = received;
        self.is_kernel_started |= KERNEL.iter().any(|known| text.contains(known));
        let contains = |texts: &[&str]| texts.iter().any(|fatal| text.contains(fatal));
        let is_in_uboot = !self.is_kernel_started;
        self.has_nothing_to_boot = is_in_uboot && (contains(NOTHING_TO_BOOT) || text.trim() == UBOOT_PROMPT);
        let is_failure = is_in_uboot && contains(UBOOT_FAILURES)
            || contains(UBOOT_CRASHES)
            || contains(SYSTEM)
            || contains(more);
        if self.has_nothing_to_boot || is_failure {
            self.line = Some(text.trim().to_owned());
        }
        self.line.is_some()
    }

    /// Whether U-Boot has started a kernel.
    pub fn is_kernel_started(&self) -> bool {
        self.is_kernel_started
    }

    /// Whether there was a fatal text.
    pub fn is_found(&self) -> bool {
        self.line.is_some()
    }

    /// The fault as the reason of a failure.
    pub fn reason(&self) -> Option<String> {
        let line = self.line.as_ref()?;
        let meaning =
            if self.has_nothing_to_boot { "U-Boot found nothing to boot on the card: " } else { "" };
        Some(format!("{meaning}the console printed \"{line}\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a search finds a fault in `received` after the lines `before`.
    fn is_fatal(before: &[&str], received: Received) -> bool {
        let mut search = FaultSearch::default();
        for line in before {
            assert!(!search.receive(Received::Line(line), &[]), "{line}");
        }
        search.receive(received, &["demo: failed"])
    }

    #[test]
    fn fatal_texts_of_uboot_count_until_a_kernel_starts() {
        for received in [
            Received::Line("(0 bootflows, 0 valid)"),
            Received::Line("No more bootdevs"),
            Received::Line("BOOTP broadcast 1"),
            Received::Partial("U-Boot> "),
            Received::Partial("=> "),
            Received::Line("ERROR: Did not find a cmdline Flattened Device Tree"),
        ] {
            assert!(is_fatal(&["U-Boot 2025.01"], received), "{received:?}");
            for kernel in ["Starting kernel ...", "[    0.000000] Booting Linux on physical CPU 0x0000000000"]
            {
                assert!(!is_fatal(&[kernel], received), "{received:?}");
            }
        }
        assert!(!is_fatal(&[], Received::Partial("=> printenv")));
    }

    #[test]
    fn a_crash_that_uboot_reports_is_fatal_before_and_after_it_starts_a_kernel() {
        for line in ["\"Synchronous Abort\" handler, esr 0x96000210", "\"Error\" handler, esr 0xbf000002"] {
            for before in ["U-Boot 2025.01", "Starting kernel ..."] {
                assert!(is_fatal(&[before], Received::Line(line)), "{line} after {before}");
            }
        }
    }

    #[test]
    fn systems_that_gave_up_are_fatal() {
        for line in [
            "[    1.2] Kernel panic - not syncing: Attempted to kill init!",
            "You are in emergency mode. After logging in, type \"journalctl -xb\" to view",
            "[  OK  ] Reached target emergency.target - Emergency Mode.",
            "Cannot open access to console, the root account is locked.",
            "An error occurred in stage 1 of the boot process, which must mount the",
            "demo: failed to grow the card:",
        ] {
            assert!(is_fatal(&["Starting kernel ..."], Received::Line(line)), "{line}");
        }
        for line in ["[  OK  ] Reached target multi-user.target - Multi-User System.", "", "pi login: "] {
            assert!(!is_fatal(&["Starting kernel ..."], Received::Line(line)), "{line}");
        }
    }
}
