//! What the daemon does about its configuration: what does not suit the node is told, and what
//! changes in the file while it runs comes into effect.

use std::time::Instant;

use anyhow::bail;
use tracing::{error, info, warn};

use super::daemon::Daemon;
use super::oom;
use super::sync::intervals;
use super::userspace;
use crate::config::{NodeFamilies, Reread, judge};
use crate::log;

impl Daemon {
    /// Tells what in the configuration does not suit this node's IP families. What cannot work at
    /// all is an error.
    pub(super) fn judge_configuration(&self) -> anyhow::Result<()> {
        let node = self.model.node();
        let judgement = judge(
            &self.seen.configuration.effective(),
            self.mode,
            &NodeFamilies {
                primary: node.primary_family(),
                dual_stack: self.families.len() > 1,
                pod_cidrs: &node.pod_cidrs,
            },
        );
        for warning in &judgement.warnings {
            warn!("{warning}");
        }
        if judgement.errors.is_empty() {
            Ok(())
        } else {
            bail!("{}", judgement.errors.join("; "))
        }
    }

    /// Reads the configuration file if it changed.
    pub(super) fn take_configuration(&mut self, now: Instant) {
        let changes = self.config_watch.as_mut().and_then(|w| w.changes(now));
        match changes {
            None => {}
            Some(Ok(reread)) => self.reconfigure(reread),
            Some(Err(errors)) => error!("the configuration stays as it was: {errors}"),
        }
    }

    fn reconfigure(&mut self, reread: Reread) {
        let Reread {
            options,
            live,
            warnings,
        } = reread;
        let options = options.in_mode(self.mode);
        for warning in warnings {
            warn!("{warning}");
        }
        for field in &live.applied {
            info!("{field} changed in the configuration file and is in effect");
        }
        for (field, value) in &live.needs_restart {
            warn!("{field} is {value} in the configuration file; that needs a restart");
        }
        let old = self.seen.configuration.effective();
        if old.oom_score_adj != options.config.oom_score_adj {
            oom::adjust(options.oom_score_adj);
        }
        if old.conntrack != options.config.conntrack {
            self.conntrack.track(&options.conntrack);
        }
        self.schedule
            .set_intervals(intervals(options.min_sync_period, options.sync_period));
        self.seen.health.set_patience(options.patience());
        if old.logging.verbosity != options.config.logging.verbosity {
            log::set(options.verbosity);
        }
        let needs_restart = !live.needs_restart.is_empty();
        self.metrics.config_needs_restart(needs_restart);
        self.seen
            .configuration
            .set(&options.config, live.needs_restart);
        let excluded = &options.settings.ipvs.exclude_cidrs;
        if self.model.settings().ipvs.exclude_cidrs != *excluded {
            self.engine.watch().leave(excluded);
            // What is in networks that were others' is not known.
            self.engine.distrust();
        }
        if let Some(relay) = &self.relay {
            relay.set(userspace::settings(&options));
        }
        self.model.set_settings(options.settings);
        if self.has_begun()
            && let Err(error) = self.judge_configuration()
        {
            error!("the configuration does not suit this node: {error}");
        }
    }
}
