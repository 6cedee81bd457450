//! Recorded cases of what kube-proxy does, and whether another proxy does the same.
//!
//! A case is a folder with `objects.yaml`, `args.json`, `<mode>.outcomes.json` and what else the
//! README beside the recorded ones explains.

use std::fs;
use std::path::{Path, PathBuf};

use fairlead_core::api::Change;

use crate::outcome::{self, Difference, Outcomes, read_json};
use crate::{Lab, LabError, expected, questions};

pub use crate::expected::{USERSPACE, USERSPACE_CLIENT};

/// A recorded case.
#[derive(Debug, Clone)]
pub struct Case {
    /// The name of its folder.
    pub name: String,
    /// The objects, in YAML.
    pub objects: PathBuf,
    /// The flags that kube-proxy was started with, besides the mode and the API server's address.
    pub args: Vec<String>,
    /// What kube-proxy programmed, in the words of `nft`, `iptables-save` or `ipvsadm`; recorded of
    /// some cases in nftables mode, of most in ipvs mode and of all in iptables mode.
    pub rules: PathBuf,
    /// What clients met then.
    pub expected: Outcomes,
}

impl Case {
    /// Reads the case in `folder` as it was recorded in a proxy mode. In ipvs mode, [`USERSPACE`] and
    /// [`USERSPACE_CLIENT`] the outcomes of nftables mode are expected, but for those that the case
    /// names with their reason, and whom endpoints behind a relay see.
    pub fn read(folder: &Path, mode: &str) -> Result<Case, LabError> {
        let name = folder.file_name().unwrap_or_default();
        Ok(Case {
            name: name.to_string_lossy().into_owned(),
            objects: folder.join("objects.yaml"),
            args: read_json(&folder.join("args.json"))?,
            rules: folder.join(format!("{mode}.rules")),
            expected: expected::of(folder, mode)?,
        })
    }

    /// Asks everything worth asking about the case's objects, in a lab where a proxy serves them,
    /// and says what was answered otherwise than kube-proxy's clients were.
    pub fn differences(&self, lab: &Lab, objects: &[Change]) -> Result<Vec<Difference>, LabError> {
        let got = lab.ask_all(&questions(objects)?)?;
        Ok(outcome::compare(&self.expected, &got))
    }
}

/// All cases in `folder`, by name, as they were recorded in a proxy mode.
pub fn cases(folder: &Path, mode: &str) -> Result<Vec<Case>, LabError> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).map_err(LabError::file(folder))? {
        let path = entry.map_err(LabError::file(folder))?.path();
        if path.is_dir() {
            cases.push(Case::read(&path, mode)?);
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}
