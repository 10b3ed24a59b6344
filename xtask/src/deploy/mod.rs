//! Deploying to hosts: deploy-rs activates, and this wing verifies what the host runs afterwards.
//!
//! The steps of a deploy, in order: evaluate the node of the flake, lock the host, read its state, build, show the
//! plan with its diff, copy the closure, make a folder for deploy-rs on the host, run deploy-rs, read the state of
//! the host on a fresh connection once no activation runs there, and judge. **Invariant**: a success is concluded
//! only from states that were read on the host.

mod activation;
mod apply;
mod boot_check;
mod build;
mod closure;
mod copy_checks;
mod desired;
mod find_target;
mod gather;
mod host;
mod host_conflicts;
mod host_lock;
mod host_status;
mod lost_link;
mod multi_host;
mod next_deploy;
mod options;
mod outcome;
mod past_rollback;
mod plan;
mod release;
mod remedies;
mod results;
mod stand_in;
mod status;
mod status_table;
mod summary;
mod tags;
mod target;
mod timings;
mod trial;
mod unpinned;
mod verdict;
#[cfg(test)]
mod verdict_docs_tests;
#[cfg(test)]
mod verdict_tests;
mod via_cache;
mod waves;

pub use activation::require_deploy_rs;
pub use apply::apply;
pub use boot_check::{add_boot_outlook, check_boot};
pub use build::{build, plan_build};
pub use closure::{Diff, diff_in_store};
pub use copy_checks::check_before_copy;
pub use desired::Overrides;
pub use find_target::find_target;
pub use gather::{compare, gather, lock_host, require_build_support};
pub use host::KeptConnections;
pub use host_status::HostStatus;
pub use multi_host::{Ending, deduplicate, deploy_all, deployable_hosts};
pub use next_deploy::warn_of_refused_next_deploy;
pub use options::{Afterwards, DeployOptions, Goal};
pub use outcome::Outcome;
pub use past_rollback::PastRollback;
pub use plan::Plan;
pub use release::{
    Accept, Candidate, Content, Release, ReleaseMark, ReleasedHost, ReleasedImage, SCHEMA, SIGNERS_FILE,
    changed_error, hex_sha256, is_release, require_keygen, sign, signature_path, signing_fault,
};
pub use results::HostResult;
pub use status::{DesiredBy, History, Left, Status, statuses, unreadable_states_error};
pub use status_table::status_table;
pub use summary::{cache_text, error_names, verdict_table, worst_failure};
pub use tags::Tags;
pub use timings::Timings;
pub use trial::{Decision, DecisionOutcome, decide, plan_decision};
pub use unpinned::{OfferedKey, read_offered_key};
pub use verdict::Verdict;
pub use via_cache::{CacheResult, ViaCache};
pub use waves::Waves;
