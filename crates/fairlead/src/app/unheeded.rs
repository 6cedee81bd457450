//! What Services ask for and do not get: told on each of them, once for as long as it is so.

use std::collections::BTreeMap;

use fairlead_core::api::ObjectName;
use fairlead_core::report::Unmet;

/// What was told of already.
#[derive(Debug, Default)]
pub(super) struct Unheeded {
    /// Of what is written in Services.
    written: BTreeMap<ObjectName, Unmet>,
    /// Of what this host cannot do.
    impossible: BTreeMap<ObjectName, Unmet>,
}

impl Unheeded {
    /// What is wrong with what is written: those of it that are new.
    pub(super) fn written(
        &mut self,
        now: &BTreeMap<ObjectName, Unmet>,
    ) -> Vec<(ObjectName, Unmet)> {
        match self.written == *now {
            true => Vec::new(),
            false => news(&mut self.written, now.clone()),
        }
    }

    /// What this host cannot do: those of it that are new.
    pub(super) fn impossible(&mut self, now: &[(ObjectName, Unmet)]) -> Vec<(ObjectName, Unmet)> {
        news(&mut self.impossible, now.iter().cloned().collect())
    }
}

/// What is new, or says something else. Remembers what is.
fn news(
    told: &mut BTreeMap<ObjectName, Unmet>,
    now: BTreeMap<ObjectName, Unmet>,
) -> Vec<(ObjectName, Unmet)> {
    let is_new = |(service, why): &(&ObjectName, &Unmet)| told.get(*service) != Some(*why);
    let new = now.iter().filter(is_new);
    let new = new
        .map(|(service, why)| (service.clone(), why.clone()))
        .collect();
    *told = now;
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_for_as_long_as_it_is_so() {
        let mut unheeded = Unheeded::default();
        let mut told = |now: &[(&str, &str)]| {
            let of = |(name, why): &(&str, &str)| {
                let why = Unmet::Scheduler(why.to_string());
                (ObjectName::new("shop", name), why)
            };
            let now: Vec<_> = now.iter().map(of).collect();
            let written = unheeded.written(&now.iter().cloned().collect());
            assert_eq!(unheeded.impossible(&now), written);
            let line = |(service, why)| format!("{service}: {why}");
            written.into_iter().map(line).collect::<Vec<_>>()
        };
        let (web, api) = (("web", "no lc"), ("api", "no sh"));
        assert_eq!(told(&[web]), ["shop/web: no lc"]);
        assert_eq!(told(&[web]), [""; 0]);
        assert_eq!(told(&[api, web]), ["shop/api: no sh"]);
        assert_eq!(told(&[api, ("web", "no sed")]), ["shop/web: no sed"]);
        assert_eq!(told(&[api]), [""; 0]);
        assert_eq!(told(&[api, web]), ["shop/web: no lc"]);
    }
}
