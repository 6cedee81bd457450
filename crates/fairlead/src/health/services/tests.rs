//! What is opened and closed, without a socket.

use super::*;

fn whose(name: &str, family: Family) -> ServiceFamily {
    ServiceFamily {
        service: ObjectName::new("shop", name),
        family,
    }
}

fn edge() -> ServiceFamily {
    whose("edge", Family::V4)
}

#[expect(clippy::unnecessary_wraps, reason = "so it is told")]
fn wanted(port: u16, endpoints: usize) -> Option<Wanted> {
    Some(Wanted { port, endpoints })
}

/// Everywhere.
fn everywhere() -> Addresses {
    let all = NodePortScope {
        all: true,
        ..NodePortScope::default()
    };
    Family::BOTH
        .map(|family| (family, addresses(family, &all, &[])))
        .into()
}

/// A book after an update in which all that was to be opened was.
struct Told(Book);

impl Told {
    fn nothing() -> Told {
        Told(Book::default())
    }

    fn update(&mut self, services: &[(ServiceFamily, Option<Wanted>)]) -> Steps {
        let steps = self.0.update(Update {
            addresses: everywhere(),
            services: services.to_vec(),
        });
        for opening in &steps.open {
            self.0.opened(&opening.whose);
        }
        steps
    }
}

fn ports(steps: &Steps) -> Vec<(ServiceFamily, u16)> {
    let opening = |opening: &Opening| (opening.whose.clone(), opening.wanted.port);
    steps.open.iter().map(opening).collect()
}

#[test]
fn a_service_is_opened_once_and_closed_when_it_goes() {
    let mut book = Told::nothing();
    assert_eq!(
        ports(&book.update(&[(edge(), wanted(30000, 0))])),
        [(edge(), 30000)]
    );
    assert_eq!(book.update(&[(edge(), wanted(30000, 0))]), Steps::default());
    let steps = book.update(&[(edge(), wanted(30000, 2))]);
    assert_eq!(steps.count, [(edge(), 2)]);
    assert!(steps.open.is_empty() && steps.close.is_empty());
    assert_eq!(book.update(&[(edge(), None)]).close, [edge()]);
    assert_eq!(book.update(&[(edge(), None)]), Steps::default());
}

#[test]
fn each_family_has_a_server_of_its_own() {
    let mut book = Told::nothing();
    let both = Family::BOTH.map(|family| (whose("edge", family), wanted(30000, 1)));
    let steps = book.update(&both);
    let listens: Vec<_> = steps
        .open
        .iter()
        .flat_map(|opening| &opening.addresses)
        .collect();
    assert_eq!(
        listens,
        [&IpAddr::from([0, 0, 0, 0]), &Ipv6Addr::UNSPECIFIED.into()]
    );
    assert_eq!(book.update(&[(edge(), None)]).close, [edge()]);
}

#[test]
fn another_port_closes_before_it_opens() {
    let mut book = Told::nothing();
    book.update(&[(edge(), wanted(30000, 1))]);
    let steps = book.update(&[(edge(), wanted(30001, 1))]);
    assert_eq!(steps.close, [edge()]);
    assert_eq!(ports(&steps), [(edge(), 30001)]);
}

#[test]
fn services_may_exchange_their_ports() {
    let (mut book, other) = (Told::nothing(), whose("other", Family::V4));
    book.update(&[
        (edge(), wanted(30000, 1)),
        (other.clone(), wanted(30001, 1)),
    ]);
    let steps = book.update(&[
        (edge(), wanted(30001, 1)),
        (other.clone(), wanted(30000, 1)),
    ]);
    assert_eq!(steps.close, [edge(), other.clone()]);
    assert_eq!(ports(&steps), [(edge(), 30001), (other, 30000)]);
}

#[test]
fn what_cannot_be_opened_is_news_once_and_tried_with_every_update() {
    let mut book = Book::default();
    let update = Update {
        addresses: everywhere(),
        services: vec![(edge(), wanted(30000, 1))],
    };
    assert_eq!(book.update(update).open.len(), 1);
    assert!(book.failed(&edge(), "taken"));
    assert!(!book.failed(&edge(), "taken"));
    assert!(book.failed(&edge(), "not allowed"));
    let nothing_new = || Update {
        addresses: everywhere(),
        services: Vec::new(),
    };
    assert_eq!(ports(&book.update(nothing_new())), [(edge(), 30000)]);
    assert_eq!(book.to_open().len(), 1);
    assert!(book.opened(&edge()));
    assert!(book.to_open().is_empty());
    assert!(
        book.failed(&edge(), "not allowed"),
        "it was open in between"
    );
}

#[test]
fn what_never_opened_is_not_closed() {
    let mut book = Book::default();
    let update = |wanted| Update {
        addresses: everywhere(),
        services: vec![(edge(), wanted)],
    };
    book.update(update(wanted(30000, 1)));
    book.failed(&edge(), "taken");
    assert_eq!(book.update(update(wanted(30000, 3))).count, []);
    assert_eq!(book.to_open()[0].wanted.endpoints, 3);
    assert_eq!(book.update(update(None)), Steps::default());
    assert!(book.to_open().is_empty());
}

#[test]
fn servers_follow_the_addresses_of_their_family() {
    let mut book = Told::nothing();
    let v6 = whose("edge", Family::V6);
    book.update(&[(edge(), wanted(30000, 1)), (v6, wanted(30000, 1))]);
    let mut addresses = everywhere();
    addresses.insert(
        Family::V4,
        [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()].into(),
    );
    let steps = book.0.update(Update {
        addresses: addresses.clone(),
        services: Vec::new(),
    });
    assert_eq!(steps.close, [edge()]);
    assert_eq!(steps.open.len(), 1);
    assert_eq!(steps.open[0].addresses, addresses[&Family::V4]);
}

#[test]
fn listens_where_node_ports_answer() {
    let ips = |texts: &[&str]| -> Vec<IpAddr> {
        let parsed = texts.iter().map(|ip| ip.parse().expect("an address"));
        parsed.collect()
    };
    let host = ips(&["192.0.2.1", "fe80::1", "2001:db8::1", "198.51.100.1"]);
    let scope = NodePortScope {
        all: false,
        addresses: ips(&["192.0.2.1", "203.0.113.1", "fe80::1", "2001:db8::1"])
            .into_iter()
            .collect(),
        localhost: true,
    };
    let listed = addresses(Family::V6, &scope, &host);
    let texts: Vec<String> = listed.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["127.0.0.1", "192.0.2.1", "2001:db8::1"]);
    assert!(addresses(Family::V6, &NodePortScope::default(), &host).is_empty());
}
