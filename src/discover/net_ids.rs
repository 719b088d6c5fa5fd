//! The numbers by which our own network namespace knows the others.

use super::Scan;
use crate::kind::NamespaceKind;
use crate::model::{Observed, Why};
use crate::sys::netlink;

/// Asks rtnetlink about each network namespace met.
pub(super) fn look(scan: &mut Scan<'_>) {
    let netlink = netlink::Route::open();
    for index in 0..scan.registry.len() {
        let answer = scan.registry.with(index, |kind, _, pin| {
            (kind == NamespaceKind::Net).then(|| match (&netlink, pin) {
                (_, None) => Observed::Hidden(Why::Unreachable),
                (Err(error), _) => hidden(error),
                (Ok(netlink), Some(fd)) => match netlink.net_id(fd) {
                    Ok(net_id) => Observed::Known(net_id),
                    Err(error) => hidden(&error),
                },
            })
        });
        if let Some(answer) = answer {
            scan.net_ids.insert(index, answer);
        }
    }
}

fn hidden<T>(error: &std::io::Error) -> Observed<T> {
    Observed::Hidden(Why::of_errno(error.raw_os_error().unwrap_or_default()))
}
