//! How this process may make namespaces, and how somebody else enters them.

use std::fs;
use std::path::PathBuf;

use fairlead_lab::{Lab, LabError, privilege};

use super::Options;
use super::events::Events;
use super::picture::{BOLD, heading, note, styled};
use super::proxy::Proxy;
use super::screen::Screen;

/// What to run inside, for example.
const COMMAND: &str = "nft list ruleset";

/// Where the namespaces' names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entrance {
    /// Where ip-netns(8) finds them.
    Open,
    /// In a private mount namespace of an ordinary user.
    Private,
}

impl Entrance {
    /// Makes sure that namespaces can be made. To be called before there is a second thread.
    pub(super) fn obtain() -> Result<Entrance, LabError> {
        let before = user_namespace();
        privilege::obtain()?;
        Ok(if user_namespace() == before {
            Entrance::Open
        } else {
            Entrance::Private
        })
    }

    /// Says how to look around, and gives time for it if that was asked for.
    pub(super) fn offer(
        self,
        options: &Options,
        lab: &Lab,
        proxy: &Proxy<'_>,
        events: &Events,
        screen: &mut Screen,
    ) -> anyhow::Result<()> {
        let line = self.line(lab.network().node_name(), proxy.pid());
        if !options.stay {
            screen.say(&heading("All of it is gone now"))?;
            let remark = format!(
                "With --stay it is left until you press Enter, to look around from another \
                 terminal with a line like: {line}"
            );
            return Ok(screen.say(&note(&remark))?);
        }
        screen.say(&heading(
            "Look around from another terminal; Enter or Ctrl-C ends it",
        ))?;
        screen.say(&format!("   {}\n", styled(BOLD, &line)))?;
        Ok(events.until_told()?)
    }

    /// The line that runs a command on the node, given the namespace's name and a process in it.
    fn line(self, node: &str, pid: u32) -> String {
        match self {
            Entrance::Open => format!("ip netns exec {node} {COMMAND}"),
            Entrance::Private => {
                format!("nsenter -t {pid} -U -m -n --preserve-credentials {COMMAND}")
            }
        }
    }
}

/// Which it is. `None` in a kernel without them.
fn user_namespace() -> Option<PathBuf> {
    fs::read_link("/proc/self/ns/user").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_for_whoever_made_it() {
        assert_eq!(
            Entrance::Open.line("fl-7-0-n1", 8),
            "ip netns exec fl-7-0-n1 nft list ruleset"
        );
        assert_eq!(
            Entrance::Private.line("fl-7-0-n1", 8),
            "nsenter -t 8 -U -m -n --preserve-credentials nft list ruleset"
        );
    }
}
