//! The commands, one in each file: gather, plan, show, act. Commands never call commands.

#[cfg(feature = "dev")]
mod bench;
mod boot;
mod build_plan;
mod card;
mod card_key;
mod complete;
mod completions;
mod confirm;
mod demo;
mod deploy;
mod deploy_host;
mod devices;
mod doctor;
mod dry_run;
mod earlier_state;
mod flake_hosts;
mod flash;
mod flash_card;
mod flash_cards;
mod flash_result;
mod history;
mod host_status;
mod hosts;
mod identity;
mod keys;
mod known_image;
mod listed_disk;
mod log;
mod man_pages;
mod new_host;
mod next_step;
mod overview;
mod payload;
mod pick_card;
mod plan_facts;
mod planned_card;
mod protected;
#[cfg(feature = "dev")]
mod record;
mod recorded_revision;
mod release;
mod release_file;
mod required_boards;
mod restore;
mod rollback;
mod run_log;
#[cfg(test)]
mod schema_tests;
mod sd_image;
mod setup;
mod status;
mod sudo;
#[cfg(feature = "dev")]
mod suite_parts;
#[cfg(feature = "dev")]
mod test;
mod up;
mod write_card;

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::base::process::Launcher;
use crate::base::repeated_options::repeat_in_texts;
use crate::base::run_log::RunLog;
use crate::base::{Always, Approver, Context, FlakeRef, project, state};
use crate::card::worker::{self, Access};
use crate::cli::{Cli, Command, Internal};
use crate::{nix, ui};

use run_log::keep_log;
pub use run_log::{begin_log, end_log};

/// The access of the worker that `args`, the command line without the name of the program, start; `None` for the
/// command line of a user. The parser does not know the worker, so that neither help nor a suggestion names it.
pub fn worker_access(args: impl Iterator<Item = OsString>) -> Option<Access> {
    let [name] = <[OsString; 1]>::try_from(args.take(2).collect::<Vec<_>>()).ok()?;
    [Access::Read, Access::Write].into_iter().find(|access| name == access.command_name())
}

/// Runs the worker, and returns its exit code. The worker may be root: it reads nothing that the environment names, and
/// starts no program by `PATH`.
pub fn run_worker(access: Access) -> u8 {
    // A message that cannot be printed changes nothing on the card: the worker continues to a defined end.
    worker::serve(access, |line| drop(ui::print_json_line(line)))
}

/// Makes the context and runs the command, whose log is `log`.
pub fn run(mut cli: Cli, log: &Arc<RunLog>) -> Result<()> {
    // A shell that starts runs this: it needs no flake, and changes no state.
    if let Some(Command::Completions(args)) = &cli.command {
        return completions::run(args, cli.json);
    }
    let mut cx = make_context(&mut cli, log)?;
    let Some(command) = cli.command else { return overview::run(&mut cx) };
    prepare(&mut cx, &command)?;
    dispatch(cx, command)
}

/// Runs a command of scripts and packages.
pub fn run_internal(command: &Internal) -> Result<()> {
    match command {
        Internal::Complete(args) => complete::run(args),
        Internal::ManPages(args) => man_pages::run(args),
    }
}

/// Makes the context of a command, and takes the flake out of its command line.
fn make_context(cli: &mut Cli, log: &Arc<RunLog>) -> Result<Context> {
    if let Some(file) = &cli.output.log_file {
        log.write_to(file)?;
    }
    let taken = take_flake(cli)?;
    cli.command.iter_mut().for_each(Command::pass_builders_to_nix);
    if let Some(command) = &cli.command {
        command.check_nix_args()?;
        nix::check_passed(command.nix_args(), command.is_build())?;
    }
    let flake = find_flake(cli, taken.as_deref())?;
    let build_logs = cli.command.as_ref().is_some_and(Command::prints_build_logs);
    let reporter = ui::reporter(cli.json, cli.output.verbosity(), build_logs, log.clone());
    let here = std::env::current_dir().context("finding the working directory")?;
    let launcher = nix::private_nix::activate(Launcher::new(here), &project::tools_dir());
    Ok(Context {
        state: project::state_dir(&flake),
        flake,
        trust_flake: cli.command.as_ref().is_some_and(Command::trusts_flake),
        json: cli.json,
        launcher: launcher.reporting_to(reporter.clone()),
        reporter,
        approver: approver(cli),
        log: log.clone(),
    })
}

/// Who answers the questions of domains: the command line, or else the user.
fn approver(cli: &Cli) -> Arc<dyn Approver> {
    if cli.command.as_ref().is_some_and(Command::allows_slow_builds) {
        Arc::new(Always(Some(true)))
    } else {
        Arc::new(ui::TerminalApprover)
    }
}

/// Takes the flake that the user names out of the command line, and lets texts repeat what names it.
///
/// # Errors
/// `Usage` for words that name no host.
fn take_flake(cli: &mut Cli) -> Result<Option<String>> {
    // The error of taking the flake may name a command, too.
    if cli.flake.is_some() {
        repeat_in_texts(cli.repeated(cli.flake.as_deref(), nix::eval_args));
    }
    let taken = cli.take_flake()?;
    repeat_in_texts(cli.repeated(taken.as_deref(), nix::eval_args));
    Ok(taken)
}

/// The flake of the command line, which has `taken` from it. Checks that the flake exists, if the command evaluates it,
/// or if the user names it and the command has keys and receipts of its hosts.
///
/// # Errors
/// `Usage` for a folder without a flake, and for a text that is no flake reference.
fn find_flake(cli: &Cli, taken: Option<&str>) -> Result<FlakeRef> {
    let command = cli.command.as_ref();
    if command.is_none_or(Command::uses_state) {
        project::check_named_state()?;
    }
    let named = project::named_flake(taken)?;
    // The overview says what to do without a flake, unless the user names one.
    let must_exist = match command {
        Some(command) => command.evaluates() || named.is_some() && command.uses_state(),
        None => named.is_some(),
    };
    let is_from_environment = taken.is_none() && named.is_some();
    let flake = named.map_or_else(project::flake_here, Ok)?;
    if must_exist {
        let checked = flake.check();
        let checked = if is_from_environment { checked.context("reading XTASK_FLAKE") } else { checked };
        checked?;
    }
    Ok(flake)
}

/// Checks and protects what `command` needs: the tools, the state folder, the keys of hosts.
fn prepare(cx: &mut Context, command: &Command) -> Result<()> {
    if let Err(error) = state::check_folder(&project::tools_dir()) {
        cx.warn_of(&error.context("the tools that setup installed are not used"));
    }
    if command.uses_state() {
        earlier_state::move_to_flake(cx)?;
        identity::finish_interrupted_change(cx, None)?;
    }
    keep_log(cx, command);
    if command.evaluates() {
        if let Some(limit) = command.eval_timeout() {
            cx.launcher = cx.launcher.clone().limiting_evaluations(limit);
        }
        if command.reads_names_only() {
            keys::protect_without_builds(cx)?;
        } else if let Command::Restore(args) = command {
            keys::protect_before_choice(cx, args.identity_dir.as_deref())?;
        } else if let Command::Rollback(_) = command {
            keys::protect_before_choice(cx, None)?;
        } else {
            keys::protect(cx, command.identity_dir(), command.nix_args())?;
        }
    }
    Ok(())
}

/// Runs `command`.
fn dispatch(mut cx: Context, command: Command) -> Result<()> {
    match command {
        #[cfg(feature = "dev")]
        Command::Bench(args) => bench::run(&mut cx, &args),
        #[cfg(feature = "dev")]
        Command::Record => record::run(&cx),
        Command::Boot(args) => boot::run(&cx, &args),
        Command::Demo(args) => demo::run(&mut cx, &args),
        Command::Deploy(args) => deploy::run(&cx, &args),
        Command::Devices(args) => devices::run(&cx, &args),
        Command::Doctor => doctor::run(&cx),
        Command::History(args) => history::run(&mut cx, &args),
        Command::Hosts(args) => hosts::run(&mut cx, &args),
        Command::Log(args) => log::run(&cx, &args),
        Command::Identity(args) => identity::run(&cx, &args),
        Command::NewHost(args) => new_host::run(&mut cx, &args),
        Command::SdImage(args) => sd_image::run(&cx, &args),
        Command::Flash(args) => flash::run(&cx, &args),
        Command::Restore(args) => restore::run(&mut cx, &args),
        Command::Release(args) => release::run(&cx, &args),
        Command::Rollback(args) => rollback::run(&cx, &args),
        Command::Up(args) => up::run(&cx, &args),
        Command::Status(args) => status::run(&cx, &args),
        Command::Setup(args) => setup::run(&mut cx, &args),
        #[cfg(feature = "dev")]
        Command::Test(args) => test::run(&mut cx, &args),
        Command::Card(args) => card::run(&cx, &args),
        Command::Completions(args) => completions::run(&args, cx.json),
    }
}
