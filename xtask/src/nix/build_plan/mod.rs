//! What a build will do, known before it begins: what is built and how, what is fetched, and about how long it takes.

mod agree;
mod dry_run;
mod heavy;
mod live_builders;
mod systems;
mod text;
mod times;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::emulation::{self, BuildSupport};
use super::programs::Programs;
use super::{Config, FEATURES, Installable, StorePath, System, error, eval_args, version};
use crate::base::process::Launcher;
use crate::base::{Context, HostName};

use live_builders::AskedBuilders;
use systems::Needs;

pub use agree::agree;
pub use dry_run::DryRun;
pub use live_builders::DeadBuilder;
pub use times::{BuildTime, BuildTimes};

/// What Nix will do for a build.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct BuildPlan {
    /// The derivations to build, in the order of the builds.
    pub derivations: Vec<PlannedBuild>,
    /// How many paths are fetched from binary caches.
    pub fetched_paths: u64,
    pub download_bytes: u64,
    /// The size of the fetched paths in the store.
    pub unpacked_bytes: u64,
    /// Paths that Nix can neither build nor fetch.
    pub unavailable: Vec<StorePath>,
    /// Remote builders for these derivations that do not answer.
    pub dead_builders: Vec<DeadBuilder>,
    /// The options for Nix that keep it from waiting for them.
    #[serde(skip)]
    pub builder_options: Vec<String>,
    /// The free space of the store; `None` where it cannot be measured.
    pub free_bytes: Option<u64>,
    /// The estimate by the derivations whose time is known; `None` where none is.
    pub seconds: Option<f64>,
}

/// A host that a plan leaves out, as it cannot be evaluated; or the attribute of an image that names no host.
pub struct Unplanned {
    pub host: HostName,
    pub error: anyhow::Error,
}

/// A derivation that will be built.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PlannedBuild {
    pub derivation: StorePath,
    pub name: String,
    /// `None` where Nix does not show it.
    pub system: Option<System>,
    pub place: Place,
    /// Whether the build takes long everywhere, as that of a kernel or of a compiler does.
    #[serde(rename = "heavy")]
    pub is_heavy: bool,
    /// How long the last build of this package took on this machine.
    pub seconds: Option<f64>,
}

/// Where and how a derivation is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BuildPlace")]
pub enum Place {
    /// On this machine.
    Native,
    /// On this machine, by an emulator.
    Emulated,
    /// By a remote builder.
    Remote,
    /// Nowhere, as far as the settings of Nix say.
    Nowhere,
    Unknown,
}

impl BuildPlan {
    /// The plan of a build of `installables` with `options` for Nix. An evaluation comes first, if they need one.
    ///
    /// # Errors
    /// That of Nix, for a build that it cannot plan.
    pub fn make(cx: &Context, installables: &[Installable], options: &[String]) -> Result<Self> {
        let run = dry_run(&cx.launcher, installables, options)?;
        let places = Places::of(cx, &run.to_build, options)?;
        let times = BuildTimes::load(&cx.state);
        let derivations = run.to_build.iter().map(|path| places.planned(path, &times)).collect::<Vec<_>>();
        Ok(Self {
            seconds: estimate(&derivations, places.jobs),
            derivations,
            fetched_paths: run.fetched,
            download_bytes: run.download_bytes,
            unpacked_bytes: run.unpacked_bytes,
            unavailable: run.unknown,
            builder_options: places.builders.options(),
            dead_builders: places.builders.dead,
            free_bytes: free_bytes(Path::new(error::NIX_STORE)),
        })
    }

    /// Whether all that is wanted is in the store.
    pub fn is_empty(&self) -> bool {
        self.derivations.is_empty() && self.fetched_paths == 0
    }

    /// The builds that take hours: heavy ones by an emulator.
    pub fn slow_builds(&self) -> impl Iterator<Item = &PlannedBuild> {
        self.derivations.iter().filter(|build| build.is_heavy && build.place == Place::Emulated)
    }

    /// Whether the paths to fetch are larger than the free space.
    pub fn lacks_room(&self) -> bool {
        self.free_bytes.is_some_and(|free| free < self.unpacked_bytes)
    }

    /// How many derivations have a known time.
    fn known_times(&self) -> usize {
        self.derivations.iter().filter(|build| build.seconds.is_some()).count()
    }
}

/// What `nix build --dry-run` prints for `installables`.
///
/// # Errors
/// That of Nix.
pub fn dry_run(launcher: &Launcher, installables: &[Installable], options: &[String]) -> Result<DryRun> {
    // Without an installable Nix would take the default package of the flake in the working folder.
    if installables.is_empty() {
        return Ok(DryRun::default());
    }
    let options = eval_args(options);
    let fixed = FEATURES.into_iter().chain(["build", "--dry-run"]);
    let fixed = fixed.chain(installables.iter().map(Installable::as_str));
    let args = fixed.chain(options.iter().map(String::as_str)).collect::<Vec<_>>();
    let mut run = DryRun::default();
    let output = launcher.stream_killable("nix", &args, None, |line| run.read_line(line))?;
    if !output.success() {
        let names = super::build::join_names(installables);
        return Err(error::evaluation_failed(&output.stderr, &names, None, &Programs::of(launcher)));
    }
    Ok(run)
}

/// What derivations need, and where what needs that is built.
#[derive(Default)]
struct Places {
    needs: HashMap<String, Needs>,
    by_needs: BTreeMap<Needs, Place>,
    builders: AskedBuilders,
    /// How many builds run at once.
    jobs: u64,
}

impl Places {
    fn of(cx: &Context, derivations: &[StorePath], options: &[String]) -> Result<Self> {
        if derivations.is_empty() {
            return Ok(Self::default());
        }
        let config = Config::load(&cx.launcher, version::require(&cx.launcher)?, options)?;
        let needs = systems::needs_of(&cx.launcher, derivations)?;
        let systems = needs.values().map(|needs| needs.system.as_str()).collect::<BTreeSet<_>>();
        let are_of_this_run = options.iter().any(|option| option == "--builders");
        let builders = AskedBuilders::ask(cx, &config, &systems, are_of_this_run)?;
        let mut here = BTreeMap::new();
        for system in systems {
            here.insert(system.to_owned(), Place::here(&cx.launcher, &config, system)?);
        }
        let distinct = needs.values().cloned().collect::<BTreeSet<_>>();
        for needs in &distinct {
            builders.warn_of_features(cx, needs);
        }
        let place = |needs: Needs| {
            let here = here.get(&needs.system).copied().unwrap_or(Place::Unknown);
            (needs.clone(), Place::of(&config, &builders, &needs, here))
        };
        let by_needs = distinct.into_iter().map(place).collect();
        Ok(Self { by_needs, builders, jobs: config.max_jobs.max(1), needs })
    }

    fn planned(&self, path: &StorePath, times: &BuildTimes) -> PlannedBuild {
        let name = path.name().trim_end_matches(".drv").to_owned();
        let needs = path.as_str().rsplit('/').next().and_then(|file| self.needs.get(file));
        let place = needs.and_then(|needs| self.by_needs.get(needs)).copied().unwrap_or(Place::Unknown);
        PlannedBuild {
            seconds: times.seconds(&name, place == Place::Emulated),
            is_heavy: heavy::is_heavy(&name),
            derivation: path.clone(),
            name,
            system: needs.map(|needs| needs.system.clone()),
            place,
        }
    }
}

impl Place {
    /// Where a derivation with these `needs` is built: Nix asks remote builders first, also for what it could build
    /// itself. This machine builds for the system as `here` says.
    fn of(config: &Config, builders: &AskedBuilders, needs: &Needs, here: Self) -> Self {
        if needs.system == emulation::BUILTIN {
            Self::Native
        } else if builders.take(needs) {
            Self::Remote
        } else if config.has_features(&needs.features) {
            here
        } else {
            Self::Nowhere
        }
    }

    /// How this machine itself builds for `system`.
    fn here(launcher: &Launcher, config: &Config, system: &str) -> Result<Self> {
        if system == emulation::BUILTIN {
            return Ok(Self::Native);
        }
        Ok(match emulation::support_here(launcher, config, system)? {
            BuildSupport::Native | BuildSupport::RunByKernel => Self::Native,
            BuildSupport::Emulated | BuildSupport::EmulatedOutside(_) => Self::Emulated,
            BuildSupport::Remote => Self::Remote,
            BuildSupport::Untested => Self::Unknown,
            _ => Self::Nowhere,
        })
    }
}

/// The seconds that the builds with a known time take, when `jobs` of them run at once; `None` where no time is known.
fn estimate(builds: &[PlannedBuild], jobs: u64) -> Option<f64> {
    let known = || builds.iter().filter_map(|build| build.seconds);
    let longest = known().reduce(f64::max)?;
    #[expect(clippy::cast_precision_loss, reason = "a handful of jobs")]
    let shared = known().sum::<f64>() / jobs as f64;
    Some(longest.max(shared))
}

/// The free space of the disk with `folder`, in bytes.
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests;
