//! What a test orders to go wrong.

use super::asked::On;
use super::chaos::Chaos;
use super::faults::Fault;
use super::shared::Condition;
use super::{ApiServer, ApiServerError, link};

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
