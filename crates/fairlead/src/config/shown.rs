//! The configuration for others to look at while it changes.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::v1alpha1::KubeProxyConfiguration;

/// The configuration in effect, and what would be without what needs a restart. All copies are one.
#[derive(Debug, Clone)]
pub(crate) struct Shown(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    effective: Arc<KubeProxyConfiguration>,
    needs_restart: Map<String, Value>,
}

impl Shown {
    /// At the start all is as it should be.
    pub(crate) fn new(effective: &Arc<KubeProxyConfiguration>) -> Shown {
        Shown(Arc::new(Mutex::new(State {
            effective: Arc::clone(effective),
            needs_restart: Map::new(),
        })))
    }

    /// From here on another is in effect, and these fields are wanted to be something else.
    pub(crate) fn set(
        &self,
        effective: &Arc<KubeProxyConfiguration>,
        needs_restart: Map<String, Value>,
    ) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State {
            effective: Arc::clone(effective),
            needs_restart,
        };
    }

    /// The configuration in effect.
    pub(crate) fn effective(&self) -> Arc<KubeProxyConfiguration> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&state.effective)
    }

    /// The fields, by path, that are something else in the file.
    pub(crate) fn needs_restart(&self) -> Map<String, Value> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.needs_restart.clone()
    }
}
