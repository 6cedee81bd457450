//! Addresses to listen on, as text.

use std::net::{IpAddr, SocketAddr};

use fairlead_core::address::parse_ip;

/// Adds a port to an address that has none. What is no address stays.
pub(crate) fn with_port(text: &str, port: i32) -> String {
    match parse_ip(text) {
        Ok(IpAddr::V4(_)) => format!("{text}:{port}"),
        Ok(IpAddr::V6(_)) => format!("[{text}]:{port}"),
        Err(_) => text.to_owned(),
    }
}

/// Whether it is an IP address, with a port or without.
pub(crate) fn is_address(text: &str) -> bool {
    parse_ip(text).is_ok() || socket(text).is_ok()
}

/// Reads an address with its port, 1 to 65535.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, String> {
    let unbracketed = |host: &str| {
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        // Without brackets it is not clear where the address ends.
        match (inner, host.contains(':')) {
            (Some(inner), _) => Some(inner.to_owned()),
            (None, false) => Some(host.to_owned()),
            (None, true) => None,
        }
    };
    let split = text
        .rsplit_once(':')
        .and_then(|(host, port)| Some((unbracketed(host)?, port)));
    let (host, port) = split.ok_or_else(|| format!("{text:?} must be IP:port"))?;
    let ip = parse_ip(&host).map_err(|_| format!("{host:?} must be a valid IP"))?;
    let number = port.parse::<u16>().ok().filter(|number| *number != 0);
    let number = number.ok_or_else(|| format!("{port:?} must be a valid port, 1 to 65535"))?;
    Ok(SocketAddr::new(ip, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_added_where_there_is_none() {
        for (text, with) in [
            ("1.2.3.4", "1.2.3.4:10256"),
            ("1.2.3.4:5", "1.2.3.4:5"),
            ("::", "[::]:10256"),
            ("fd00::4", "[fd00::4]:10256"),
            ("[fd00::4]:5", "[fd00::4]:5"),
            ("not an address", "not an address"),
            ("", ""),
        ] {
            assert_eq!(with_port(text, 10256), with, "{text}");
        }
    }

    #[test]
    fn sockets_are_an_address_and_a_port() {
        for text in [
            "0.0.0.0:10256",
            "127.0.0.1:10256",
            "10.10.12.11:12345",
            "[::]:1",
            "[fd00:4::5]:65535",
        ] {
            assert_eq!(socket(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_with_a_socket_is_said() {
        for (text, error) in [
            ("127.0.0.1", "\"127.0.0.1\" must be IP:port"),
            ("", "\"\" must be IP:port"),
            ("fd00::4:5", "\"fd00::4:5\" must be IP:port"),
            ("1.2.3.400:10256", "\"1.2.3.400\" must be a valid IP"),
            ("10.0.0.5:http", "\"http\" must be a valid port, 1 to 65535"),
            ("10.0.0.5:0", "\"0\" must be a valid port, 1 to 65535"),
            (
                "10.0.0.5:65536",
                "\"65536\" must be a valid port, 1 to 65535",
            ),
        ] {
            assert_eq!(socket(text), Err(error.to_owned()));
        }
    }
}
