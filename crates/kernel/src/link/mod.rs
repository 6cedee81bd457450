//! Network devices, their addresses and routes, over rtnetlink (rtnetlink(7)).
//!
//! A proxy asks for this host's [`Addresses`] and watches them change; test rigs also build
//! networks with [`Rtnetlink`].

mod device;
mod device_monitor;
mod dummy;
mod fake_device;
mod monitor;
mod rtnetlink;
mod setup;

use std::net::IpAddr;

pub use device::{AddressDevice, DeviceOp, DeviceRefusal};
pub use dummy::DummyDevice;
pub use fake_device::FakeDevice;
pub use monitor::AddressMonitor;
pub use rtnetlink::Rtnetlink;
pub use setup::Route;

use crate::error::CallError;

/// The addresses of this host, or a fake's.
pub trait Addresses {
    /// All addresses of all devices of the network namespace, in no order.
    fn addresses(&mut self) -> Result<Vec<Address>, CallError>;
}

/// An address of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// The address itself: of a point-to-point link this end's.
    pub ip: IpAddr,
    /// The bits of the network that is reached through the device.
    pub prefix_len: u8,
    /// How far the address is good for.
    pub scope: Scope,
    /// The index of the device that has it.
    pub link: u32,
    /// The device is a loopback one. Its addresses need not be [`IpAddr::is_loopback`]: a
    /// host's own addresses are often put there.
    pub loopback: bool,
}

/// How far an address is good for (`RT_SCOPE_*`, linux/rtnetlink.h), the farthest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// Within the site; also what an administrator has made up.
    Site,
    /// On the link.
    Link,
    /// On this host.
    Host,
}

impl Scope {
    fn of(rt_scope: u8) -> Self {
        match rt_scope {
            libc::RT_SCOPE_UNIVERSE => Self::Global,
            libc::RT_SCOPE_HOST | libc::RT_SCOPE_NOWHERE => Self::Host,
            libc::RT_SCOPE_LINK => Self::Link,
            _ => Self::Site,
        }
    }
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index, by which the kernel knows it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// It was set up (`IFF_UP`); there may yet be no carrier.
    pub up: bool,
    /// It is a loopback device (`IFF_LOOPBACK`).
    pub loopback: bool,
}

/// Addresses in memory.
#[derive(Debug, Clone, Default)]
pub struct FakeAddresses {
    /// What the host has.
    pub addresses: Vec<Address>,
    /// What the next question fails with; then it is gone.
    pub fault: Option<CallError>,
}

impl Addresses for FakeAddresses {
    fn addresses(&mut self) -> Result<Vec<Address>, CallError> {
        self.fault
            .take()
            .map_or_else(|| Ok(self.addresses.clone()), Err)
    }
}
