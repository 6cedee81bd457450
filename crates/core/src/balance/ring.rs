//! The endpoints of a pool in their order, and whose turn it is.

use super::endpoints::Endpoints;
use crate::scheduling::Scheduler;

/// A pool.
#[derive(Debug, Clone, Default)]
pub(super) struct Ring {
    /// Places in [`Endpoints`], sorted.
    members: Box<[u32]>,
    /// Whose turn it is, as an index of `members`; drawn at the first pick, for otherwise all nodes
    /// would begin with the same endpoint.
    next: Option<usize>,
}

impl Ring {
    /// A pool of these, and whose turn it is in it.
    pub(super) fn new(members: Box<[u32]>, next: Option<usize>) -> Ring {
        let next = next.and_then(|next| next.checked_rem(members.len()));
        Ring { members, next }
    }

    /// Whose turn it is, as a place in [`Endpoints`].
    pub(super) fn next(&self) -> Option<usize> {
        let member = self.members.get(self.next?)?;
        Some(*member as usize)
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.members
            .binary_search_by(|member| (*member as usize).cmp(&index))
            .is_ok()
    }

    /// The scheduler's choice among those that are fit, as a place in [`Endpoints`].
    pub(super) fn pick(
        &mut self,
        scheduler: Scheduler,
        endpoints: &Endpoints,
        is_fit: impl Fn(usize) -> bool,
        chance: &mut impl FnMut(u32) -> u32,
    ) -> Option<usize> {
        let count = self.members.len();
        if count == 0 {
            return None;
        }
        let mut draw = |count: usize| chance(count as u32) as usize % count;
        let index = |place: usize| self.members[place] as usize;
        let from = |start: usize| {
            let places = (start..count).chain(0..start);
            places.filter(|place| is_fit(index(*place)))
        };
        let open = |place: &usize| endpoints.open_at(index(*place));
        if scheduler == Scheduler::P2c {
            let first = draw(count);
            let second = (first + 1 + draw((count - 1).max(1))) % count;
            // One that is not fit passes the choice on to the next that is.
            let both = from(first).next().into_iter().chain(from(second).next());
            return both.min_by_key(open).map(index);
        }
        let next = *self.next.get_or_insert_with(|| draw(count));
        let place = match scheduler {
            Scheduler::Lc => from(next).min_by_key(open),
            _ => from(next).next(),
        }?;
        self.next = Some((place + 1) % count);
        Some(self.members[place] as usize)
    }
}
