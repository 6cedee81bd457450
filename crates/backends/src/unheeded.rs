//! What Services ask for in vain.

use std::collections::BTreeMap;

use fairlead_core::api::ObjectName;
use fairlead_core::report::Unmet;

/// What Services ask for in vain, one thing of each.
#[derive(Debug, Default)]
pub(crate) struct Unheeded(BTreeMap<ObjectName, Unmet>);

impl Unheeded {
    /// What there is to say of a Service now; `None`: it has what it asks for.
    pub(crate) fn note(&mut self, service: &ObjectName, why: Option<Unmet>) {
        match why {
            Some(why) => self.0.insert(service.clone(), why),
            None => self.0.remove(service),
        };
    }

    /// Of all of them.
    pub(crate) fn all(&self) -> Vec<(ObjectName, Unmet)> {
        let all = self.0.iter();
        all.map(|(service, why)| (service.clone(), why.clone()))
            .collect()
    }
}
