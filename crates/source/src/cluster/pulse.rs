//! Finds out whether a server is alive from which nothing is heard.
//!
//! A watch has nothing to say when nothing changes, and a server that hangs says nothing either.
//! One cheap request tells them apart, for all watches together.

use std::rc::Rc;
use std::time::Instant;

use tokio::time::{sleep, sleep_until};

use super::link::Call;
use super::talk::Talk;

/// Asks the server whether it is there whenever a watch has been silent for long.
pub(super) async fn feel(talk: Rc<Talk>) {
    let patience = talk.patience;
    let mut alive = Instant::now();
    loop {
        let Some(heard) = talk.board.most_silent() else {
            // Nothing to lose; look again soon after something is connected.
            sleep(patience.silence / 5).await;
            continue;
        };
        let due = heard.max(alive) + patience.silence;
        if Instant::now() < due {
            sleep_until(due.into()).await;
            continue;
        }
        // Any answer is a sign of life, also "you may not".
        let version = Call::get("version", "/version");
        match talk.link.send(&version, patience.check).await {
            Ok(_) => talk.reached().await,
            Err(unreached) => {
                talk.unreached(&format!("{} (and no watch says anything)", unreached.0))
                    .await;
                talk.link.drop_all();
            }
        }
        alive = Instant::now();
    }
}
