//! What endpoints do: answer once, answer again and again, or send for as long as somebody reads.

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::Context;
use nix::sys::sendfile::sendfile64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime;

use fairlead_kernel::netns::Netns;

/// Answers a request and closes.
pub(super) const ONCE: u16 = 8080;
/// Answers every request.
pub(super) const AGAIN: u16 = 8081;
/// Sends zeros.
pub(super) const STREAM: u16 = 8082;

/// How long a request is, and an answer.
pub(super) const REQUEST: usize = 64;

/// How much is sent at a time: from a file, so that nothing is copied.
const PIECE: usize = 1 << 20;

/// Starts them. They end with the process.
pub(super) fn start(place: &Netns) -> anyhow::Result<()> {
    let bind = |port| {
        place
            .run(|| TcpListener::bind(("0.0.0.0", port)))?
            .context("endpoints cannot listen")
    };
    let (once, again, stream) = (bind(ONCE)?, bind(AGAIN)?, bind(STREAM)?);
    for listener in [&once, &again] {
        listener.set_nonblocking(true)?;
        // That of the standard library is 128.
        socket2::SockRef::from(listener).listen(4096)?;
    }
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::spawn(answer(once, false));
            answer(again, true).await
        })
    });
    let mut file = tempfile::tempfile()?;
    file.write_all(&vec![0; PIECE])?;
    thread::spawn(move || {
        for stream in stream.incoming().flatten() {
            let file = file.try_clone();
            thread::spawn(move || file.map(|file| send(&stream, &file)));
        }
    });
    Ok(())
}

async fn answer(listener: TcpListener, again: bool) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut request = [0; REQUEST];
            // Who asks goes when it likes.
            while stream.read_exact(&mut request).await.is_ok() {
                let answered = stream.write_all(&request).await;
                if answered.is_err() || !again {
                    break;
                }
            }
        });
    }
}

/// Until nobody reads any more.
fn send(stream: &TcpStream, file: &File) {
    while sendfile64(stream, file, Some(&mut 0), PIECE).is_ok() {}
}
