//! Rules as JSON.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::rule::{Expr, NOBODY, Rule, Statement, loopback};
use super::super::ruleset::Family;
use super::super::text;
use super::set::prefix;
use super::{concat, one};

/// The statements of a rule.
pub(super) fn statements(family: Family, rule: &Rule) -> Vec<Value> {
    let statements = rule.statements.iter();
    statements.map(|one| statement(family, one)).collect()
}

fn statement(family: Family, statement: &Statement) -> Value {
    let key = |exprs: &[Expr]| exprs_value(family, exprs);
    let lookup = |exprs: &[Expr], map: &str| json!({"key": key(exprs), "data": at(map)});
    let destination = || expr(family, Expr::DestinationAddress);
    match statement {
        Statement::InSet {
            key: of,
            set,
            negate,
        } => compare(&key(of), *negate, &at(set)),
        Statement::InNet {
            address,
            net,
            negate,
        } => compare(&expr(family, *address), *negate, &network(*net)),
        Statement::InputInterface {
            name,
            prefix,
            negate,
        } => {
            let pattern = text::interface_pattern(name, *prefix);
            compare(&meta("iifname"), *negate, &pattern.into())
        }
        Statement::IsLocal(address) => {
            let field = text::address_field(*address);
            let fib = json!({"fib": {"result": "type", "flags": [field]}});
            compare(&fib, false, &"local".into())
        }
        Statement::HasSender => compare(&meta("skuid"), true, &NOBODY.into()),
        Statement::IsTransparent => {
            compare(&json!({"socket": {"key": "transparent"}}), false, &1.into())
        }
        Statement::NewConnection => has_flag("state", "new"),
        Statement::Established => has_flag("state", "established"),
        Statement::IsOriginal => compare(&ct("direction"), false, &"original".into()),
        Statement::IsReply => compare(&ct("direction"), false, &"reply".into()),
        Statement::Translated => has_flag("status", "dnat"),
        Statement::Unconfirmed => {
            json!({"match": {"op": "!", "left": ct("status"), "right": "confirmed"}})
        }
        Statement::IsProtocol(number) => {
            let protocol = text::protocol(*number).map_or_else(|| (*number).into(), Value::from);
            compare(&meta("l4proto"), false, &protocol)
        }
        Statement::Count(counter) => json!({"counter": counter}),
        Statement::HasPorts => {
            let protocols = json!({"set": ["tcp", "udp", "sctp"]});
            compare(&meta("l4proto"), false, &protocols)
        }
        Statement::HasMark(bits) => compare(&with_bits("&", meta("mark"), *bits), true, &0.into()),
        Statement::SetMark(bits) => mangle(&meta("mark"), &with_bits("|", meta("mark"), *bits)),
        Statement::FlipMark(bits) => mangle(&meta("mark"), &with_bits("^", meta("mark"), *bits)),
        Statement::HasConnectionMark(bits) => {
            compare(&with_bits("&", ct("mark"), *bits), true, &0.into())
        }
        Statement::SetConnectionMark(bits) => {
            mangle(&ct("mark"), &with_bits("|", ct("mark"), *bits))
        }
        Statement::SetDestinationFromMap { key, map } => {
            mangle(&destination(), &json!({"map": lookup(key, map)}))
        }
        Statement::RestoreDestination => {
            mangle(&destination(), &expr(family, Expr::OriginalDestination))
        }
        Statement::Update {
            map,
            key: of,
            timeout,
            data,
        } => {
            let element = json!({"elem": {"val": key(of), "timeout": timeout.as_secs()}});
            json!({"map": {"op": "update", "elem": element, "data": key(data), "map": at(map)}})
        }
        Statement::Forget { map, key: of, data } => {
            json!({"map": {"op": "delete", "elem": key(of), "data": key(data), "map": at(map)}})
        }
        Statement::VerdictMap { key, map } => json!({"vmap": lookup(key, map)}),
        Statement::Dnat { key, map } => json!({"dnat": {
            "family": text::family(family),
            "addr": {"map": lookup(key, map)},
        }}),
        Statement::Tproxy { key, map } => json!({"tproxy": {
            "addr": loopback(family).to_string(),
            "port": {"map": lookup(key, map)},
        }}),
        Statement::Masquerade => json!({"masquerade": {"flags": "fully-random"}}),
        Statement::Reject => json!({"reject": {
            "type": match family { Family::Ip => "icmp", Family::Ip6 => "icmpv6" },
            "expr": "port-unreachable",
        }}),
        Statement::Reset => json!({"reject": {"type": "tcp reset"}}),
        Statement::Accept => json!({"accept": null}),
        Statement::Drop => json!({"drop": null}),
        Statement::Return => json!({"return": null}),
        Statement::Jump(chain) => json!({"jump": {"target": **chain}}),
        Statement::Goto(chain) => json!({"goto": {"target": **chain}}),
    }
}

fn at(set: &str) -> Value {
    format!("@{set}").into()
}

fn compare(left: &Value, negate: bool, right: &Value) -> Value {
    let op = if negate { "!=" } else { "==" };
    json!({"match": {"op": op, "left": left, "right": right}})
}

fn has_flag(key: &str, flag: &str) -> Value {
    json!({"match": {"op": "in", "left": ct(key), "right": flag}})
}

fn ct(key: &str) -> Value {
    json!({"ct": {"key": key}})
}

fn mangle(what: &Value, value: &Value) -> Value {
    json!({"mangle": {"key": what, "value": value}})
}

fn meta(key: &str) -> Value {
    json!({"meta": {"key": key}})
}

/// A mark, and bits.
fn with_bits(op: &str, mark: Value, bits: u32) -> Value {
    one(op, vec![mark, bits.into()])
}

fn exprs_value(family: Family, exprs: &[Expr]) -> Value {
    concat(exprs.iter().map(|one| expr(family, *one)).collect())
}

fn expr(family: Family, expr: Expr) -> Value {
    let ip = text::family(family);
    match expr {
        Expr::SourceAddress | Expr::DestinationAddress => {
            json!({"payload": {"protocol": ip, "field": text::address_field(expr)}})
        }
        Expr::Protocol => meta("l4proto"),
        Expr::DestinationPort => json!({"payload": {"protocol": "th", "field": "dport"}}),
        Expr::OriginalDestination => {
            json!({"ct": {"key": format!("{ip} daddr"), "dir": "original"}})
        }
        Expr::OriginalPort => json!({"ct": {"key": "proto-dst", "dir": "original"}}),
        Expr::Direction => ct("direction"),
        Expr::Random { modulus, offset } => {
            json!({"numgen": {"mode": "random", "mod": modulus, "offset": offset}})
        }
    }
}

fn network(net: IpNet) -> Value {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string().into()
    } else {
        prefix(net)
    }
}
