//! What is known of each endpoint: its connections, and whether it is set aside.

use std::collections::BTreeMap;
use std::iter;
use std::time::{Duration, Instant};

use super::Condition;
use crate::route::Target;

/// How long an endpoint is set aside after the first failure. It doubles with each failed trial.
pub const SHORTEST_ASIDE: Duration = Duration::from_secs(1);

/// How long an endpoint is set aside at most.
pub const LONGEST_ASIDE: Duration = Duration::from_mins(1);

/// How long a trial has before there may be another: whoever dialled may be gone without a word.
/// Longer than the longest dial.
pub const TRIAL: Duration = Duration::from_secs(5);

/// The endpoints of a service port.
#[derive(Debug, Clone, Default)]
pub(super) struct Endpoints {
    /// Sorted.
    all: Vec<Endpoint>,
    /// The connections to those that are gone.
    gone: BTreeMap<Target, u32>,
    /// How many ever came.
    births: u32,
}

#[derive(Debug, Clone)]
struct Endpoint {
    target: Target,
    birth: u32,
    open: u32,
    failures: u32,
    /// In a box, since few have it.
    aside: Option<Box<Aside>>,
}

#[derive(Debug, Clone)]
struct Aside {
    until: Instant,
    length: Duration,
    /// Whether a connection tries it, and has until then.
    is_trial: bool,
}

impl Endpoints {
    /// Has these from now on, and what is known of those that were there.
    pub(super) fn update(&mut self, cluster: &[Target], local: &[Target]) {
        let mut targets = [cluster, local].concat();
        targets.sort();
        targets.dedup();
        let mut before = std::mem::take(&mut self.all).into_iter().peekable();
        self.all.reserve_exact(targets.len());
        for target in targets {
            while let Some(gone) = before.next_if(|endpoint| endpoint.target < target) {
                self.left(&gone);
            }
            let endpoint = match before.next_if(|endpoint| endpoint.target == target) {
                Some(endpoint) => endpoint,
                None => self.new_one(target),
            };
            self.all.push(endpoint);
        }
        before.for_each(|gone| self.left(&gone));
    }

    /// Where these are, sorted.
    pub(super) fn indices(&self, targets: &[Target]) -> Box<[u32]> {
        let found = targets.iter().filter_map(|target| self.find(*target));
        let mut indices: Vec<u32> = found.map(|index| index as u32).collect();
        indices.sort_unstable();
        indices.dedup();
        indices.into()
    }

    pub(super) fn find(&self, target: Target) -> Option<usize> {
        let found = self
            .all
            .binary_search_by(|endpoint| endpoint.target.cmp(&target));
        found.ok()
    }

    pub(super) fn target(&self, index: usize) -> Target {
        self.all[index].target
    }

    pub(super) fn birth(&self, index: usize) -> u32 {
        self.all[index].birth
    }

    pub(super) fn open_at(&self, index: usize) -> u32 {
        self.all[index].open
    }

    /// Whether it is not set aside, or is and may be tried.
    pub(super) fn takes(&self, index: usize, now: Instant) -> bool {
        let aside = self.all[index].aside.as_ref();
        aside.is_none_or(|aside| now >= aside.until)
    }

    /// If its time aside is over, the connection that it is picked for tries it.
    pub(super) fn begin_trial(&mut self, index: usize, now: Instant) {
        if let Some(aside) = &mut self.all[index].aside
            && now >= aside.until
        {
            aside.until = now + TRIAL;
            aside.is_trial = true;
        }
    }

    pub(super) fn opened(&mut self, target: Target) {
        let open = match self.find(target) {
            Some(index) => &mut self.all[index].open,
            None => self.gone.entry(target).or_default(),
        };
        *open = open.saturating_add(1);
    }

    pub(super) fn ended(&mut self, target: Target) {
        if let Some(index) = self.find(target) {
            let open = &mut self.all[index].open;
            *open = open.saturating_sub(1);
        } else if let Some(open) = self.gone.get_mut(&target) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.gone.remove(&target);
            }
        }
    }

    pub(super) fn answered(&mut self, target: Target) {
        if let Some(index) = self.find(target) {
            self.all[index].aside = None;
        }
    }

    pub(super) fn failed(&mut self, target: Target, now: Instant) {
        let Some(index) = self.find(target) else {
            return;
        };
        let endpoint = &mut self.all[index];
        endpoint.failures = endpoint.failures.saturating_add(1);
        let length = match &endpoint.aside {
            None => SHORTEST_ASIDE,
            Some(aside) if aside.is_trial || now >= aside.until => {
                (aside.length * 2).min(LONGEST_ASIDE)
            }
            // It was dialled before it was set aside, or because there was nobody else: no news.
            Some(_) => return,
        };
        endpoint.aside = Some(Box::new(Aside {
            until: now + length,
            length,
            is_trial: false,
        }));
    }

    pub(super) fn conditions(&self) -> impl Iterator<Item = Condition> {
        self.all.iter().map(|endpoint| Condition {
            target: endpoint.target,
            open: endpoint.open,
            failures: u64::from(endpoint.failures),
            is_aside: endpoint.aside.is_some(),
        })
    }

    pub(super) fn aside(&self) -> usize {
        let is_aside = |endpoint: &&Endpoint| endpoint.aside.is_some();
        self.all.iter().filter(is_aside).count()
    }

    pub(super) fn open(&self) -> u64 {
        let counts = self.all.iter().map(|endpoint| endpoint.open);
        let gone = self.gone.values().copied();
        iter::chain(counts, gone).map(u64::from).sum()
    }

    /// Connections go on when their endpoint goes, and count again if it comes back.
    fn left(&mut self, endpoint: &Endpoint) {
        if endpoint.open > 0 {
            self.gone.insert(endpoint.target, endpoint.open);
        }
    }

    fn new_one(&mut self, target: Target) -> Endpoint {
        self.births = self.births.wrapping_add(1);
        Endpoint {
            target,
            birth: self.births,
            open: self.gone.remove(&target).unwrap_or_default(),
            failures: 0,
            aside: None,
        }
    }
}
