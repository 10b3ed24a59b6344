//! Tests of the plan of `up`.

use clap::Parser;

use super::*;
use crate::base::Timestamp;
use crate::base::failure::ExitKind;
use crate::cli::{Cli, Command};
use crate::deploy::{History, Status};

/// The plan of `up pi OPTIONS` for a host with this last flash, which could not be read for this reason.
fn plan(options: &[&str], flash: LastFlash, unread: ExitKind) -> String {
    let cli = Cli::try_parse_from([&["xtask", "up", "pi"], options].concat()).unwrap();
    let Some(Command::Up(args)) = cli.command else { panic!("{options:?}") };
    let status =
        Status { host: "pi".into(), observation: Err(unread.error("no")), history: History::default() };
    let plan = Plan::new(&args, &Facts { host: "pi".into(), flash, status });
    let states = plan.steps.iter().map(|(_, before)| match before {
        Before::ToDo(_) => 't',
        Before::Done(_) => 'd',
        Before::Skipped => 's',
    });
    format!("{} {}", states.collect::<String>(), plan.summary())
}

#[test]
fn what_was_done_is_not_done_again() {
    let whole = || LastFlash::Whole(Timestamp::at(0));
    let broken = || LastFlash::Broken(Timestamp::at(0));
    for (options, flash, unread, expected) in [
        (
            &[][..],
            LastFlash::None,
            ExitKind::Unreachable,
            "tttttt left to do for pi: login keys, image, card, flash, deploy",
        ),
        (
            &[],
            broken(),
            ExitKind::Unreachable,
            "tttttt left to do for pi: login keys, image, card, flash, deploy",
        ),
        (&[], whole(), ExitKind::Unreachable, "ddddtt left to do for pi: deploy"),
        // A host that answers was flashed by somebody.
        (&[], LastFlash::None, ExitKind::HostKey, "ddddtt left to do for pi: deploy"),
        (&[], LastFlash::None, ExitKind::Permission, "ddddtt left to do for pi: deploy"),
        (
            &["--flash"],
            whole(),
            ExitKind::HostKey,
            "tttttt left to do for pi: login keys, image, card, flash, deploy",
        ),
        (&["--skip", "flash"], LastFlash::None, ExitKind::Unreachable, "sssstt left to do for pi: deploy"),
        (
            &["--skip", "login-keys", "--skip", "deploy", "--skip", "status"],
            LastFlash::None,
            ExitKind::Unreachable,
            "stttss left to do for pi: image, card, flash",
        ),
        (&["--skip", "deploy"], whole(), ExitKind::Unreachable, "ddddst pi is up: nothing to do"),
    ] {
        assert_eq!(plan(options, flash, unread), expected, "{options:?}");
    }
}

#[test]
fn the_plan_names_each_step_with_what_is_known_of_it() {
    let cli = Cli::try_parse_from(["xtask", "up", "pi", "/dev/sdx", "--skip", "status"]).unwrap();
    let Some(Command::Up(args)) = cli.command else { panic!() };
    let observation = Err(ExitKind::Unreachable.error("no"));
    let status = Status { host: "pi".into(), observation, history: History::default() };
    let facts = Facts { host: "pi".into(), flash: LastFlash::None, status };
    let expected = "\
up pi
  login keys  to do    checked before the build
  image       to do
  card        to do    /dev/sdx
  flash       to do
  deploy      to do    waits up to 15 min for pi
  status      skipped";
    assert_eq!(Plan::new(&args, &facts).to_string(), expected);
}
