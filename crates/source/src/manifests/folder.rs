//! The file or folder that holds the manifests: which files count, and whether they changed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SourceError;

/// The place where manifests are.
#[derive(Debug)]
pub(crate) enum Folder {
    /// A folder: its files that end in `.yaml`, `.yml` or `.json`.
    All(PathBuf),
    /// One file, whatever its name.
    One(Arc<Path>),
}

/// What tells one state of a file from the next without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The files that are there.
pub(crate) type Listing = BTreeMap<Arc<Path>, Stamp>;

impl Folder {
    /// Looks at a path and makes sure it can be read.
    pub(crate) fn open(path: &Path) -> Result<Folder, SourceError> {
        let error = |error| SourceError::of(path, error);
        if fs::metadata(path).map_err(error)?.is_dir() {
            fs::read_dir(path).map_err(error)?;
            Ok(Folder::All(path.to_owned()))
        } else {
            File::open(path).map_err(error)?;
            Ok(Folder::One(path.into()))
        }
    }

    /// The folder to watch: that of the file, if it is one.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Folder::All(folder) => folder,
            Folder::One(file) => match file.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            },
        }
    }

    /// The file of this name in the folder, if it counts.
    pub(crate) fn file(&self, name: &OsStr) -> Option<Arc<Path>> {
        match self {
            Folder::All(folder) => is_manifest(name).then(|| folder.join(name).into()),
            Folder::One(file) => (file.file_name() == Some(name)).then(|| Arc::clone(file)),
        }
    }

    /// Lists the files. What cannot be looked at is left out: it was removed meanwhile, or is
    /// a link that leads nowhere.
    pub(crate) fn list(&self) -> io::Result<Listing> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path())? {
            names.push(entry?.file_name());
        }
        let files = names.iter().filter_map(|name| self.file(name));
        Ok(files
            .filter_map(|file| stamp(&file).map(|stamp| (file, stamp)))
            .collect())
    }
}

/// Kubernetes mounts a ConfigMap as links to files in the hidden folder `..data`, itself a link
/// that is exchanged to change all files at once.
pub(crate) fn is_volume_swap(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"..")
}

/// Hidden files and editors' leftovers (`x.yaml~`, `.x.yaml.swp`, `#x.yaml#`) do not count.
fn is_manifest(name: &OsStr) -> bool {
    let extension = Path::new(name).extension().unwrap_or_default();
    !name.as_bytes().starts_with(b".")
        && ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension == *known)
}

/// Only regular files have one: reading a pipe could take forever.
fn stamp(file: &Path) -> Option<Stamp> {
    fs::metadata(file)
        .ok()
        .filter(Metadata::is_file)
        .map(|metadata| Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
}
