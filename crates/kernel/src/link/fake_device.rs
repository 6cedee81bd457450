//! A dummy device in memory, as strict as the kernel's.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::device::{AddressDevice, DeviceOp, DeviceRefusal};
use super::dummy::is_link_local;
use crate::error::CallError;

/// A dummy device in memory. What others do to it, a test does to its fields.
#[derive(Debug, Clone, Default)]
pub struct FakeDevice {
    /// Its addresses, if there is the device.
    pub addresses: Option<BTreeSet<IpAddr>>,
    /// There is a device of its name that is of another type.
    pub is_of_other_type: bool,
    /// The error numbers with which these operations are refused.
    pub refuse: HashMap<DeviceOp, i32>,
}

impl FakeDevice {
    /// A kernel without the device.
    pub fn new() -> FakeDevice {
        FakeDevice::default()
    }

    fn check_type(&self) -> Result<(), CallError> {
        match self.is_of_other_type {
            false => Ok(()),
            true => Err(CallError {
                call: "RTM_GETLINK",
                object: "a device of another type than dummy".to_owned(),
                errno: libc::EEXIST,
            }),
        }
    }

    fn carry_out(&mut self, op: DeviceOp) -> Result<(), i32> {
        self.refuse.get(&op).map_or(Ok(()), |errno| Err(*errno))?;
        match (op, &mut self.addresses) {
            (DeviceOp::Create, Some(_)) => Err(libc::EEXIST),
            (DeviceOp::Create, none) => {
                *none = Some(BTreeSet::new());
                Ok(())
            }
            (DeviceOp::Hold(_) | DeviceOp::Release(_), None) => Err(libc::ENODEV),
            (DeviceOp::Hold(ip), _) if is_no_hosts(ip) => Err(libc::EADDRNOTAVAIL),
            // The kernel says nothing, and does nothing (`__inet_insert_ifa`).
            (DeviceOp::Hold(ip), _) if ip.is_unspecified() => Ok(()),
            (DeviceOp::Hold(ip), Some(held)) => held.insert(ip).then_some(()).ok_or(libc::EEXIST),
            (DeviceOp::Release(ip), Some(held)) => {
                held.remove(&ip).then_some(()).ok_or(libc::EADDRNOTAVAIL)
            }
        }
    }
}

impl AddressDevice for FakeDevice {
    fn held(&mut self) -> Result<Option<Vec<IpAddr>>, CallError> {
        self.check_type()?;
        let all = |held: &BTreeSet<IpAddr>| {
            let held = held.iter().copied();
            held.filter(|ip| !is_link_local(*ip)).collect()
        };
        Ok(self.addresses.as_ref().map(all))
    }

    fn apply(&mut self, ops: &[DeviceOp]) -> Result<Vec<DeviceRefusal>, CallError> {
        self.check_type()?;
        let mut refused = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            match self.carry_out(*op) {
                Err(errno) if !op.is_done(errno) => {
                    refused.push(DeviceRefusal { op: index, errno });
                }
                _ => {}
            }
        }
        Ok(refused)
    }
}

/// IPv6 addresses that no device but a loopback one may have (`ipv6_add_addr` in
/// net/ipv6/addrconf.c).
fn is_no_hosts(ip: IpAddr) -> bool {
    ip.is_ipv6() && (ip.is_unspecified() || ip.is_loopback() || ip.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeviceOp::{Create, Hold, Release};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_so_already_is_as_good_as_done() {
        let mut device = FakeDevice::new();
        let held = ip("10.96.0.1");
        let ops = [Create, Create, Hold(held), Hold(held), Release(ip("::1"))];
        assert_eq!(device.apply(&ops), Ok(vec![]));
        assert_eq!(device.held(), Ok(Some(vec![held])));
        assert_eq!(device.apply(&[Release(held), Release(held)]), Ok(vec![]));
        assert_eq!(device.held(), Ok(Some(vec![])));
    }

    #[test]
    fn a_refusal_keeps_nothing_else_from_being_carried_out() {
        let mut device = FakeDevice::new();
        let (first, second) = (ip("10.96.0.1"), ip("fd00::1"));
        let errno = libc::ENODEV;
        let refused = device.apply(&[Hold(first), Release(first), Create, Hold(second)]);
        assert_eq!(refused, Ok(vec![DeviceRefusal { op: 0, errno }]));
        assert_eq!(device.held(), Ok(Some(vec![second])));
        device.refuse.insert(Hold(first), libc::EACCES);
        let refused = device.apply(&[Hold(first), Release(second)]).unwrap();
        assert_eq!((refused[0].op, refused[0].errno), (0, libc::EACCES));
        assert_eq!(device.held(), Ok(Some(vec![])));
    }

    #[test]
    fn a_device_of_another_type_is_an_error() {
        let mut device = FakeDevice::new();
        device.is_of_other_type = true;
        assert_eq!(device.held().unwrap_err().errno, libc::EEXIST);
        assert_eq!(device.apply(&[Create]).unwrap_err().errno, libc::EEXIST);
        assert_eq!(device.addresses, None);
    }
}
