//! The worker writes only the card that was confirmed: it gets the plan of a real run after the card has changed.

use std::process::Command;

use rustix::fs::OFlags;
use serde_json::{Value, json};

use crate::card::{Card, MIB};
use crate::image::image;
use crate::support::Outcome;
use crate::support::loops::{Loop, Mounted, make_ext4};
use crate::support::worker::{last_message, request, run_job};
use crate::user::User;

/// The plan that an ordinary user has confirmed.
struct Confirmed {
    user: User,
    plan: Value,
}

impl Confirmed {
    /// Confirms a flash to `card`, which has `mib` MiB, as an ordinary user.
    fn new(card: &Loop, mib: usize) -> Self {
        let user = User::new();
        let plan = user.request(card.device(), &format!("{mib}MiB"))["job"]["flash"].take();
        Self { user, plan }
    }

    /// Runs the worker with the plan as root. Each line of its stdout is JSON.
    fn run_worker(&self) -> Outcome {
        let line = request("flash", &self.plan, true).to_string();
        run_job(self.user.sandbox.command(&["write-card"]), line.as_bytes(), &[&self.user.image_file()])
    }

    /// Asserts that the worker refuses the plan with a message or a hint that contains `text`.
    #[track_caller]
    fn assert_refused(&self, text: &str) {
        let outcome = self.run_worker();
        let event = last_message(&outcome);
        let field = |name: &str| event[name].as_str().unwrap_or_default();
        let error = format!("{}; {}", field("message"), field("hint"));
        assert!(error.contains(text), "{text:?}: {event}");
        outcome.assert_code(3);
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn an_unchanged_card_is_written() {
    let card = Card::new(20);
    let confirmed = Confirmed::new(&card.device, 20);
    card.assert_unchanged();
    confirmed.run_worker().assert_code(0);
    card.assert_holds(&image(6));
}

/// The kernel counts the cards that a reader has had.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn another_card_in_the_same_reader_is_refused() {
    let card = Card::new(20);
    let mut confirmed = Confirmed::new(&card.device, 20);
    let now = confirmed.plan["disk"]["diskseq"].as_u64().expect("Linux 5.15 or later");
    confirmed.plan["disk"]["diskseq"] = json!(now - 1);
    confirmed.assert_refused(&format!(
        "{} is not the card that was confirmed: its count of inserted media was {} and is {now}; run the command again",
        card.device.device(),
        now - 1
    ));
    card.assert_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_changed_size_or_backing_file_is_refused() {
    let card = Loop::new(20 * MIB as u64);
    let mut confirmed = Confirmed::new(&card, 20);
    confirmed.plan["disk"]["kind"]["backing"] = json!("/srv/other.img");
    confirmed.assert_refused("its file was /srv/other.img and is ");
    let confirmed = Confirmed::new(&card, 20);
    card.resize(19 * MIB as u64);
    confirmed.assert_refused("is not the card that was confirmed: its size was 20971520 and is 19922944");
    assert!(card.bytes().iter().all(|byte| *byte == 0));
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_became_read_only_is_refused() {
    let card = Card::new(20);
    let confirmed = Confirmed::new(&card.device, 20);
    let read_only = ReadOnly::new(&card.device);
    confirmed.assert_refused(&format!("{} is read-only", card.device.device()));
    drop(read_only);
    card.assert_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_was_mounted_since_is_refused() {
    let card = Loop::attach(64 * MIB as u64, &[], make_ext4);
    let mut confirmed = Confirmed::new(&card, 64);
    let mounted = Mounted::new(card.device());
    let at = mounted.mount_point().display();
    confirmed.assert_refused(&format!("is mounted at {at}; end this use first"));
    confirmed.plan["unmount"] = json!(["/somewhere/else"]);
    confirmed.assert_refused(&format!("{} has been mounted at {at} since it was confirmed", card.device()));
    assert!(mounted.mount_point().join("lost+found").is_dir());
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_claimed_card_is_refused() {
    use std::os::unix::fs::OpenOptionsExt;
    let card = Card::new(20);
    let confirmed = Confirmed::new(&card.device, 20);
    let exclusive = OFlags::EXCL.bits().cast_signed();
    let claim = std::fs::OpenOptions::new().read(true).custom_flags(exclusive).open(card.device.device());
    confirmed.assert_refused("is in use: device-");
    drop(claim.unwrap());
    card.assert_unchanged();
}

/// A card that is read-only until this value is dropped. The kernel keeps the flag for the next use of a loop device,
/// so that it must be cleared.
struct ReadOnly<'a>(&'a Loop);

impl<'a> ReadOnly<'a> {
    fn new(card: &'a Loop) -> Self {
        blockdev("--setro", card);
        Self(card)
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        blockdev("--setrw", self.0);
    }
}

#[expect(clippy::disallowed_methods, reason = "the suites use the machine's own tools as they are")]
/// Runs blockdev with `option` on the card.
fn blockdev(option: &str, card: &Loop) {
    let status = Command::new("blockdev").args([option, card.device()]).status().expect("blockdev");
    assert!(status.success(), "blockdev {option} failed");
}
