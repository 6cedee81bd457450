//! The process as the kernel sees it: the metrics that every Prometheus client has.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::{SysconfVar, sysconf};
use prometheus::core::Collector;

use super::scraped::{Described, Samples, Scraped};

const METRICS: [Described; 12] = [
    counter(
        "process_cpu_seconds_total",
        "Processor time used, in seconds",
    ),
    gauge("process_max_fds", "File descriptors that may be open"),
    counter(
        "process_network_receive_bytes_total",
        "Bytes of IP packets that came to the network namespace",
    ),
    counter(
        "process_network_transmit_bytes_total",
        "Bytes of IP packets that left the network namespace",
    ),
    gauge("process_open_fds", "File descriptors that are open"),
    gauge("process_resident_memory_bytes", "Memory in use, in bytes"),
    gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970",
    ),
    gauge(
        "process_virtual_memory_bytes",
        "Address space in use, in bytes",
    ),
    gauge(
        "process_virtual_memory_max_bytes",
        "Address space that may be in use, in bytes",
    ),
    gauge("process_threads", "Threads"),
    gauge(
        "fairlead_memory_peak_resident_bytes",
        "The most memory that was in use at once, in bytes",
    ),
    gauge(
        "fairlead_memory_allocated_bytes",
        "Memory that was asked for and not given back, in bytes",
    ),
];

const fn counter(name: &'static str, help: &'static str) -> Described {
    Described::counter(name, help, &[])
}

const fn gauge(name: &'static str, help: &'static str) -> Described {
    Described::gauge(name, help, &[])
}

/// The metrics of this process. What the kernel does not tell is left out.
pub(super) fn collector() -> prometheus::Result<impl Collector> {
    let started = started();
    Scraped::new(&METRICS, move |samples| {
        if let Some(started) = started {
            samples.add("process_start_time_seconds", &[], started);
        }
        memory(samples);
        limits(samples);
        network(samples);
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let used = seconds(usage.user_time()) + seconds(usage.system_time());
            samples.add("process_cpu_seconds_total", &[], used);
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is being read.
            let open = open.count().saturating_sub(1);
            samples.add("process_open_fds", &[], float(open as u64));
        }
    })
}

/// proc_pid_status(5), which counts memory in KiB.
fn memory(samples: &mut Samples) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (field, name, unit) in [
        ("VmSize:", "process_virtual_memory_bytes", 1024.0),
        ("VmRSS:", "process_resident_memory_bytes", 1024.0),
        ("VmHWM:", "fairlead_memory_peak_resident_bytes", 1024.0),
        ("Threads:", "process_threads", 1.0),
    ] {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        if let Some(number) = number {
            samples.add(name, &[], number * unit);
        }
    }
    if let Some(allocated) = fairlead_kernel::memory::allocated() {
        samples.add(
            "fairlead_memory_allocated_bytes",
            &[],
            float(allocated as u64),
        );
    }
}

fn limits(samples: &mut Samples) {
    for (resource, name) in [
        (Resource::RLIMIT_NOFILE, "process_max_fds"),
        (Resource::RLIMIT_AS, "process_virtual_memory_max_bytes"),
    ] {
        if let Ok((soft, _)) = getrlimit(resource) {
            samples.add(name, &[], float(soft));
        }
    }
}

/// The line of names and the line of numbers that begin with `IpExt:` in /proc/net/netstat.
fn network(samples: &mut Samples) {
    let text = fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else {
        return;
    };
    for (name, number) in names.split_whitespace().zip(numbers.split_whitespace()) {
        let metric = match name {
            "InOctets" => "process_network_receive_bytes_total",
            "OutOctets" => "process_network_transmit_bytes_total",
            _ => continue,
        };
        if let Ok(number) = number.parse() {
            samples.add(metric, &[], number);
        }
    }
}

/// When this process started, in seconds since 1970: proc_pid_stat(5) counts in ticks since the
/// host booted, of which proc_stat(5) says when that was.
fn started() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, and may have spaces in it.
    let (_, after_name) = stat.rsplit_once(')')?;
    // The first of the rest is the third field, and the start time is the twenty-second.
    let ticks: f64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let a_second = u32::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let host = fs::read_to_string("/proc/stat").ok()?;
    let booted = host.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(booted.parse::<f64>().ok()? + ticks / f64::from(a_second))
}

fn seconds(time: TimeVal) -> f64 {
    let micros = u64::try_from(time.tv_usec()).unwrap_or_default();
    let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
    (Duration::from_secs(seconds) + Duration::from_micros(micros)).as_secs_f64()
}

/// Counts have more digits than it takes note of, as everywhere in Prometheus.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}
