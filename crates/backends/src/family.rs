//! IP families in the words of the kernel's tables.

use fairlead_core::address::Family;
use fairlead_kernel::nft::ruleset;

/// The family of tables that serve an IP family.
pub fn kernel_family(family: Family) -> ruleset::Family {
    match family {
        Family::V4 => ruleset::Family::Ip,
        Family::V6 => ruleset::Family::Ip6,
    }
}
