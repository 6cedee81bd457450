//! A dummy device whose addresses make packets to them this host's own.

use std::fmt;
use std::net::IpAddr;

use crate::error::CallError;

/// A device that holds addresses and nothing else, the kernel's or a fake.
pub trait AddressDevice {
    /// Its addresses but link-local ones, in no order; `None` if there is no such device.
    fn held(&mut self) -> Result<Option<Vec<IpAddr>>, CallError>;

    /// Carries operations out in their order. One that is refused does not keep the others from
    /// being carried out. What is so already is as good as done.
    ///
    /// # Errors
    /// Nothing is known of what was carried out.
    fn apply(&mut self, ops: &[DeviceOp]) -> Result<Vec<DeviceRefusal>, CallError>;
}

/// An operation on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceOp {
    /// Makes the device, of type `dummy`. It is not set up: its addresses are this host's all the
    /// same, and nobody is told of them.
    Create,
    /// Adds an address, with all its bits as prefix.
    Hold(IpAddr),
    /// Removes an address.
    Release(IpAddr),
}

impl DeviceOp {
    /// Whether an error says that it is so already: an address is there, or it is not
    /// (`EADDRNOTAVAIL`), nor IPv6 on the device (`ENXIO`), nor the device.
    pub(super) fn is_done(self, errno: i32) -> bool {
        match self {
            DeviceOp::Create | DeviceOp::Hold(_) => errno == libc::EEXIST,
            DeviceOp::Release(_) => {
                [libc::EADDRNOTAVAIL, libc::ENXIO, libc::ENODEV].contains(&errno)
            }
        }
    }
}

impl fmt::Display for DeviceOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceOp::Create => f.write_str("create the device"),
            DeviceOp::Hold(ip) => write!(f, "add address {ip}"),
            DeviceOp::Release(ip) => write!(f, "remove address {ip}"),
        }
    }
}

/// An operation that the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRefusal {
    /// The operation's index.
    pub op: usize,
    /// The error number (errno(3)).
    pub errno: i32,
}
