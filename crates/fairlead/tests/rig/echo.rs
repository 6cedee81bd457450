//! A connection that stays open.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use fairlead_lab::Lab;
use libtest_mimic::Failed;

/// A client outside and a pod on the node that says everything again.
pub(crate) struct Echo(TcpStream);

impl Echo {
    /// Where the pod listens, which has to be the only endpoint of the Service.
    pub(crate) const ENDPOINT: (&'static str, u16) = ("10.244.1.150", 7777);

    /// Connects through a Service.
    pub(crate) fn connect(lab: &Lab, to: &str) -> Result<Echo, Failed> {
        let bind = || TcpListener::bind(Echo::ENDPOINT);
        let listener = lab.network().local_pods().run(bind)??;
        thread::spawn(move || -> io::Result<u64> {
            let (mut stream, _) = listener.accept()?;
            io::copy(&mut stream.try_clone()?, &mut stream)
        });
        let stream = lab.network().world().run(|| TcpStream::connect(to))??;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Echo(stream))
    }

    /// Says something and hears it.
    pub(crate) fn says(&mut self, text: &str) -> Result<(), Failed> {
        self.0.write_all(text.as_bytes())?;
        let mut heard = vec![0; text.len()];
        self.0
            .read_exact(&mut heard)
            .map_err(|error| format!("{text:?} is not heard: {error}"))?;
        assert_eq!(heard, text.as_bytes());
        Ok(())
    }
}
