//! The kernel's dummy device, over rtnetlink.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::device::{AddressDevice, DeviceOp, DeviceRefusal};
use super::device_monitor::{DeviceMonitor, Reported};
use super::rtnetlink::{IFADDRMSG, IFINFOMSG, Rtnetlink, parse_address};
use super::setup::family;
use crate::error::CallError;
use crate::netlink::{Builder, Head, Message, Request, u32_at};

/// The type of the device.
const KIND: &str = "dummy";

/// A device of type `dummy`, which need not be there yet; and whether someone else touched it.
///
/// The descriptor, for poll(2), is readable when [`DummyDevice::touched`] has something to read.
#[derive(Debug)]
pub struct DummyDevice {
    name: String,
    rtnetlink: Rtnetlink,
    monitor: DeviceMonitor,
}

impl DummyDevice {
    /// The device of this name in the network namespace of the calling thread. Nothing is made yet.
    pub fn open(name: &str) -> Result<DummyDevice, CallError> {
        let rtnetlink = Rtnetlink::open()?;
        // Before Linux 4.20 all devices' addresses come, and this one's are picked out.
        let _ = rtnetlink.socket.ask_strictly();
        Ok(DummyDevice {
            name: name.to_owned(),
            rtnetlink,
            monitor: DeviceMonitor::open(name)?,
        })
    }

    /// Whether someone else may have changed the device's addresses, removed it or made another
    /// one of its name, since this was last asked.
    pub fn touched(&mut self) -> Result<bool, CallError> {
        match self.monitor.drain()? {
            Reported::Nothing => Ok(false),
            Reported::News => Ok(true),
            // As when thousands of addresses were added here at once.
            Reported::TooMuch => {
                let found = self.list()?;
                let (index, all) =
                    found.map_or((None, Vec::new()), |(index, all)| (Some(index), all));
                Ok(!self.monitor.expects(index, &all))
            }
        }
    }

    /// The device's index with its addresses; `None` if there is no device.
    fn list(&mut self) -> Result<Option<(u32, Vec<IpAddr>)>, CallError> {
        let Some(index) = self.find()? else {
            return Ok(None);
        };
        let mut all = Vec::new();
        for family in [libc::AF_INET as u8, libc::AF_INET6 as u8] {
            match self.addresses(index, family) {
                Ok(addresses) => all.extend(addresses),
                // It went meanwhile.
                Err(error) if error.errno == libc::ENODEV => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some((index, all)))
    }

    /// Its index; `None` if there is no device of this name.
    ///
    /// # Errors
    /// `EEXIST` if there is one of another type.
    fn find(&mut self) -> Result<Option<u32>, CallError> {
        let request = request(&self.name, libc::RTM_GETLINK, "RTM_GETLINK");
        let found = self.rtnetlink.socket.query(
            &request,
            |body| {
                body.raw(&[0; IFINFOMSG]);
                body.string(libc::IFLA_IFNAME, &self.name);
            },
            |found, message| *found = index_and_kind(message),
        );
        match found {
            Ok(Some((index, true))) => Ok(Some(index)),
            Ok(Some((_, false))) => Err(CallError {
                call: "RTM_GETLINK",
                object: format!("{}, a device of another type than {KIND}", self.name),
                errno: libc::EEXIST,
            }),
            Ok(None) => Ok(None),
            Err(error) if error.errno == libc::ENODEV => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the error number of a refusal.
    fn create(&mut self) -> Result<Option<i32>, CallError> {
        let request = Request {
            flags: libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            ..request(&self.name, libc::RTM_NEWLINK, "RTM_NEWLINK dummy")
        };
        let made = self.rtnetlink.socket.request(&request, |body| {
            body.raw(&[0; IFINFOMSG]);
            body.string(libc::IFLA_IFNAME, &self.name);
            body.nest(libc::IFLA_LINKINFO, |info| {
                info.string(libc::IFLA_INFO_KIND, KIND);
            });
        });
        match made {
            Err(error) if error.errno != libc::EEXIST => Ok(Some(error.errno)),
            _ => {
                let index = self.find()?;
                self.monitor.expect_device(index);
                Ok(None)
            }
        }
    }

    /// Adds and removes addresses.
    fn change(&mut self, ops: &[DeviceOp]) -> Result<Vec<DeviceRefusal>, CallError> {
        let Some(index) = self.find()? else {
            let all = ops.iter().enumerate();
            let refused = all.filter(|(_, op)| !op.is_done(libc::ENODEV));
            let errno = libc::ENODEV;
            return Ok(refused.map(|(op, _)| DeviceRefusal { op, errno }).collect());
        };
        self.monitor.expect(index, ops);
        let write = |builder: &mut Builder, head, op: &DeviceOp| write(builder, head, index, *op);
        let said = self.rtnetlink.socket.pipeline(ops, write)?.refused;
        let refused = said.into_iter();
        let refused = refused.filter(|said| !ops[said.index].is_done(said.errno));
        let refused: Vec<_> = refused
            .map(|said| DeviceRefusal {
                op: said.index,
                errno: said.errno,
            })
            .collect();
        self.monitor
            .forget(refused.iter().map(|refusal| ops[refusal.op]));
        Ok(refused)
    }

    /// The addresses of one family. Without that family the kernel tells those of another.
    fn addresses(&mut self, index: u32, family: u8) -> Result<Vec<IpAddr>, CallError> {
        let request = request(&self.name, libc::RTM_GETADDR, "RTM_GETADDR");
        self.rtnetlink.socket.dump(
            &request,
            |body| {
                body.raw(&[family, 0, 0, 0]);
                body.raw(&index.to_ne_bytes());
            },
            |addresses: &mut Vec<IpAddr>, message| {
                let is_of_family = message.payload.first() == Some(&family);
                let address = parse_address(message).filter(|_| is_of_family);
                let of_device = address.filter(|address| address.link == index);
                let ip = of_device.map(|address| address.ip);
                addresses.extend(ip.filter(|ip| !is_link_local(*ip)));
            },
        )
    }
}

impl AddressDevice for DummyDevice {
    fn held(&mut self) -> Result<Option<Vec<IpAddr>>, CallError> {
        let Some((index, all)) = self.list()? else {
            self.monitor.expect_device(None);
            return Ok(None);
        };
        self.monitor.expect_held(index, &all);
        Ok(Some(all))
    }

    fn apply(&mut self, ops: &[DeviceOp]) -> Result<Vec<DeviceRefusal>, CallError> {
        let mut refusals = Vec::new();
        let is_create = |op: &DeviceOp| *op == DeviceOp::Create;
        let mut start = 0;
        for run in ops.chunk_by(|op, next| !is_create(op) && !is_create(next)) {
            let refused = match run {
                [DeviceOp::Create] => {
                    let refused = self.create()?;
                    let refusal = refused.map(|errno| DeviceRefusal { op: 0, errno });
                    refusal.into_iter().collect()
                }
                changes => self.change(changes)?,
            };
            refusals.extend(refused.into_iter().map(|refusal| DeviceRefusal {
                op: start + refusal.op,
                ..refusal
            }));
            start += run.len();
        }
        Ok(refusals)
    }
}

impl AsFd for DummyDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

fn request<'a>(name: &'a str, kind: u16, call: &'static str) -> Request<'a> {
    Request {
        kind,
        flags: 0,
        call,
        object: name,
    }
}

/// Such addresses come of themselves.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The index of a device, and whether it is of the type that is wanted.
fn index_and_kind(message: &Message<'_>) -> Option<(u32, bool)> {
    let info = message.attributes(IFINFOMSG).find(libc::IFLA_LINKINFO);
    let kind = info.and_then(|info| info.nested().find(libc::IFLA_INFO_KIND));
    let is_dummy = kind.and_then(|kind| kind.str()) == Some(KIND);
    (message.kind == libc::RTM_NEWLINK).then_some((u32_at(message.payload, 4)?, is_dummy))
}

/// Writes the request that adds or removes an address. Of an IPv6 address nobody is asked whether
/// they have it already (`IFA_F_NODAD`): every node has it.
fn write(builder: &mut Builder, head: Head, index: u32, op: DeviceOp) {
    let (kind, flags, ip) = match op {
        DeviceOp::Hold(ip) => {
            let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
            (libc::RTM_NEWADDR, flags, ip)
        }
        DeviceOp::Release(ip) => (libc::RTM_DELADDR, 0, ip),
        // Made by a request of its own.
        DeviceOp::Create => return,
    };
    let (bits, ifa_flags) = match ip {
        IpAddr::V4(_) => (32, 0),
        IpAddr::V6(_) => (128, libc::IFA_F_NODAD as u8),
    };
    builder.message(kind, head.flags | flags, head.sequence, |body| {
        // struct ifaddrmsg: family, prefix length, flags, scope (u8 each), index (u32)
        debug_assert_eq!(IFADDRMSG, 8);
        body.raw(&[family(ip), bits, ifa_flags, libc::RT_SCOPE_UNIVERSE]);
        body.raw(&index.to_ne_bytes());
        body.ip(libc::IFA_LOCAL, ip);
        body.ip(libc::IFA_ADDRESS, ip);
    });
}
