//! Short words for the values of the language, and `nft` to hold them against.

#![allow(dead_code, reason = "not every test needs all of it")]

pub(crate) mod sample;

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use fairlead_kernel::netns::Netns;
use fairlead_kernel::nft::rule::{Rule, Statement};
use fairlead_kernel::nft::ruleset::{
    BaseHook, Bytes, Chain, ChainKind, Data, Element, Family, Hook, Op, Set, TableId, Type, Verdict,
};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// An address of a family, told by its last byte.
pub(crate) fn address(family: Family, last: u8) -> IpAddr {
    match family {
        Family::Ip => [192, 0, 2, last].into(),
        Family::Ip6 => [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)].into(),
    }
}

pub(crate) fn table(family: Family) -> TableId {
    TableId {
        family,
        name: "fairlead",
    }
}

/// A plain set; the fields that matter are set by the caller.
pub(crate) fn set(name: &'static str, key: &'static [Type]) -> Set {
    Set::new(name, key)
}

pub(crate) fn chain(name: &str) -> Op {
    Op::AddChain(Chain {
        name: name.into(),
        hook: None,
        comment: None,
    })
}

pub(crate) fn base(name: &str, kind: ChainKind, hook: Hook, priority: i32) -> Op {
    let hook = BaseHook {
        kind,
        hook,
        priority,
    };
    Op::AddChain(Chain {
        name: name.into(),
        hook: Some(hook),
        comment: None,
    })
}

pub(crate) fn rule<const N: usize>(chain: &str, statements: [Statement; N]) -> Op {
    Op::AddRule {
        chain: chain.into(),
        rule: Rule {
            statements: statements.into(),
            comment: None,
        },
    }
}

pub(crate) fn element(set: &'static str, key: Bytes, data: Option<Data>) -> Op {
    add(
        set,
        Element {
            data,
            ..Element::new(key)
        },
    )
}

pub(crate) fn range(set: &'static str, key: Bytes, end: Bytes) -> Op {
    add(set, Element::range(key, end))
}

fn add(set: &'static str, element: Element) -> Op {
    Op::AddElements {
        set,
        elements: vec![element],
    }
}

pub(crate) fn commented(mut op: Op, text: &str) -> Op {
    let Op::AddElements { elements, .. } = &mut op else {
        panic!("no elements: {op:?}")
    };
    for element in elements {
        element.comment = Some(Arc::from(text));
    }
    op
}

pub(crate) fn goto(chain: &str) -> Data {
    Data::Verdict(Verdict::Goto(chain.into()))
}

/// `address . protocol . port`.
pub(crate) fn port_key(address: IpAddr, protocol: u8, port: u16) -> Bytes {
    Bytes::new().address(address).protocol(protocol).port(port)
}

/// Runs `nft` in a namespace.
pub(crate) fn nft(netns: &Netns, args: &[&str], input: &str) -> Output {
    netns
        .run(|| {
            let mut child = Command::new("nft")
                .args(args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // One that fails early does not read to the end; its own words tell why.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            child.wait_with_output().unwrap()
        })
        .unwrap()
}

/// What `nft` prints, which must succeed.
pub(crate) fn nft_ok(netns: &Netns, args: &[&str], input: &str) -> String {
    let output = nft(netns, args, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nft {args:?}:\n{errors}\n{input}");
    String::from_utf8(output.stdout).unwrap()
}
