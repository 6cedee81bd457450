//! How long to wait for what.

use std::time::Duration;

/// Time limits of the conversation with the API server. A dead or hung server is noticed after
/// `silence` and `check` together; by the defaults, in 35 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a TCP connection to come about.
    pub connect: Duration,
    /// For the headers of an answer, and for each further piece of a list.
    pub answer: Duration,
    /// How long a watch may be silent before the server is asked whether it is there.
    pub silence: Duration,
    /// For the answer to that question, whatever it is.
    pub check: Duration,
    /// How long a watch may be silent that had bookmarks before it is asked for anew. Behind a load
    /// balancer, the server of this watch may hang while another answers that it is there.
    pub bookmarks: Duration,
    /// For a streaming list to go on. A server that knows nothing of streaming lists never says
    /// that one is complete.
    pub list: Duration,
    /// For an exec plugin to say who we are. It goes on running; another is not started meanwhile.
    pub plugin: Duration,
    /// Between failures.
    pub pauses: Pauses,
    /// How long a failure that goes on is not told again.
    pub told: Duration,
}

/// The pauses between failed attempts: each about twice the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// The least after the first failure.
    pub first: Duration,
    /// The most, however many have failed.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            silence: Duration::from_secs(25),
            check: Duration::from_secs(10),
            // kube-apiserver sends one about every minute.
            bookmarks: Duration::from_secs(150),
            list: Duration::from_secs(10),
            plugin: Duration::from_mins(1),
            pauses: Pauses::default(),
            told: Duration::from_mins(5),
        }
    }
}

impl Default for Pauses {
    /// As the reflectors of client-go have them.
    fn default() -> Pauses {
        Pauses {
            first: Duration::from_millis(800),
            longest: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_hangs_is_noticed_within_a_minute() {
        let patience = Patience::default();
        assert!(patience.silence + patience.check < Duration::from_mins(1));
        assert!(patience.answer < Duration::from_mins(1));
    }
}
