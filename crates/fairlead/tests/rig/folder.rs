//! A folder of manifests, one file for each object.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::mem;
use std::path::Path;

use libtest_mimic::Failed;
use serde_json::Value;
use tempfile::TempDir;

/// The lab's node, of which every folder has the object.
const NODE: &str = include_str!("../../../../scenarios/objects/node1.yaml");

/// A folder of manifests. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: TempDir,
    objects: BTreeMap<String, Value>,
    /// Whether a test took something away since this was asked last.
    has_deleted: bool,
}

impl Folder {
    /// A folder that describes the lab's node and these objects.
    pub(crate) fn new(objects: &[Value]) -> Result<Folder, Failed> {
        let mut folder = Folder {
            dir: TempDir::new()?,
            objects: BTreeMap::new(),
            has_deleted: false,
        };
        folder.apply(&yaml_serde::from_str(NODE)?)?;
        for object in objects {
            folder.apply(object)?;
        }
        Ok(folder)
    }

    /// An object as it is now, by `KIND NAME`.
    pub(crate) fn find(&self, object: &str) -> Option<&Value> {
        self.objects.get(object)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes an object; one that is there already is changed as by a merge patch (RFC 7396).
    pub(crate) fn apply(&mut self, object: &Value) -> Result<(), Failed> {
        let field = |path| object.pointer(path).and_then(Value::as_str);
        let (Some(kind), Some(name)) = (field("/kind"), field("/metadata/name")) else {
            return Err(format!("an object needs a kind and a name: {object}").into());
        };
        let name = format!("{kind} {name}");
        let merged = self.objects.entry(name.clone()).or_default();
        merge(merged, object);
        let text = serde_json::to_vec_pretty(merged)?;
        Ok(self.write(&file_name(&name), &text)?)
    }

    /// Takes an object away, by `KIND NAME`.
    pub(crate) fn delete(&mut self, object: &str) -> Result<(), Failed> {
        self.has_deleted = true;
        self.remove(object)
    }

    /// Whether something was taken away since this was asked last.
    pub(super) fn take_deleted(&mut self) -> bool {
        mem::take(&mut self.has_deleted)
    }

    /// Takes away what no test asks for.
    pub(super) fn remove(&mut self, object: &str) -> Result<(), Failed> {
        match self.objects.remove(object) {
            Some(_) => Ok(fs::remove_file(self.path().join(file_name(object)))?),
            None => Err(format!("there is no {object} to delete").into()),
        }
    }

    /// Puts a file into place at once, whatever is in it.
    pub(crate) fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let hidden = self.path().join(format!(".{name}"));
        fs::write(&hidden, contents)?;
        fs::rename(hidden, self.path().join(name))
    }
}

fn file_name(object: &str) -> String {
    format!("{}.json", object.replace(' ', "-"))
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(fields) = target {
        for (name, change) in changes {
            match change {
                Value::Null => drop(fields.remove(name)),
                change => merge(fields.entry(name).or_insert(Value::Null), change),
            }
        }
    }
}
