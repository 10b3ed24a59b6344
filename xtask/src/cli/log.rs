//! The command line of `log`.

use clap::Args;

use super::Candidates;
use super::deploy::parse_host;
use crate::base::HostName;

#[derive(Debug, Args)]
pub struct Log {
    /// Print the log of the last flash or deploy of this host
    #[arg(value_parser = parse_host, add = Candidates::RecordedHosts)]
    pub host: Option<HostName>,
}
