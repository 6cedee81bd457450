//! How large a process is.

use std::fs;
use std::time::Duration;

use libtest_mimic::Failed;

use crate::fixture::Cluster;
use crate::rig::Proxy;
use crate::watch::{get, within};

/// What it may have more of at the end. A leak of 200 bytes a change is more than the first, and
/// one of 2 KiB more than the second, which has the allocator's moods in it.
const ALLOCATED: u64 = 1 << 20;
const RESIDENT: u64 = 12 << 20;

/// Connections that wait to be used again are closed after a minute and a half.
const IDLE: Duration = Duration::from_secs(100);

/// How large a process is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Footprint {
    /// Bytes that it has allocated.
    allocated: u64,
    /// Bytes of memory that it has.
    resident: u64,
    descriptors: usize,
    threads: usize,
}

impl Footprint {
    /// As it is now.
    pub(crate) fn of(cluster: &Cluster, proxy: &Proxy<'_>) -> Result<Footprint, Failed> {
        let page = get(&cluster.lab, "127.0.0.1:10249", "/metrics");
        let value = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|value| value.trim().parse::<f64>().ok());
            value.ok_or_else(|| proxy.failed(&format!("no {name} in {page}")))
        };
        // Metrics are floats. Bytes of memory fit into 53 bits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let bytes = |name| value(name).map(|value| value as u64);
        let process = format!("/proc/{}", proxy.child.id());
        let count = |folder: &str| fs::read_dir(format!("{process}/{folder}")).map(Iterator::count);
        Ok(Footprint {
            allocated: bytes("fairlead_memory_allocated_bytes ")?,
            resident: bytes("process_resident_memory_bytes ")?,
            descriptors: count("fd")?,
            threads: count("task")?,
        })
    }

    /// Waits until the process is as it was when this was taken.
    pub(crate) fn holds(self, cluster: &Cluster, proxy: &Proxy<'_>) -> Result<(), Failed> {
        let mut now = self;
        let is = within(IDLE, "it is as large as it was", || {
            now = Footprint::of(cluster, proxy)?;
            Ok(now.allocated <= self.allocated + ALLOCATED
                && now.resident <= self.resident + RESIDENT
                && now.descriptors <= self.descriptors
                && now.threads <= self.threads)
        });
        is.map(drop)
            .map_err(|_| proxy.failed(&format!("it grew from {self:?} to {now:?}")))
    }
}
