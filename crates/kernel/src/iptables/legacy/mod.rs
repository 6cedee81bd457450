//! The legacy iptables, by its own programs: the kernel replaces a table as a whole, so whoever
//! changes one must keep the lock of all others who do, and know every extension of the kernel's
//! by heart. `iptables-restore` does both.

mod left;
mod lock;
mod run;
mod said;
mod save;
#[cfg(test)]
mod tests;
pub(super) mod tools;

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use self::left::Left;
pub use self::left::Ours;
use self::lock::Locked;
use self::run::{Ended, run};
use self::save::{Reader, Saved};
use self::tools::Tools;
use super::handle::{Applied, ApplyError, CallError, Iptables, ObservedTable};
use super::info::{TableInfo, TableSize, registered};
use super::ruleset::{Batch, Family, Table, TableId};
use super::text;

/// How often [`LegacyIptables::touched`] is worth asking.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a program may run before it is killed. 160,000 rules take it some seconds, and each
/// table [`LOCK_SECONDS`] when others are busy.
const LIMIT: Duration = Duration::from_mins(2);

/// How long a program waits for the lock of a table, in seconds.
const LOCK_SECONDS: u32 = 5;

/// The legacy tables of the network namespace that the calling thread is in, at each call.
#[derive(Debug)]
pub struct LegacyIptables {
    sides: Vec<Side>,
    ours: Ours,
    left: HashMap<TableId, Left>,
    limit: Duration,
}

/// What there is for one family.
#[derive(Debug)]
struct Side {
    family: Family,
    tools: Tools,
    info: TableInfo,
}

impl LegacyIptables {
    /// Finds the programs for these families. `ours` says of a chain's name whether it is one
    /// that [`LegacyIptables::touched`] is to look after.
    ///
    /// # Errors
    /// `ENOENT` when there are no programs of the legacy variant; a socket's.
    pub fn open(families: &[Family], ours: Ours) -> Result<LegacyIptables, CallError> {
        let side = |family: &Family| {
            Ok(Side {
                family: *family,
                tools: Tools::find(*family)?,
                info: TableInfo::open(*family)?,
            })
        };
        Ok(LegacyIptables {
            sides: families
                .iter()
                .map(side)
                .collect::<Result<_, CallError>>()?,
            ours,
            left: HashMap::new(),
            limit: LIMIT,
        })
    }

    /// Whether this host has what it takes for a family: the programs, and a nat table.
    ///
    /// # Errors
    /// `ENOENT`, with what is missing.
    pub fn check(family: Family) -> Result<(), CallError> {
        Tools::find(family)?;
        match TableInfo::open(family)?.size(Table::Nat)? {
            Some(_) => Ok(()),
            None => Err(CallError {
                call: "find",
                object: "the legacy table nat in this kernel (CONFIG_IP_NF_NAT, CONFIG_IP6_NF_NAT)"
                    .to_owned(),
                errno: libc::ENOENT,
            }),
        }
    }

    /// MASQUERADE has `--random-fully` (iptables 1.6.2) in every family.
    pub fn random_fully(&self) -> bool {
        self.sides.iter().all(|side| side.tools.random_fully())
    }

    /// Whether rules of every family can have a match of this name; the kernel loads it if it can.
    pub fn has_match(&self, name: &str) -> Result<bool, CallError> {
        for side in &self.sides {
            if !side.info.has_match(name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether somebody else has changed what is ours since it was last observed or changed by us:
    /// a chain of ours is gone or has another number of rules, or rules of built-in chains that
    /// lead to them are gone. What leaves a table as large as it was, such as another name for a
    /// chain, goes unnoticed, and so does all in a table that was not observed since a change
    /// of it failed for a reason that is not the table's. A question of microseconds, unless a table has another size.
    pub fn touched(&mut self) -> Result<bool, CallError> {
        let tables: Vec<TableId> = self.left.keys().copied().collect();
        for table in tables {
            if self.is_touched(table)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_touched(&mut self, table: TableId) -> Result<bool, CallError> {
        let size = self.size(table)?;
        let left = self.left.get(&table);
        if left.is_none_or(|left| left.size == Some(size)) {
            return Ok(false);
        }
        // The size was asked for first: what changes from here on is seen next time.
        let saved = self.save(table)?.unwrap_or_default();
        let Some(left) = self.left.get_mut(&table) else {
            return Ok(false);
        };
        let whole = left.is_in(&saved, self.ours);
        left.size = whole.then_some(size);
        Ok(!whole)
    }
}

impl Iptables for LegacyIptables {
    /// One run of `iptables-restore` does all batches of a family that stand together.
    fn apply(&mut self, batches: &[Batch]) -> Result<Applied, ApplyError> {
        let mut cost = Applied::default();
        let mut first = 0;
        for batches in batches.chunk_by(|one, next| one.table.family == next.table.family) {
            if batches.iter().any(|batch| !batch.ops.is_empty()) {
                let some = self.apply_some(first, batches)?;
                cost.messages += some.messages;
                cost.bytes += some.bytes;
            }
            first += batches.len();
        }
        Ok(cost)
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        self.left.remove(&table);
        let size = self.size(table)?;
        let saved = self.save(table)?;
        let mut left = saved
            .as_ref()
            .map_or_else(Left::default, |saved| Left::of(saved, self.ours));
        left.size = Some(size);
        self.left.insert(table, left);
        Ok(saved.map(Saved::observed))
    }
}

impl LegacyIptables {
    /// Applies batches of one family, of which the first has this index.
    fn apply_some(&mut self, first: usize, batches: &[Batch]) -> Result<Applied, ApplyError> {
        let input = text::restore_input(batches);
        let lines = input.lines().count();
        let expected: usize = batches.iter().map(|batch| batch.ops.len() + 2).sum();
        if lines != expected || input.contains('\0') {
            return Err(said::several_lines(first, batches));
        }
        let result = self.restore(first, batches, &input);
        let done = match &result {
            Ok(()) => batches.len(),
            Err(ApplyError::Refused(refusal)) => refusal.batch - first,
            Err(_) => {
                for batch in batches {
                    self.left.remove(&batch.table);
                }
                0
            }
        };
        self.remember(&batches[..done]);
        result.map(|()| Applied {
            messages: lines,
            bytes: input.len(),
        })
    }

    fn restore(&self, first: usize, batches: &[Batch], input: &str) -> Result<(), ApplyError> {
        let Some(batch) = batches.first() else {
            return Ok(());
        };
        let tools = &self.side(batch.table.family)?.tools;
        let mut command = Command::new(&tools.restore);
        command.args(["--noflush", "--counters"]);
        let _locked = if tools.waits {
            command.args(["-w", &LOCK_SECONDS.to_string()]);
            None
        } else {
            Some(Locked::take().map_err(|error| said::no_lock(&tools.restore, &error))?)
        };
        let Ended { status, said } = run(&mut command, input.as_bytes(), self.limit, |_| ())
            .map_err(|error| ApplyError::Program {
                program: tools.restore.display().to_string(),
                said: said::not_run(&error, self.limit),
            })?;
        if status.success() {
            return Ok(());
        }
        let program = tools.restore.display().to_string();
        Err(said::decode(
            program,
            (first, batches),
            status.code(),
            &said,
        ))
    }

    /// These batches were done.
    fn remember(&mut self, batches: &[Batch]) {
        for Batch { table, ops } in batches {
            let size = self.size(*table).ok();
            let Some(left) = self.left.get_mut(table) else {
                continue;
            };
            let more = left.did(table.table, ops, self.ours);
            // Another size than ours alone would have made it: somebody else was there, too.
            let before = left.size.map(|size| i64::from(size.entries));
            let expected = before.zip(more).map(|(before, more)| before + more);
            left.size = size.filter(|size| expected == Some(size.entries.into()));
        }
    }

    /// How large a table is; one that nobody has asked for in this namespace is empty.
    fn size(&self, table: TableId) -> Result<TableSize, CallError> {
        let nothing = TableSize {
            entries: TableSize::empty(table.table),
            bytes: 0,
        };
        if !registered(table.family, table.table)? {
            return Ok(nothing);
        }
        let size = self.side(table.family)?.info.size(table.table)?;
        Ok(size.unwrap_or(nothing))
    }

    /// Reads a table; `None` when nobody has asked for it in this namespace.
    fn save(&self, table: TableId) -> Result<Option<Saved>, CallError> {
        if !registered(table.family, table.table)? {
            return Ok(None);
        }
        let program = &self.side(table.family)?.tools.save;
        let mut command = Command::new(program);
        command.args(["-t", table.table.name()]);
        let mut reader = Reader::default();
        let ended = run(&mut command, &[], self.limit, |bytes| reader.read(bytes));
        let failed = |said: &str, errno| CallError {
            call: "run",
            object: format!("{} -t {}: {said}", program.display(), table.table.name()),
            errno,
        };
        let Ended { status, said } = ended.map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(libc::ETIMEDOUT);
            failed(&said::not_run(&error, self.limit), errno)
        })?;
        let saved = reader.end();
        if status.success() && saved.complete {
            return Ok(Some(saved));
        }
        Err(failed(said.trim(), libc::EIO))
    }

    fn side(&self, family: Family) -> Result<&Side, CallError> {
        let mut sides = self.sides.iter();
        sides.find(|side| side.family == family).ok_or(CallError {
            call: "iptables",
            object: "a family that was not opened".to_owned(),
            errno: libc::EAFNOSUPPORT,
        })
    }
}
