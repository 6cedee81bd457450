//! What can be seen of a running Fairlead from beside it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use fairlead_lab::{Lab, LabError};
use libtest_mimic::Failed;

use crate::rig::{PATIENCE, Proxy};

#[allow(dead_code, reason = "not every test measures")]
mod running;
#[allow(unused_imports, reason = "not every test measures")]
pub(crate) use running::Running;

/// Does a command on the node, and returns what it prints. That it fails is an error.
pub(crate) fn on_node(lab: &Lab, line: &str) -> Result<String, LabError> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    let output = lab.run_on_node(command.args(words))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What the node has, in parts that can be compared: the kernel returns elements in no order.
pub(crate) fn listing(lab: &Lab) -> Result<Vec<String>, LabError> {
    // Without what counts or runs down.
    let text = on_node(lab, "nft --stateless list ruleset")?;
    let parts = text
        .split(['\n', ','])
        .map(|part| part.replace("elements = {", ""));
    let mut parts: Vec<String> = parts
        .map(|part| part.trim_matches(['{', '}', ' ', '\t']).to_owned())
        .filter(|part| !part.is_empty())
        .collect();
    parts.sort();
    Ok(parts)
}

/// Waits for something to become true.
pub(crate) fn eventually(
    what: &str,
    is: impl FnMut() -> Result<bool, Failed>,
) -> Result<Duration, Failed> {
    within(PATIENCE, what, is)
}

/// Waits for something to become true for so long, as the machine runs; returns how long it took.
pub(crate) fn within(
    limit: Duration,
    what: &str,
    mut is: impl FnMut() -> Result<bool, Failed>,
) -> Result<Duration, Failed> {
    let clock = Running::start();
    loop {
        let elapsed = clock.elapsed();
        if is()? {
            return Ok(elapsed);
        }
        if elapsed > limit {
            return Err(format!("after {elapsed:?} still not so: {what}").into());
        }
        sleep(Duration::from_millis(5));
    }
}

/// Waits until what is found stays the same for so long, and returns it.
#[allow(dead_code, reason = "most tests wait for something")]
pub(crate) fn at_rest<T: PartialEq>(
    pause: Duration,
    find: impl Fn() -> Result<T, Failed>,
) -> Result<T, Failed> {
    let mut last = find()?;
    eventually("nothing changes any more", || {
        sleep(pause);
        let now = find()?;
        let is_so = now == last;
        last = now;
        Ok(is_so)
    })?;
    Ok(last)
}

/// Waits until it said this.
pub(crate) fn hear(proxy: &Proxy<'_>, text: &str) -> Result<(), Failed> {
    eventually(&format!("it says {text:?}"), || {
        Ok(proxy.log().contains(text))
    })
    .map(drop)
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))
}

/// Waits until a page of the health server answers with this status.
pub(crate) fn await_health(
    lab: &Lab,
    proxy: &Proxy<'_>,
    page: &str,
    status: u16,
) -> Result<(), Failed> {
    let answer = format!("HTTP/1.1 {status} ");
    let what = format!("{page} answers {status}");
    eventually(&what, || {
        Ok(get(lab, "127.0.0.1:10256", page).starts_with(&answer))
    })
    .map(drop)
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))
}

/// Gets a page from a server on the node; nothing if it does not answer.
pub(crate) fn get(lab: &Lab, server: &str, path: &str) -> String {
    ask(lab, server, "GET", path, "")
}

/// Asks a server on the node; nothing if it does not answer.
pub(crate) fn ask(lab: &Lab, server: &str, method: &str, path: &str, body: &str) -> String {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(server)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: node1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    lab.node()
        .run(ask)
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default()
}
