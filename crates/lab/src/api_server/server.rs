//! The server as a test has it in hand.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;

use super::builder::Builder;
use super::chaos::Chaos;
use super::faults::{Fault, On};
use super::kubeconfig::{Credentials, Files};
use super::log::{OpenWatch, Request};
use super::object::key;
use super::resource::Resource;
use super::shared::{Condition, Settings, Shared, now};
use super::store::{text, uid};
use super::tls::Certificates;
use super::{ApiServerError, fill, link, serve};

/// An API server, on a thread of its own. Gone when dropped.
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    files: Files,
    kubeconfig: PathBuf,
    /// The socket of the thread's, to stop and start listening.
    listener: TcpListener,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ApiServer {
    /// Starts one with nothing special about it.
    pub fn start() -> Result<ApiServer, ApiServerError> {
        ApiServer::builder().start()
    }

    /// To say how it is to be.
    pub fn builder<'a>() -> Builder<'a> {
        Builder::new()
    }

    pub(super) fn with(
        settings: Settings,
        listener: TcpListener,
    ) -> Result<ApiServer, ApiServerError> {
        let failed = |error| ApiServerError::Listen {
            address: settings.address,
            error,
        };
        let address = listener.local_addr().map_err(failed)?;
        let certificates = match settings.tls {
            true => Some(Certificates::new(address.ip())?),
            false => None,
        };
        let token = token(1);
        let scheme = if settings.tls { "https" } else { "http" };
        let files = Files::new(
            format!("{scheme}://{address}"),
            &token,
            certificates.as_ref(),
        )?;
        let credentials = match settings.authenticate {
            true => Credentials::Token,
            false => Credentials::None,
        };
        let user = files.user(credentials, &token);
        let kubeconfig = files.kubeconfig("kubeconfig", "ca.crt", &user)?;
        let other = listener.try_clone().map_err(failed)?;
        let shared = Arc::new(Shared::new(settings, token));
        let tls = certificates.map(|certificates| certificates.acceptor);
        let (stop, stopped) = oneshot::channel();
        let thread = run(other, tls, shared.clone(), stopped)?;
        Ok(ApiServer {
            shared,
            address,
            files,
            kubeconfig,
            listener,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same, as clients have it.
    pub fn url(&self) -> String {
        let scheme = if self.shared.settings.tls {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// A file by which a client finds it; with the token if one is wanted. There as long as the
    /// server.
    pub fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    /// The same with other credentials.
    pub fn kubeconfig_with(&self, credentials: Credentials) -> Result<PathBuf, ApiServerError> {
        let user = self.files.user(credentials, &self.token());
        let name = format!("kubeconfig-{credentials:?}");
        self.files.kubeconfig(&name, "ca.crt", &user)
    }

    /// The same with an authority that does not vouch for the server.
    pub fn kubeconfig_with_wrong_authority(&self) -> Result<PathBuf, ApiServerError> {
        let user = self.files.user(Credentials::Token, &self.token());
        self.files
            .kubeconfig("kubeconfig-wrong", "other-ca.crt", &user)
    }

    /// The certificate of its authority, as PEM. There is a file with TLS only.
    pub fn authority(&self) -> PathBuf {
        self.files.path("ca.crt")
    }

    /// The file with the token, as pods have it.
    pub fn token_file(&self) -> PathBuf {
        self.files.path("token")
    }

    /// The token that is accepted.
    pub fn token(&self) -> String {
        self.shared.state().token.clone()
    }

    /// Accepts another token from now on. The token file and the program of the kubeconfigs still
    /// give the one of before: see [`ApiServer::publish_token`].
    pub fn expire_token(&self) {
        self.shared.change(|state| {
            let number: u64 = state
                .token
                .rsplit('-')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0);
            state.token = token(number + 1);
        });
    }

    /// Gives clients the token that is accepted: in the token file, and by the program.
    pub fn publish_token(&self) -> Result<(), ApiServerError> {
        self.files.write_token(&self.token())
    }

    /// Both: another token from now on, and clients get it when they look again.
    pub fn rotate_token(&self) -> Result<(), ApiServerError> {
        self.expire_token();
        self.publish_token()
    }
}

/// Objects.
impl ApiServer {
    /// Writes an object, as it is but for its metadata, and returns its new version. One in no
    /// namespace is in `default`.
    pub fn apply(&self, object: &Value) -> Result<u64, ApiServerError> {
        let kind = text(object, "/kind").unwrap_or_default();
        let name = text(object, "/metadata/name").unwrap_or_default();
        let wrong = |why| ApiServerError::Object {
            kind: kind.to_owned(),
            name: name.to_owned(),
            why,
        };
        let resource = Resource::of_kind(kind).ok_or_else(|| wrong("this kind is not served"))?;
        if name.is_empty() {
            return Err(wrong("it needs a name"));
        }
        let object = object.clone();
        Ok(self
            .shared
            .change(|state| state.put(resource, object).version))
    }

    /// Deletes an object. Returns whether it was there. Something without a namespace has an empty
    /// one.
    pub fn delete(&self, resource: Resource, namespace: &str, name: &str) -> bool {
        let key = place(resource, namespace, name);
        self.shared
            .change(|state| match state.store.delete(resource, &key) {
                Some(event) => {
                    state.tell(&event);
                    true
                }
                None => false,
            })
    }

    /// An object as it is now.
    pub fn object(&self, resource: Resource, namespace: &str, name: &str) -> Option<Value> {
        let key = place(resource, namespace, name);
        let object = self.shared.state().store.get(resource, &key).cloned();
        object.map(|object| object.value())
    }

    /// All objects of a resource, those too that clients made, such as Events; in the order of
    /// their keys.
    pub fn objects(&self, resource: Resource) -> Vec<Value> {
        let objects: Vec<_> = self
            .shared
            .state()
            .store
            .of(resource)
            .values()
            .cloned()
            .collect();
        objects.iter().map(|object| object.value()).collect()
    }

    /// The version of the last write.
    pub fn version(&self) -> u64 {
        self.shared.state().store.version()
    }

    /// Makes many Services with one port each, and slices of their endpoints, as large as real
    /// ones: see [`super::service_name`], [`super::cluster_ip`] and [`super::endpoint_ip`].
    pub fn fill(&self, services: usize, endpoints_per_service: usize) {
        let now = now();
        self.shared.change(|state| {
            let mut put = |make: &dyn Fn(u64) -> super::object::Object, resource| {
                let object = Arc::new(make(state.store.version() + 1));
                let event = state.store.write(resource, object.key(), Some(object));
                state.tell(&event);
            };
            for service in 0..services {
                put(
                    &|version| fill::service(service, version, &now),
                    Resource::Services,
                );
                let all = service * endpoints_per_service..(service + 1) * endpoints_per_service;
                for (number, first) in all.clone().step_by(fill::SLICE).enumerate() {
                    let some = first..all.end.min(first + fill::SLICE);
                    put(
                        &|version| fill::slice(service, number, some.clone(), version, &now),
                        Resource::EndpointSlices,
                    );
                }
            }
        });
    }

    /// Forgets what happened: who comes with a version of before has to list again, and so has who
    /// is in the midst of a list. Watches that are open go on.
    pub fn compact(&self) {
        self.shared.change(|state| state.store.compact());
    }
}

/// What clients did.
impl ApiServer {
    /// The last 10,000 requests, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().log.requests()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.change(|state| state.log.clear());
    }

    /// The watches that are open.
    pub fn watches(&self) -> Vec<OpenWatch> {
        self.shared.state().watches()
    }

    /// Waits until something is so, for so long at most. Returns whether it is.
    pub fn wait_until(&self, patience: Duration, holds: impl Fn(&ApiServer) -> bool) -> bool {
        let started = Instant::now();
        while !holds(self) {
            if started.elapsed() > patience {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Waits until there is a watch of a resource. Returns whether there is.
    pub fn wait_for_watch(&self, resource: Resource, patience: Duration) -> bool {
        self.wait_until(patience, |server| {
            server
                .watches()
                .iter()
                .any(|watch| watch.resource == resource)
        })
    }
}

/// What goes wrong.
impl ApiServer {
    /// Lets a fault happen to the next of these requests.
    pub fn fail_once(&self, on: On, fault: Fault) {
        self.fail_times(1, on, fault);
    }

    /// Lets a fault happen to the next of these requests, so many of them. In open watches, each
    /// watch to which it happens is one.
    pub fn fail_times(&self, times: usize, on: On, fault: Fault) {
        if times > 0 {
            self.shared
                .change(|state| state.faults.add(on, fault, Some(times)));
        }
    }

    /// Lets a fault happen to all of these requests, until [`ApiServer::heal`].
    pub fn fail(&self, on: On, fault: Fault) {
        self.shared
            .change(|state| state.faults.add(on, fault, None));
    }

    /// Takes back what was ordered for these requests, told by the same words.
    pub fn heal_on(&self, on: &On) {
        self.shared.change(|state| state.faults.remove(on));
        self.shared.heals.send_replace(());
    }

    /// Takes back all faults and chaos; the server goes on if it was hung or down.
    pub fn heal(&self) -> Result<(), ApiServerError> {
        self.shared.change(|state| state.faults.clear());
        self.shared.heals.send_replace(());
        self.go_on()
    }

    /// How many faults that were ordered are still to happen. `None`: some have no end.
    pub fn faults_left(&self) -> Option<usize> {
        self.shared.state().faults.left()
    }

    /// Lets faults happen by chance: to so many of all requests and of all lines of watches, from 0
    /// to 1. The same seed and the same requests give the same faults.
    pub fn chaos(&self, seed: u64, rate: f64) {
        let chaos = Chaos::new(seed, rate);
        self.shared
            .change(|state| state.faults.set_chaos(Some(chaos)));
    }

    /// No more of that.
    pub fn calm(&self) {
        self.shared.change(|state| state.faults.set_chaos(None));
    }

    /// Says nothing any more, on no connection: new ones are accepted by the kernel and that is
    /// all. As a process that was stopped.
    pub fn hang(&self) {
        self.shared.condition.send_replace(Condition::Hung);
    }

    /// Resets all connections and refuses new ones. As a process that was killed. The port stays
    /// the server's.
    pub fn go_down(&self) -> Result<(), ApiServerError> {
        if self.shared.condition.send_replace(Condition::Down) != Condition::Down {
            link::refuse(&self.listener).map_err(self.failed())?;
        }
        self.reset_connections();
        Ok(())
    }

    /// Goes on after it hung or was down.
    pub fn go_on(&self) -> Result<(), ApiServerError> {
        if *self.shared.condition.borrow() == Condition::Down {
            link::listen_again(&self.listener).map_err(self.failed())?;
        }
        self.shared.condition.send_replace(Condition::Up);
        Ok(())
    }

    /// Resets all connections that there are.
    pub fn reset_connections(&self) {
        self.shared.resets.send_replace(());
    }

    fn failed(&self) -> impl FnOnce(std::io::Error) -> ApiServerError {
        let address = self.address;
        move |error| ApiServerError::Listen { address, error }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What panicked there has been said.
            let _ = thread.join();
        }
    }
}

/// Starts the thread.
fn run(
    listener: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) -> Result<JoinHandle<()>, ApiServerError> {
    let runtime: Runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ApiServerError::Thread)?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(ApiServerError::Thread)?
    };
    let serve = move || {
        runtime.block_on(async move {
            tokio::select! {
                never = serve::accept(listener, tls, shared) => match never {},
                _ = stopped => {}
            }
        });
    };
    thread::Builder::new()
        .name("api-server".to_owned())
        .spawn(serve)
        .map_err(ApiServerError::Thread)
}

fn place(resource: Resource, namespace: &str, name: &str) -> String {
    key(resource.is_namespaced().then_some(namespace), name)
}

/// The token of this number.
fn token(number: u64) -> String {
    format!("lab-{}-{number}", uid(number))
}
