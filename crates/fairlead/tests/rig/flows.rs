//! Clients that go on using a socket, and the connections that the node tracks for them.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use fairlead_lab::Lab;
use libtest_mimic::Failed;

use crate::rig::Proxy;
use crate::watch::{eventually, on_node};

/// How long an answer may take on a machine that has more to do.
const ANSWER: Duration = Duration::from_secs(5);

/// Who has not answered by then is taken to be silent.
const SILENCE: Duration = Duration::from_millis(500);

/// Whether the node knows a flow that was begun to one of these.
pub(crate) fn is_asked(lab: &Lab, destinations: &[&str]) -> Result<bool, Failed> {
    let flows = flows(lab)?;
    Ok(flows
        .iter()
        .any(|flow| destinations.iter().any(|to| leads(flow, to))))
}

/// Clients outside that each go on using one socket.
pub(crate) struct Clients(pub(crate) Vec<(UdpSocket, String)>);

impl Clients {
    /// So many clients ask at each address.
    pub(crate) fn ask(lab: &Lab, addresses: &[&str], each: usize) -> Result<Clients, Failed> {
        let mut clients = Vec::new();
        for asked in addresses.iter().copied() {
            for _ in 0..each {
                let socket = client(lab, asked)?;
                heard(&socket).map_err(|error| format!("{asked}: {error}"))?;
                clients.push((socket, asked.to_owned()));
            }
        }
        Ok(Clients(clients))
    }

    /// Whether every client meets an endpoint that says this of itself.
    pub(crate) fn all_meet(&self, endpoint: &str) -> Result<(), Failed> {
        self.meet(endpoint, heard)
    }

    fn meet(
        &self,
        endpoint: &str,
        ask: fn(&UdpSocket) -> std::io::Result<String>,
    ) -> Result<(), Failed> {
        for (socket, asked) in &self.0 {
            let answer = ask(socket).map_err(|error| format!("{asked}: {error}"))?;
            if !answer.contains(endpoint) {
                return Err(format!("{asked} led to {answer}, not to {endpoint}").into());
            }
        }
        Ok(())
    }

    /// The same, after a while.
    pub(crate) fn eventually_meet(&self, endpoint: &str, proxy: &Proxy<'_>) -> Result<(), Failed> {
        eventually(endpoint, || Ok(self.meet(endpoint, heard_soon).is_ok()))
            .map(drop)
            .map_err(|error| proxy.failed(error.message().unwrap_or_default()))
    }
}

/// A client outside, from a port of its own.
pub(crate) fn client(lab: &Lab, asked: &str) -> Result<UdpSocket, Failed> {
    let socket = lab
        .network()
        .world()
        .run(|| UdpSocket::bind("198.51.100.7:0"))??;
    connected(socket, asked)
}

/// A socket that hears from one address alone.
pub(crate) fn connected(socket: UdpSocket, to: &str) -> Result<UdpSocket, Failed> {
    let to: SocketAddr = to.parse()?;
    socket.connect(to)?;
    Ok(socket)
}

/// Asks once more, and returns what the endpoint says of itself.
pub(crate) fn heard(socket: &UdpSocket) -> std::io::Result<String> {
    ask(socket, ANSWER)
}

/// The same where nobody should answer, or where it is asked again.
pub(crate) fn heard_soon(socket: &UdpSocket) -> std::io::Result<String> {
    ask(socket, SILENCE)
}

fn ask(socket: &UdpSocket, limit: Duration) -> std::io::Result<String> {
    socket.set_read_timeout(Some(limit))?;
    socket.send(b"who are you?")?;
    let mut answer = [0; 100];
    let length = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// The node's flows, each as its addresses and ports in both directions.
pub(crate) fn flows(lab: &Lab) -> Result<BTreeSet<String>, Failed> {
    let table = on_node(lab, "conntrack -L")?;
    let tuples = |line: &str| -> String {
        let words = line.split_whitespace();
        let is_part = |word: &&str| {
            ["src=", "dst=", "sport=", "dport="]
                .iter()
                .any(|key| word.starts_with(key))
        };
        words.filter(is_part).collect::<Vec<_>>().join(" ")
    };
    Ok(table.lines().map(tuples).collect())
}

/// The flows that an endpoint answers which its client did not ask for.
pub(crate) fn flows_from(lab: &Lab, endpoint: &str) -> Result<BTreeSet<String>, Failed> {
    let answers = format!(" src={endpoint} ");
    let asked = format!(" dst={endpoint} ");
    Ok(flows(lab)?
        .into_iter()
        .filter(|flow| flow.contains(&answers) && !flow.contains(&asked))
        .collect())
}

/// Whether a flow was begun to this address and port.
pub(crate) fn leads(flow: &str, to: &str) -> bool {
    let Some((address, port)) = to.split_once(':') else {
        return false;
    };
    let (dst, dport) = (format!("dst={address}"), format!("dport={port}"));
    // src, dst, sport, dport of the original direction, then of the reply.
    let mut words = flow.split(' ');
    words.nth(1) == Some(&dst) && words.nth(1) == Some(&dport)
}
