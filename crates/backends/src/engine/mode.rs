//! What a mode is to the engine.

use std::error::Error;
use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Instant;

use fairlead_core::address::Family;
use fairlead_core::api::ObjectName;
use fairlead_core::model::{Destination, Model};
use fairlead_core::report::Report;
use fairlead_core::route::Routes;
use fairlead_core::settings::Settings;
use fairlead_kernel::error::CallError;

/// A proxy mode: routes said in the words of one part of the kernel. Pure.
pub trait Mode: Sized {
    /// What a service port has in the kernel.
    type Port: Debug;
    /// What is there whatever Services there are, in one family.
    type Frame: Debug;
    /// What was found when nothing was known.
    type Found: Debug;
    /// What is known to be there.
    type Installed: Debug;
    /// What a look at what is only waiting has found, see [`Kernel::survey`].
    type Survey: Debug;
    /// Operations in order.
    type Plan: Plan;
    /// What the kernel says when it refuses a plan.
    type Error: Error + Send + Sync + 'static;

    /// The frame that a family should have.
    fn frame(&self, family: Family, model: &Model, host: &[IpAddr]) -> Self::Frame;

    /// Says the routes of a service port.
    fn render(
        &self,
        routes: Routes,
        family: Family,
        settings: &Settings,
        prior: Prior<'_, Self>,
    ) -> Self::Port;

    /// The way from what was found to what should be there.
    fn rebuild(found: Self::Found, changes: ChangesOf<Self>) -> (Self::Plan, Self::Installed);

    /// The way from what is installed to what the changes want. If it cannot be gone, what is
    /// installed is not known any more: that is why it is given away.
    fn advance(
        installed: Self::Installed,
        changes: ChangesOf<Self>,
    ) -> (Self::Plan, Self::Installed);

    /// What was found to be reachable: an earlier process may have served it.
    fn former(found: &Self::Found) -> Vec<Destination>;

    /// What a Service is reached by.
    fn destinations(installed: &Self::Installed, service: &ObjectName) -> Vec<Destination>;

    /// Whether all of it may be compared with the kernel for no other reason than that it is time.
    fn may_compare(_: &Self::Installed) -> bool {
        true
    }

    /// When something is to be done that has to wait for a while, if anything is.
    fn chores_due(installed: &Self::Installed) -> Option<Instant>;

    /// Services that went without something that there is by now: this sync looks at them as if they
    /// had changed.
    fn again(&mut self, _: &Self::Installed) -> Vec<ObjectName> {
        Vec::new()
    }

    /// Takes in what a refusal tells of this kernel. True if a plan would be another one now.
    fn learn(&mut self, _: &Self::Error) -> bool {
        false
    }

    /// What this kernel did not have it may have by now.
    fn forget(&mut self) {}

    /// Notes what there is to tell of a plan that was carried out.
    fn tell(_: &Self::Plan, _: &Self::Installed, _: &mut Report) {}

    /// The Services whose objects the kernel would not take, with the reasons, if it said which.
    fn culprits(
        error: &Self::Error,
        plan: &Self::Plan,
        installed: &Self::Installed,
    ) -> Vec<(ObjectName, String)>;
}

/// What was there before, if anything is known of it.
#[derive(Debug)]
pub enum Prior<'a, M: Mode> {
    /// It was found.
    Found(&'a M::Found),
    /// It was installed.
    Installed(&'a M::Installed),
}

/// What a sync wants to be different, in the words of a mode.
pub type ChangesOf<M> = Changes<<M as Mode>::Frame, <M as Mode>::Port, <M as Mode>::Survey>;

/// What a sync wants to be different.
#[derive(Debug)]
pub struct Changes<F, P, S> {
    /// The frame of each family that should be there.
    pub frames: Vec<F>,
    /// The groups of the Services that changed; an empty one for a Service that is gone.
    pub groups: Vec<(ObjectName, Box<[P]>)>,
    /// What a look at what waits has found, if it is time to do something about it.
    pub chores: Option<S>,
    /// When this is.
    pub now: Instant,
}

/// Operations in order.
pub trait Plan: Debug {
    /// How many there are.
    fn operations(&self) -> usize;
}

/// The part of the kernel that a mode programs, or a fake.
pub trait Kernel<M: Mode> {
    /// Reads what is there of ours.
    fn observe(&mut self, families: &[Family]) -> Result<M::Found, CallError>;

    /// Looks at what waits.
    fn survey(&mut self, installed: &M::Installed) -> Result<M::Survey, CallError>;

    /// Carries out a plan.
    fn apply(&mut self, plan: &M::Plan) -> Result<Cost, M::Error>;

    /// Removes all that is ours. False if there was nothing.
    fn remove(&mut self) -> Result<bool, super::SyncError>;
}

/// What carrying out a plan cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Netlink messages, or lines of text.
    pub messages: usize,
    /// Their size in bytes.
    pub bytes: usize,
}
