//! Connections that stay open.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use fairlead_lab::Lab;
use libtest_mimic::Failed;
use socket2::SockRef;

/// Where pods listen that keep their connections.
pub(super) const PORT: u16 = 7777;

/// Lets pods on the node accept connections at [`PORT`], say who they are, and then say everything
/// again.
pub(super) fn listen(lab: &Lab, pods: &[&str]) -> Result<(), Failed> {
    for &pod in pods {
        let listener = lab
            .network()
            .local_pods()
            .run(|| TcpListener::bind((pod, PORT)))??;
        let pod = pod.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let name = format!("{pod}\n");
                thread::spawn(move || answer(stream, &name));
            }
        });
    }
    Ok(())
}

fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    stream.write_all(name.as_bytes())?;
    std::io::copy(&mut stream.try_clone()?, &mut stream)?;
    stream.shutdown(Shutdown::Both)
}

/// A client outside, connected.
pub(super) struct Held {
    stream: TcpStream,
    /// Which pod it met.
    pub(super) pod: String,
}

impl Held {
    /// Connects to a Service.
    pub(super) fn connect(lab: &Lab, to: &str) -> Result<Held, Failed> {
        let mut stream = lab.network().world().run(|| TcpStream::connect(to))??;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut pod = String::new();
        let mut byte = [0];
        loop {
            stream.read_exact(&mut byte)?;
            match byte[0] {
                b'\n' => return Ok(Held { stream, pod }),
                letter => pod.push(char::from(letter)),
            }
        }
    }

    /// So many, one after the other; returns whom each met.
    pub(super) fn connect_all(lab: &Lab, to: &str, count: usize) -> Result<Vec<Held>, Failed> {
        (0..count).map(|_| Held::connect(lab, to)).collect()
    }

    /// Says something and hears it.
    pub(super) fn says(&mut self, text: &str) -> Result<(), Failed> {
        self.stream.write_all(text.as_bytes())?;
        let mut heard = vec![0; text.len()];
        self.stream
            .read_exact(&mut heard)
            .map_err(|error| format!("{text:?} is not heard: {error}"))?;
        match heard == text.as_bytes() {
            true => Ok(()),
            false => Err(format!("{text:?} came back as {heard:?}").into()),
        }
    }

    /// Ends at once, by a reset: IPVS remembers it for 10 seconds then, and otherwise for minutes.
    pub(super) fn reset(self) -> Result<(), Failed> {
        Ok(SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?)
    }
}

/// How many of them each of these pods has.
pub(super) fn counts<const N: usize>(held: &[Held], pods: [&str; N]) -> [usize; N] {
    pods.map(|pod| held.iter().filter(|held| held.pod == pod).count())
}
