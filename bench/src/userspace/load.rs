//! Clients: as many as keep a proxy busy, as light as can be, for the machine is theirs too.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream as Stream};
use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::endpoints::REQUEST;
use super::network::client;

/// How many clients make connections, or send requests, at the same time.
const CLIENTS: u8 = 64;
/// What takes longer is an error: a packet was lost, which is sent again after a second.
const PATIENCE: Duration = Duration::from_millis(900);
/// How many connections carry a bulk of bytes.
const STREAMS: usize = 4;
/// How much of it is taken at a time.
const PIECE: usize = 1 << 20;

/// What clients got done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// Connections, requests or bytes.
    pub(super) count: u64,
    /// What went wrong.
    pub(super) errors: u64,
    /// How long it took.
    pub(super) took: Duration,
}

/// Connections to `to`, each for one request, one after the other for so long.
pub(super) fn connections(to: SocketAddr, lasting: Duration) -> anyhow::Result<Done> {
    at_once(lasting, move |index, until| async move {
        let (mut count, mut errors) = (0, 0);
        while Instant::now() < until {
            match timeout(PATIENCE, once(index, to)).await {
                Ok(Ok(())) => count += 1,
                _ => errors += 1,
            }
        }
        (count, errors)
    })
}

/// Requests on connections that are kept.
pub(super) fn requests(to: SocketAddr, lasting: Duration) -> anyhow::Result<Done> {
    at_once(lasting, move |index, until| async move {
        let Ok(mut stream) = connect(index, to).await else {
            return (0, 1);
        };
        let mut count = 0;
        while Instant::now() < until {
            match timeout(PATIENCE, ask(&mut stream)).await {
                Ok(Ok(())) => count += 1,
                _ => return (count, 1),
            }
        }
        (count, 0)
    })
}

/// Bytes that are read of a few connections, without looking at them.
pub(super) fn bulk(to: SocketAddr, lasting: Duration) -> anyhow::Result<Done> {
    let (taken, over, started) = (AtomicU64::new(0), AtomicBool::new(false), Instant::now());
    let streams: Vec<TcpStream> = (0..STREAMS)
        .map(|_| TcpStream::connect(to))
        .collect::<Result<_, _>>()
        .context("cannot connect for a bulk")?;
    thread::scope(|scope| {
        for stream in &streams {
            scope.spawn(|| take(stream, &taken, &over));
        }
        thread::sleep(lasting);
        over.store(true, Relaxed);
    });
    let (count, took) = (taken.into_inner(), started.elapsed());
    Ok(Done {
        count,
        errors: 0,
        took,
    })
}

/// Reads until it is over. Nothing is copied here (`MSG_TRUNC`, tcp(7)): it is the proxy that is
/// measured.
fn take(stream: &TcpStream, taken: &AtomicU64, over: &AtomicBool) {
    let mut unused = vec![0; PIECE];
    while !over.load(Relaxed) {
        match recv(stream.as_raw_fd(), &mut unused, MsgFlags::MSG_TRUNC) {
            Ok(0) | Err(_) => return,
            Ok(count) => taken.fetch_add(count as u64, Relaxed),
        };
    }
}

/// Connections that have asked once and are idle since, as evenly among the addresses as can be.
/// They go with what is returned.
pub(super) fn idle(to: &[SocketAddr], count: usize) -> anyhow::Result<Vec<std::net::TcpStream>> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut idle = Vec::with_capacity(count);
        let mut at = (0..count).zip(to.iter().copied().cycle()).peekable();
        while at.peek().is_some() {
            let mut tasks = JoinSet::new();
            for (index, to) in at.by_ref().take(CLIENTS.into()) {
                tasks.spawn(async move {
                    let mut stream = connect(index as u8, to).await?;
                    ask(&mut stream).await?;
                    stream.into_std()
                });
            }
            while let Some(asked) = tasks.join_next().await {
                let asked = asked?.with_context(|| format!("idle connection {}", idle.len()))?;
                idle.push(asked);
            }
        }
        Ok(idle)
    })
}

/// Lets all clients work at the same time.
fn at_once<F: Future<Output = (u64, u64)> + Send + 'static>(
    lasting: Duration,
    work: impl Fn(u8, Instant) -> F,
) -> anyhow::Result<Done> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for index in 0..CLIENTS {
            tasks.spawn(work(index, started + lasting));
        }
        let (mut count, mut errors) = (0, 0);
        while let Some(done) = tasks.join_next().await {
            let (more, wrong) = done?;
            (count, errors) = (count + more, errors + wrong);
        }
        let took = started.elapsed();
        Ok(Done {
            count,
            errors,
            took,
        })
    })
}

async fn connect(index: u8, to: SocketAddr) -> std::io::Result<Stream> {
    let socket = TcpSocket::new_v4()?;
    nix::sys::socket::setsockopt(
        &socket,
        nix::sys::socket::sockopt::IpBindAddressNoPort,
        &true,
    )?;
    socket.bind(SocketAddr::from((client(index), 0)))?;
    socket.connect(to).await
}

async fn ask(stream: &mut Stream) -> std::io::Result<()> {
    let mut answer = [0; REQUEST];
    stream.write_all(&[0; REQUEST]).await?;
    stream.read_exact(&mut answer).await.map(drop)
}

/// A connection for one request, which the endpoint ends.
async fn once(index: u8, to: SocketAddr) -> std::io::Result<()> {
    let mut stream = connect(index, to).await?;
    ask(&mut stream).await?;
    match stream.read(&mut [0]).await? {
        0 => Ok(()),
        _ => Err(std::io::ErrorKind::InvalidData.into()),
    }
}
