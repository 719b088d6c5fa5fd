//! Which capabilities the command can have: asked for beyond that, they would silently be missing.

use rustix::io::Errno;
use rustix::thread::{self, CapabilitiesSecureBits};

use super::request::Request;
use crate::capability::CapabilitySet;
use crate::error::{Error, ErrorKind, Result};
use crate::kind::NamespaceKind;

/// What is known about our own capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilityFacts {
    /// Those we hold, or may take up.
    pub permitted: CapabilitySet,
    /// Those that stay inheritable.
    pub inheritable: CapabilitySet,
    /// Those that an exec can give.
    pub bounding: CapabilitySet,
    /// Those asked for that this kernel does not know.
    pub unknown: CapabilitySet,
    /// Whether an exec as root gives all of the bounding set: not with no_new_privs or `SECBIT_NOROOT` (capabilities(7)).
    pub root_gains: bool,
    /// Our effective user id.
    pub uid: u32,
}

impl CapabilityFacts {
    /// Reads what the request needs; `None` if it asks for none by name.
    pub(super) fn gather(request: &Request) -> Result<Option<Self>> {
        let wanted = wanted(request);
        if wanted.is_empty() {
            return Ok(None);
        }
        let trouble = |errno: Errno| Error::system("cannot read our capabilities", errno);
        let held = thread::capabilities(None).map_err(trouble)?;
        let mut facts = Self {
            permitted: CapabilitySet(held.permitted.bits()),
            inheritable: CapabilitySet(held.inheritable.bits()),
            root_gains: !thread::no_new_privs().map_err(trouble)?
                && !thread::capabilities_secure_bits().map_err(trouble)?.contains(CapabilitiesSecureBits::NO_ROOT),
            uid: rustix::process::geteuid().as_raw(),
            ..Self::default()
        };
        for bit in (0..64).map(|number| 1 << number).filter(|bit| wanted.0 & bit != 0) {
            match thread::capability_is_in_bounding_set(thread::CapabilitySet::from_bits_retain(bit)) {
                Ok(true) => facts.bounding.0 |= bit,
                Ok(false) => {}
                Err(Errno::INVAL) => facts.unknown.0 |= bit,
                Err(errno) => return Err(trouble(errno)),
            }
        }
        Ok(Some(facts))
    }

    /// Refuses capabilities that the command would not have. Pure.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for one that this kernel does not know, else [`ErrorKind::NotPermitted`].
    pub(super) fn check(&self, request: &Request) -> Result<()> {
        let wanted = wanted(request);
        let unknown = CapabilitySet(wanted.0 & self.unknown.0);
        if !unknown.is_empty() {
            return Err(Error::new(ErrorKind::Unsupported, format!("this kernel does not know {unknown}"))
                .with_hint("leave it away: what it is for is under another capability here (capabilities(7))"));
        }
        // There it has all of them.
        if request.kinds.contains(NamespaceKind::User) {
            return Ok(());
        }
        let kept = self.bounding.0 | self.inheritable.0;
        let root = request.user.unwrap_or(self.uid) == 0 && self.root_gains && !request.no_new_privileges;
        let missing = wanted.without(CapabilitySet(if root { kept } else { kept & self.permitted.0 }));
        if missing.is_empty() {
            return Ok(());
        }
        let cause = match missing.without(self.permitted).is_empty() {
            true => "our bounding set lacks it (CapBnd in /proc/self/status), so that no exec keeps it",
            false => "nstool itself does not hold it (CapPrm in /proc/self/status)",
        };
        Err(Error::new(ErrorKind::NotPermitted, format!("the command cannot have {missing}")).because(cause).with_hint(
            "start nstool with it; or add --map-root-user (-r): in a user namespace of its own it has all, over what is \
             created there",
        ))
    }
}

/// The capabilities asked for by name. All that there are is not asked for more than there is.
fn wanted(request: &Request) -> CapabilitySet {
    let named = request.capabilities.map(|capabilities| capabilities.ambient).filter(|named| *named != u64::MAX);
    CapabilitySet(named.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::Capabilities;
    use crate::kind::{KindSet, NamespaceKind};

    #[test]
    fn what_the_command_would_not_have_is_refused() {
        let (kill, chown) = (CapabilitySet::named("kill").unwrap(), CapabilitySet::named("chown").unwrap());
        let both = CapabilitySet(kill.0 | chown.0);
        let facts = |permitted, bounding| CapabilityFacts { permitted, bounding, ..CapabilityFacts::default() };
        let root = |facts: CapabilityFacts| CapabilityFacts { root_gains: true, ..facts };
        let user = |facts: CapabilityFacts| CapabilityFacts { uid: 5, ..facts };
        let none = CapabilitySet::default();
        let asked = |set: CapabilitySet| Request {
            capabilities: Some(Capabilities { bounding: u64::MAX, ambient: set.0 }),
            ..Request::default()
        };
        let privileged = Request { no_new_privileges: true, ..asked(kill) };
        let owner = Request { kinds: KindSet::EMPTY.with(NamespaceKind::User), ..asked(kill) };
        for (facts, request, expected) in [
            (user(facts(both, both)), asked(both), None),
            (user(facts(kill, both)), asked(both), Some("the command cannot have cap_chown")),
            (user(facts(none, none)), asked(both), Some("the command cannot have cap_chown, cap_kill")),
            (user(facts(kill, none)), asked(kill), Some("the command cannot have cap_kill")),
            (user(CapabilityFacts { inheritable: kill, ..facts(kill, none) }), asked(kill), None),
            (user(facts(none, none)), asked(CapabilitySet(u64::MAX)), None),
            (user(facts(none, none)), owner, None),
            // An exec as root takes the bounding set, unless it may not gain anything.
            (root(facts(none, kill)), asked(kill), None),
            (facts(none, kill), asked(kill), Some("the command cannot have cap_kill")),
            (root(facts(none, kill)), privileged, Some("the command cannot have cap_kill")),
            (root(facts(kill, none)), asked(kill), Some("the command cannot have cap_kill")),
            (
                root(facts(none, kill)),
                Request { user: Some(5), ..asked(kill) },
                Some("the command cannot have cap_kill"),
            ),
            (
                CapabilityFacts { unknown: kill, ..facts(kill, kill) },
                asked(kill),
                Some("this kernel does not know cap_kill"),
            ),
        ] {
            let told = facts.check(&request).err().map(|error| error.to_string());
            assert_eq!(told.as_deref(), expected, "{facts:?}");
        }
    }
}
