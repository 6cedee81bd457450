//! What inotify tells of a folder. It says when to look; what is there, looking says.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};

use super::agenda::Touch;

/// An inotify instance with a folder.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: Inotify,
    folder: Option<Followed>,
}

/// The folder that is watched. Another one may take its name.
#[derive(Debug)]
struct Followed {
    descriptor: WatchDescriptor,
    inode: (u64, u64),
}

/// Something happened in the folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// To the contents of this file.
    File(OsString, Touch),
    /// To the name of this file: it came, went, or may be readable now.
    Name(OsString),
    /// To the folder itself.
    Folder,
    /// More than the kernel could keep for us (`fs.inotify.max_queued_events`).
    Lost,
}

impl Watch {
    /// Makes an instance that watches nothing yet.
    pub(crate) fn new() -> io::Result<Watch> {
        Ok(Watch {
            inotify: Inotify::init()?,
            folder: None,
        })
    }

    /// Watches the folder that has this path now.
    pub(crate) fn follow(&mut self, path: &Path) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        let inode = (metadata.dev(), metadata.ino());
        if self
            .folder
            .as_ref()
            .is_some_and(|folder| folder.inode == inode)
        {
            return Ok(());
        }
        if let Some(old) = self.folder.take() {
            // It is gone already if its folder is.
            let _ = self.inotify.watches().remove(old.descriptor);
        }
        let mask = WatchMask::MODIFY
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let descriptor = self.inotify.watches().add(path, mask)?;
        self.folder = Some(Followed { descriptor, inode });
        Ok(())
    }

    /// What happened since the last call.
    pub(crate) fn events(&mut self) -> io::Result<Vec<Event>> {
        let mut buffer = [0; 16 * 1024];
        let mut found = Vec::new();
        loop {
            let events = match self.inotify.read_events(&mut buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(found),
                Err(error) => return Err(error),
            };
            for event in events {
                let followed = self
                    .folder
                    .as_ref()
                    .is_some_and(|folder| folder.descriptor == event.wd);
                if followed && event.mask.contains(EventMask::IGNORED) {
                    self.folder = None;
                }
                found.push(meaning(event.mask, event.name));
            }
        }
    }
}

fn meaning(mask: EventMask, name: Option<&OsStr>) -> Event {
    let Some(name) = name.map(OsStr::to_owned) else {
        return if mask.contains(EventMask::Q_OVERFLOW) {
            Event::Lost
        } else {
            Event::Folder
        };
    };
    if mask.contains(EventMask::MODIFY) {
        Event::File(name, Touch::Written)
    } else if mask.intersects(EventMask::CLOSE_WRITE | EventMask::MOVED_TO) {
        Event::File(name, Touch::Finished)
    } else {
        Event::Name(name)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
