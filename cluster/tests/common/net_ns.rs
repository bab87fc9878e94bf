//! Network namespaces.

use std::process::{Command, Stdio, id};
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

/// A network namespace with one link to that of the test. Deleted on drop.
pub struct NetNs {
    pub name: String,
    /// Its address.
    pub address: String,
    /// The end of its link here.
    outer: String,
}

impl NetNs {
    /// `None`: this needs root and `ip`.
    pub fn new() -> Option<NetNs> {
        static COUNT: AtomicU8 = AtomicU8::new(1);
        // Tests of several processes do not meet: each has 16 networks of its own.
        let nth = COUNT.fetch_add(1, Relaxed);
        let (high, low) = (id() % 4096, u32::from(nth % 16) * 4);
        let [second, third] = [64 + high / 256 % 64, high % 256];
        let (name, outer) =
            (format!("cluster-{}-{nth}", id()), format!("cl{}x{nth}", id() % 100_000));
        let ip = |args: &str| {
            let ip = Command::new("ip").args(args.split(' ')).stderr(Stdio::null()).status();
            ip.is_ok_and(|status| status.success())
        };
        let [near, far] = [low + 1, low + 2].map(|last| format!("10.{second}.{third}.{last}"));
        let made = ip(&format!("netns add {name}"))
            && ip(&format!("link add {outer} type veth peer name eth0 netns {name}"))
            && ip(&format!("addr add {near}/30 dev {outer}"))
            && ip(&format!("link set {outer} up"))
            && ip(&format!("-n {name} addr add {far}/30 dev eth0"))
            && ip(&format!("-n {name} link set eth0 up"))
            && ip(&format!("-n {name} link set lo up"));
        let ns = NetNs { name, address: far, outer };
        if !made {
            println!("skipped: this test needs root and `ip`");
        }
        made.then_some(ns)
    }

    /// Limits its network to this rate, both ways. Returns `false` where there is no `tc`, or no
    /// token bucket filter in the kernel.
    pub fn slow_down(&self, rate: &str) -> bool {
        let within = ["-n", &self.name];
        [(&[][..], &*self.outer), (&within[..], "eth0")].into_iter().all(|(place, device)| {
            let mut tc = Command::new("tc");
            tc.args(place).args(["qdisc", "add", "dev", device, "root", "tbf"]);
            tc.args(["rate", rate, "burst", "4kb", "latency", "5s"]).stderr(Stdio::null());
            let limited = tc.status().is_ok_and(|status| status.success());
            if !limited {
                println!("skipped: this test needs `tc` and its filter `tbf`");
            }
            limited
        })
    }

    /// Cuts or mends its network.
    pub fn set(&self, up: bool) {
        let state = if up { "up" } else { "down" };
        let args = ["-n", &self.name, "link", "set", "eth0", state];
        assert!(Command::new("ip").args(args).status().expect("ip runs").success());
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        for args in [["link", "del", &self.outer], ["netns", "del", &self.name]] {
            let _ = Command::new("ip").args(args).stderr(Stdio::null()).status();
        }
    }
}
