//! Capabilities by name (capabilities(7), the kernel's `include/uapi/linux/capability.h`).

use std::fmt;

/// The names, in the order of their bits; without the prefix `CAP_`.
#[rustfmt::skip]
static NAMES: [&str; 41] = [
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
];

/// A set of capabilities, as `/proc/PID/status` shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// Every capability with a name.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// Returns the names of the members, such as `cap_net_admin`; bits without a name as `cap_41`.
    pub fn names(self) -> impl Iterator<Item = String> {
        (0..64).filter(move |bit| self.0 >> bit & 1 == 1).map(|bit| match NAMES.get(bit) {
            Some(name) => format!("cap_{name}"),
            None => format!("cap_{bit}"),
        })
    }

    /// Returns the set of one capability, named with or without `CAP_`, however capitalised; `None` for no known one.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("cap_").unwrap_or(&name);
        NAMES.iter().position(|known| *known == name).map(|bit| Self(1 << bit))
    }

    /// Tells whether it has no member.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns what is in this set and not in the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for CapabilitySet {
    /// Writes `none`, `all`, `all but` a few, or the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = Self::ALL.without(*self);
        let list = |set: Self| set.names().collect::<Vec<_>>().join(", ");
        if self.is_empty() {
            f.write_str("none")
        } else if missing.is_empty() {
            f.write_str("all")
        } else if missing.0.count_ones() <= 8 {
            write!(f, "all but {}", list(missing))
        } else {
            f.write_str(&list(*self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_the_kernels_bits() {
        for (name, bit) in [("CAP_CHOWN", 0), ("net_raw", 13), ("Cap_Sys_Admin", 21), ("checkpoint_restore", 40)] {
            assert_eq!(CapabilitySet::named(name), Some(CapabilitySet(1 << bit)));
        }
        assert_eq!(CapabilitySet::named("cap_"), None);
    }

    #[test]
    fn sets_read_as_people_say_them() {
        assert_eq!(CapabilitySet(0).to_string(), "none");
        assert_eq!(CapabilitySet(1 << 21 | 1 << 12).to_string(), "cap_net_admin, cap_sys_admin");
        assert_eq!(CapabilitySet(0x1ff_feff_ffff).to_string(), "all but cap_sys_resource");
        assert_eq!(CapabilitySet(0x1ff_ffff_ffff).to_string(), "all");
        assert_eq!(CapabilitySet(1 << 50).names().collect::<Vec<_>>(), ["cap_50"]);
    }
}
