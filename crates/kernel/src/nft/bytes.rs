//! The bytes of keys and of what maps hold.

use std::fmt;
use std::net::IpAddr;

/// The longest key: two IPv6 addresses, a protocol and a port, or an address, a protocol, a
/// port and an address.
pub const MAX_KEY: usize = 40;

/// The longest data of a map: an IPv6 address and a port.
pub const MAX_VALUE: usize = 20;

/// The bytes of a key, each field padded to four bytes; no more than `MAX`.
///
/// Addresses and ports are in network byte order, protocols one byte, numbers in the host's
/// byte order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes<const MAX: usize = MAX_KEY> {
    /// The kernel pads the fields of a concatenation, but not a field that stands alone.
    kernel_len: u8,
    buffer: [u8; MAX],
}

/// The bytes of a map's data.
pub type Value = Bytes<MAX_VALUE>;

impl<const MAX: usize> Bytes<MAX> {
    /// No fields yet.
    pub fn new() -> Self {
        Bytes {
            kernel_len: 0,
            buffer: [0; MAX],
        }
    }

    /// Appends a field that holds an address.
    #[must_use]
    pub fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.field(&v4.octets()),
            IpAddr::V6(v6) => self.field(&v6.octets()),
        }
    }

    /// Appends a field that holds a protocol number.
    #[must_use]
    pub fn protocol(self, number: u8) -> Self {
        self.field(&[number])
    }

    /// Appends a field that holds a direction: 0 for what the client of a connection sends, 1 for
    /// the answers.
    #[must_use]
    pub fn direction(self, number: u8) -> Self {
        self.field(&[number])
    }

    /// Appends a field that holds a port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.field(&port.to_be_bytes())
    }

    /// Appends a field that holds a number.
    #[must_use]
    pub fn number(self, number: u32) -> Self {
        self.field(&number.to_ne_bytes())
    }

    /// The bytes as the kernel has them.
    ///
    /// # Errors
    /// `None` when they are more than `MAX`.
    pub fn from_kernel(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= MAX).then(|| Bytes::new().field(bytes))
    }

    /// The bytes as the kernel wants them: those of a field that stands alone are not padded.
    pub fn as_kernel(&self) -> &[u8] {
        &self.buffer[..usize::from(self.kernel_len)]
    }

    /// The bytes of all fields.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer[..self.len()]
    }

    fn len(&self) -> usize {
        usize::from(self.kernel_len).next_multiple_of(4)
    }

    fn field(mut self, value: &[u8]) -> Self {
        let start = self.len();
        let end = start + value.len();
        self.buffer[start..end].copy_from_slice(value);
        self.kernel_len = if start == 0 {
            end as u8
        } else {
            end.next_multiple_of(4) as u8
        };
        self
    }
}

impl<const MAX: usize> Default for Bytes<MAX> {
    fn default() -> Self {
        Bytes::new()
    }
}

impl<const MAX: usize> fmt::Debug for Bytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.as_slice() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}
