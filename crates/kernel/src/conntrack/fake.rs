//! A table of connections in memory.

use super::{Conntrack, ConntrackError, Deleted, Flow, Query, Tuple};

/// Flows in memory, with what can go wrong.
#[derive(Debug, Clone, Default)]
pub struct FakeConntrack {
    flows: Vec<Flow>,
    dumps: usize,
    last_id: u32,
    /// What the next call fails with; then it is gone.
    pub fault: Option<ConntrackError>,
    /// Every deletion of a flow that is there is refused with this error number.
    pub refuse_deletions: Option<i32>,
}

impl FakeConntrack {
    /// Makes a flow and gives it an id, as the kernel would. `None` when there is one with the
    /// same tuple in either direction, for the table has each but once.
    pub fn insert(&mut self, flow: Flow) -> Option<Flow> {
        let taken = |tuple: Tuple| {
            self.flows.iter().any(|other| {
                (other.protocol, other.zone) == (flow.protocol, flow.zone)
                    && (other.original == tuple || other.reply == tuple)
            })
        };
        if taken(flow.original) || taken(flow.reply) {
            return None;
        }
        self.last_id += 1;
        let flow = Flow {
            id: Some(self.last_id),
            ..flow
        };
        self.flows.push(flow);
        Some(flow)
    }

    /// What is in the table, in the order it came.
    pub fn all(&self) -> &[Flow] {
        &self.flows
    }

    /// How often the flows were listed, failures among them.
    pub fn dumps(&self) -> usize {
        self.dumps
    }

    fn take_fault(&mut self) -> Result<(), ConntrackError> {
        self.fault.take().map_or(Ok(()), Err)
    }
}

impl Conntrack for FakeConntrack {
    fn count(&mut self) -> Result<usize, ConntrackError> {
        self.take_fault()?;
        Ok(self.flows.len())
    }

    fn flows(
        &mut self,
        query: &Query,
        wanted: &dyn Fn(&Flow) -> bool,
    ) -> Result<Vec<Flow>, ConntrackError> {
        self.dumps += 1;
        self.take_fault()?;
        let flows = self.flows.iter().copied();
        Ok(flows
            .filter(|flow| query.asks_for(flow) && wanted(flow))
            .collect())
    }

    fn delete(&mut self, flows: &[Flow]) -> Result<Deleted, ConntrackError> {
        self.take_fault()?;
        let mut deleted = Deleted::default();
        for flow in flows {
            // The kernel looks for the tuple in both directions, in the zone, and compares the
            // id if it is given.
            let place = self.flows.iter().position(|other| {
                (other.protocol, other.zone) == (flow.protocol, flow.zone)
                    && (other.original == flow.original || other.reply == flow.original)
                    && (flow.id.is_none() || flow.id == other.id)
            });
            match (place, self.refuse_deletions) {
                (None, _) => deleted.gone += 1,
                (Some(_), Some(errno)) => deleted.refused.push((*flow, errno)),
                (Some(place), None) => {
                    self.flows.remove(place);
                    deleted.deleted += 1;
                }
            }
        }
        Ok(deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conntrack::Protocol;

    fn flow(sport: u16) -> Flow {
        let (client, server) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        Flow {
            protocol: Protocol::Udp,
            original: Tuple {
                src: client,
                dst: server,
                sport,
                dport: 53,
            },
            reply: Tuple {
                src: server,
                dst: client,
                sport: 53,
                dport: sport,
            },
            dnat: false,
            zone: 0,
            id: None,
        }
    }

    #[test]
    fn only_what_is_named_is_deleted() {
        let mut fake = FakeConntrack::default();
        let first = fake.insert(flow(1)).unwrap();
        let second = fake.insert(flow(2)).unwrap();
        let deleted = fake
            .delete(&[first, first, Flow { zone: 3, ..second }])
            .unwrap();
        assert_eq!((deleted.deleted, deleted.gone), (1, 2));
        assert_eq!(fake.all(), [second]);
    }

    #[test]
    fn a_later_flow_with_the_same_tuple_is_another_one() {
        let mut fake = FakeConntrack::default();
        let first = fake.insert(flow(1)).unwrap();
        assert_eq!(fake.insert(flow(1)), None);
        assert_eq!(fake.delete(&[first]).unwrap().deleted, 1);
        let second = fake.insert(flow(1)).unwrap();
        assert_eq!(fake.delete(&[first]).unwrap().gone, 1);
        assert_eq!(fake.all(), [second]);
    }

    #[test]
    fn a_refused_deletion_names_the_flow() {
        let mut fake = FakeConntrack {
            refuse_deletions: Some(libc::EBUSY),
            ..Default::default()
        };
        let flow = fake.insert(flow(1)).unwrap();
        assert_eq!(fake.delete(&[flow]).unwrap().refused, [(flow, libc::EBUSY)]);
        assert_eq!(fake.all(), [flow]);
    }
}
