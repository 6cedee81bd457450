//! Virtual servers, their real servers, and the addresses of kube-proxy's device.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

/// What IPVS has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// The virtual servers, by what clients address: `-t 10.96.0.1:80`.
    pub servers: BTreeMap<String, Server>,
    /// The addresses of kube-ipvs0, with their prefixes; `None` without that device.
    pub addresses: Option<BTreeSet<String>>,
}

/// A virtual server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Server {
    /// How it does its work: `-s rr -p 10800`.
    pub options: String,
    /// The real servers, and how each is reached: `10.244.1.130:8080`, `-m -w 1`.
    pub reals: BTreeMap<String, String>,
}

impl Shown {
    /// Reads what `ipvsadm -Sn` and `ip -brief address` say of it. Other lines say nothing.
    pub fn parse(text: &str) -> Shown {
        let mut shown = Shown::default();
        for line in text.lines() {
            shown.read(&line.split_whitespace().collect::<Vec<_>>());
        }
        shown
    }

    fn read(&mut self, words: &[&str]) {
        match words {
            ["-A", protocol, address, options @ ..] => {
                self.server(protocol, address).options = options.join(" ");
            }
            ["-a", protocol, address, "-r", real, options @ ..] => {
                let reals = &mut self.server(protocol, address).reals;
                reals.insert((*real).to_owned(), options.join(" "));
            }
            ["kube-ipvs0", _state, addresses @ ..] => {
                self.addresses = Some(addresses.iter().map(|&address| address.into()).collect());
            }
            _ => {}
        }
    }

    fn server(&mut self, protocol: &str, address: &str) -> &mut Server {
        let name = format!("{protocol} {address}");
        self.servers.entry(name).or_default()
    }
}

impl Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.options)?;
        for (n, (real, options)) in self.reals.iter().enumerate() {
            let separator = if n == 0 { " ->" } else { "," };
            write!(f, "{separator} {real} {options}")?;
        }
        Ok(())
    }
}

/// What one has otherwise than the other, a line for each.
pub fn compare(expected: &Shown, got: &Shown) -> Vec<String> {
    let names: BTreeSet<_> = expected.servers.keys().chain(got.servers.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        let [wanted, found] = [expected, got].map(|shown| shown.servers.get(name));
        if wanted != found {
            let [wanted, found] = [wanted, found].map(|server| match server {
                Some(server) => server.to_string(),
                None => "no virtual server".to_owned(),
            });
            differences.push(format!("{name}: expected {wanted}; got {found}"));
        }
    }
    if expected.addresses != got.addresses {
        let [wanted, found] = [expected, got].map(|shown| match &shown.addresses {
            Some(addresses) => addresses.iter().cloned().collect::<Vec<_>>().join(" "),
            None => "no device".to_owned(),
        });
        differences.push(format!("kube-ipvs0: expected {wanted}; got {found}"));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "-A -t 10.96.0.1:80 -s rr -p 10800
-a -t 10.96.0.1:80 -r 10.244.2.5:8080 -m -w 1
-A -u [fd00:10:96::1]:53 -s rr
kube-ipvs0       DOWN           10.96.0.1/32 fd00:10:96::1/128 \n";

    #[test]
    fn what_is_the_same_in_another_order_is_no_difference() {
        let mut lines: Vec<&str> = TEXT.lines().collect();
        lines.reverse();
        assert_eq!(
            compare(&Shown::parse(TEXT), &Shown::parse(&lines.join("\n"))),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_difference_is_named() {
        let other = TEXT
            .replace("-w 1", "-w 0")
            .replace("-A -u [fd00:10:96::1]:53 -s rr\n", "")
            .replace(" fd00:10:96::1/128", "");
        assert_eq!(
            compare(&Shown::parse(TEXT), &Shown::parse(&other)),
            [
                "-t 10.96.0.1:80: expected -s rr -p 10800 -> 10.244.2.5:8080 -m -w 1; \
                 got -s rr -p 10800 -> 10.244.2.5:8080 -m -w 0",
                "-u [fd00:10:96::1]:53: expected -s rr; got no virtual server",
                "kube-ipvs0: expected 10.96.0.1/32 fd00:10:96::1/128; got 10.96.0.1/32",
            ]
        );
        let nothing = compare(&Shown::parse(TEXT), &Shown::default());
        assert!(nothing[2].ends_with("got no device"), "{nothing:?}");
    }
}
