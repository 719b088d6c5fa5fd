//! `/proc/net/{tcp,tcp6,udp,udp6}` (proc_pid_net(5)) and `/proc/sysvipc/*` (proc_sysvipc(5)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::Listener;

/// The state of a listening TCP socket, and of a UDP socket without a peer.
const TCP_LISTEN: u8 = 0x0a;
const TCP_CLOSE: u8 = 0x07;

/// Returns the sockets of one file that wait for peers; `protocol` is `tcp` or `udp`.
pub(crate) fn listeners(protocol: &'static str, text: &[u8]) -> Vec<Listener> {
    let waiting = if protocol == "tcp" { TCP_LISTEN } else { TCP_CLOSE };
    let text = String::from_utf8_lossy(text);
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (address, port) = fields.next()?.split_once(':')?;
        let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
        let port = u16::from_str_radix(port, 16).ok().filter(|_| state == waiting)?;
        Some(Listener { protocol, address: address_of(address)?, port })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// The kernel prints an address as words of 32 bits in its own byte order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |place: usize| Some(u32::from_str_radix(hex.get(place * 8..place * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for place in 0..4 {
                bytes[place * 4..][..4].copy_from_slice(&word(place)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Returns key and id of each System V object of one file.
pub(crate) fn sysv_objects(text: &[u8]) -> Vec<(i32, u32)> {
    let text = String::from_utf8_lossy(text);
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    text.lines().skip(1).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_of_ours_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let text = std::fs::read("/proc/thread-self/net/tcp").unwrap();
        let address = socket.local_addr().unwrap();
        let ours = Listener { protocol: "tcp", address: address.ip(), port: address.port() };
        assert!(listeners("tcp", &text).contains(&ours));
        if let Ok(socket) = std::net::UdpSocket::bind("[::1]:0") {
            let text = std::fs::read("/proc/thread-self/net/udp6").unwrap();
            let address = socket.local_addr().unwrap();
            assert!(
                listeners("udp", &text).iter().any(|one| (one.address, one.port) == (address.ip(), address.port()))
            );
        }
    }

    #[test]
    fn objects_have_key_and_id() {
        let text = b"       key      shmid perms\n         0          5  1600\n-559038737 6 600\n";
        assert_eq!(sysv_objects(text), [(0, 5), (-559_038_737, 6)]);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>, line in "[ 0-9A-F:ä\n]{0,120}") {
            let _ = (listeners("tcp", &text), sysv_objects(&text));
            let _ = (listeners("udp", format!("\n{line}").as_bytes()), sysv_objects(format!("\n{line}").as_bytes()));
        }
    }
}
