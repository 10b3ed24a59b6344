//! A lock for each host: one deploy to a host at a time.

use anyhow::Result;

use crate::base::lock::Lock;
use crate::base::{Context, HostName, percent_encoding, state};

/// The lock of a host, held by this process until it is dropped or the process ends.
#[derive(Debug)]
pub struct HostLock(#[expect(dead_code, reason = "holds the lock")] Lock);

impl HostLock {
    /// Locks `host`. Reports and waits while another deploy of this project holds the lock.
    ///
    /// # Errors
    /// `Interrupted` if the user stops the wait.
    pub fn take(cx: &Context, host: &HostName) -> Result<Self> {
        let folder = cx.state.join("locks");
        state::create_private_folder(&folder)?;
        let path = folder.join(format!("deploy-{}", percent_encoding::encode(host.as_bytes(), b"")));
        Lock::take(&path, &format!("another deploy to {host}"), cx.reporter.as_ref()).map(Self)
    }
}
