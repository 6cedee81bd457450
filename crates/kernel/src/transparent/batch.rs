//! Datagrams received many at a time, with the address that each was sent to (recvmmsg(2)).

use std::array;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

/// How many datagrams at most.
const MOST: usize = 16;

/// The longest datagram there can be (RFC 768); jumbograms are not of the Internet.
const LONGEST: usize = 65_535;

/// Room for an address: `struct sockaddr_in6` is the longest of the two.
const NAME: usize = size_of::<libc::sockaddr_in6>();

/// Room for a message about the original destination, with its header.
const CONTROL: usize = 64;

/// Room for datagrams, about 1 MiB, of which the kernel gives as much as is used.
#[derive(Debug)]
pub struct Batch {
    bytes: Box<[u8]>,
    notes: Box<[Note; MOST]>,
}

/// What the kernel says of a datagram. Aligned as `struct cmsghdr` and addresses are.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
struct Note {
    control: [u8; CONTROL],
    name: [u8; NAME],
}

/// A datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Where to, before rules brought it here.
    pub to: SocketAddr,
    /// What it says; may be nothing.
    pub bytes: &'a [u8],
}

impl Default for Batch {
    fn default() -> Batch {
        let note = Note {
            control: [0; CONTROL],
            name: [0; NAME],
        };
        Batch {
            bytes: vec![0; MOST * LONGEST].into(),
            notes: Box::new([note; MOST]),
        }
    }
}

impl Batch {
    /// Receives what waits at a listener, as much as there is room for.
    ///
    /// # Errors
    /// Those of recvmsg(2); `EAGAIN` if nothing waits.
    pub fn receive(&mut self, socket: impl AsFd) -> io::Result<impl Iterator<Item = Datagram<'_>>> {
        let lengths = self.fill(socket)?;
        let all = self.bytes.chunks(LONGEST).zip(self.notes.iter());
        let received = all.zip(lengths.into_iter().map_while(|length| length));
        Ok(received.filter_map(|((bytes, note), (length, control))| {
            Some(Datagram {
                from: address(&note.name)?,
                to: original_destination(note.control.get(..control)?)?,
                bytes: bytes.get(..length)?,
            })
        }))
    }

    /// Room for one datagram, while no others are in it.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[..LONGEST]
    }

    /// Of each datagram its length, and that of what the kernel says of it.
    #[allow(unsafe_code)]
    fn fill(&mut self, socket: impl AsFd) -> io::Result<[Option<(usize, usize)>; MOST]> {
        let mut parts: [libc::iovec; MOST] = {
            let mut chunks = self.bytes.chunks_mut(LONGEST);
            array::from_fn(|_| {
                let chunk = chunks.next().unwrap_or_default();
                libc::iovec {
                    iov_base: chunk.as_mut_ptr().cast(),
                    iov_len: chunk.len(),
                }
            })
        };
        // SAFETY: all of `struct mmsghdr` are numbers and pointers, for which zero is a value.
        let mut headers: [libc::mmsghdr; MOST] = unsafe { mem::zeroed() };
        for ((header, part), note) in headers.iter_mut().zip(&mut parts).zip(&mut *self.notes) {
            let header = &mut header.msg_hdr;
            header.msg_name = note.name.as_mut_ptr().cast();
            header.msg_namelen = NAME as libc::socklen_t;
            header.msg_iov = part;
            header.msg_iovlen = 1;
            header.msg_control = note.control.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        let (fd, flags) = (socket.as_fd().as_raw_fd(), libc::MSG_DONTWAIT as _);
        let (vector, count) = (headers.as_mut_ptr(), MOST as libc::c_uint);
        // SAFETY: each of the `count` headers points to a part, a name and a control buffer of the
        // length that it says, which live until the end of this function and are nobody else's.
        let received = unsafe { libc::recvmmsg(fd, vector, count, flags, ptr::null_mut()) };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(array::from_fn(|index| {
            let header = headers.get(index).filter(|_| index < received)?;
            let length = header.msg_len as usize;
            #[allow(clippy::useless_conversion)] // it is a `socklen_t` with other C libraries
            let control = usize::try_from(header.msg_hdr.msg_controllen).unwrap_or_default();
            Some((length, control))
        }))
    }
}

/// The address in a message `IP_ORIGDSTADDR` or `IPV6_ORIGDSTADDR` (cmsg(3)).
fn original_destination(mut control: &[u8]) -> Option<SocketAddr> {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    loop {
        let length = usize::from_ne_bytes(bytes_at(control, 0)?);
        let level = i32::from_ne_bytes(bytes_at(control, size_of::<usize>())?);
        let kind = i32::from_ne_bytes(bytes_at(control, size_of::<usize>() + 4)?);
        let body = control.get(HEADER..length)?;
        if let (libc::SOL_IP, libc::IP_ORIGDSTADDR) | (libc::SOL_IPV6, libc::IPV6_ORIGDSTADDR) =
            (level, kind)
        {
            return address(body);
        }
        control = control.get(length.next_multiple_of(size_of::<usize>())..)?;
    }
}

/// A `struct sockaddr_in` or `struct sockaddr_in6` (ip(7), ipv6(7)).
fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(bytes_at(bytes, 2)?);
    match libc::c_int::from(u16::from_ne_bytes(bytes_at(bytes, 0)?)) {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(bytes_at::<4>(bytes, 4)?);
            Some(SocketAddrV4::new(ip, port).into())
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(bytes_at::<16>(bytes, 8)?);
            // The flow is the sender's own and no part of its address.
            let scope = u32::from_ne_bytes(bytes_at(bytes, 24)?);
            Some(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => None,
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, body: &[u8]) -> Vec<u8> {
        let length = size_of::<libc::cmsghdr>() + body.len();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(body);
        bytes.resize(length.next_multiple_of(size_of::<usize>()), 0);
        bytes
    }

    fn name() -> Vec<u8> {
        let mut name = (libc::AF_INET as u16).to_ne_bytes().to_vec();
        name.extend([0, 53, 10, 96, 0, 10]);
        name.resize(size_of::<libc::sockaddr_in>(), 0);
        name
    }

    #[test]
    fn the_original_destination_is_found_among_others() {
        let mut control = message(libc::SOL_SOCKET, libc::SO_MARK, &[1, 2, 3, 4]);
        control.extend(message(libc::SOL_IP, libc::IP_ORIGDSTADDR, &name()));
        let found = original_destination(&control).map(|found| found.to_string());
        assert_eq!(found.as_deref(), Some("10.96.0.10:53"));
    }

    #[test]
    fn what_is_cut_off_or_nonsense_is_no_destination() {
        let control = message(libc::SOL_IP, libc::IP_ORIGDSTADDR, &name());
        for length in 0..size_of::<libc::cmsghdr>() + 8 {
            assert_eq!(original_destination(&control[..length]), None, "{length}");
        }
        for length in [0_usize, 1, 15, usize::MAX - 7, usize::MAX] {
            let mut control = message(libc::SOL_SOCKET, libc::SO_MARK, &name());
            control[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(original_destination(&control), None, "{length}");
        }
        assert_eq!(address(&[0; NAME]), None);
    }
}
